"""What every layer shares: the `netns` mark, and a world of namespaces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.netns.world import World, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

NETNS_TESTS = Path(__file__).parent / "netns"
PROPERTY_TESTS = Path(__file__).parent / "property"
PROPERTY_TIMEOUT_S = 600
"""They only compute, 25 s on a free core; a busy machine is no reason to fail."""


@pytest.hookimpl(tryfirst=True)  # before `-m` deselects by mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lives in tests/netns, and skip what bears the mark where namespaces cannot be made."""
    reason = missing()
    for item in items:
        if item.path.is_relative_to(NETNS_TESTS):
            item.add_marker(pytest.mark.netns)
        if item.path.is_relative_to(PROPERTY_TESTS):
            item.add_marker(pytest.mark.timeout(PROPERTY_TIMEOUT_S))
        if reason and item.get_closest_marker("netns"):
            item.add_marker(pytest.mark.skip(reason=f"netns tests skipped: {reason}"))


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made
