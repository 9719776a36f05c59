"""Fixtures of the tests that run in namespaces. The mark and the `world` fixture come from tests/conftest.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.netns.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.world import World


@pytest.fixture
def stage(world: World) -> Iterator[Stage]:
    with Stage(world) as made:
        yield made
