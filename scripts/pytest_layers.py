"""A pytest plug-in of scripts/test: leaves out the layers that cannot run here, and says so in the header.

Its words come from the environment, since only scripts/test knows why a layer cannot run.
"""

# ruff: noqa: INP001 - found by its path: scripts/ is no package

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_report_header() -> str | None:
    """Name what is left out, where a reader of the report looks first."""
    skipped = os.environ.get("SIDECAR_SKIPPED_LAYERS")
    return f"SKIPPED, cannot run here: {skipped}" if skipped else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what carries the marker of a layer that cannot run here."""
    left_out = set(os.environ.get("SIDECAR_LEAVE_OUT", "").split())
    deselected = [item for item in items if any(item.get_closest_marker(layer) for layer in left_out)]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]
