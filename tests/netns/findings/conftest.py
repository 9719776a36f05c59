"""The victim of every finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.netns.findings.victim import Victim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.stage import Stage


@pytest.fixture
def victim(stage: Stage) -> Iterator[Victim]:
    """A sidecar whose tunnel is up and that is not locked yet; the test's thread is a workload."""
    with stage.sidecar.entered():
        made = Victim(stage)
        try:
            made.connect()
            yield made
        finally:
            made.close()
