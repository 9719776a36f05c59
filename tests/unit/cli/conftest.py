from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import build
from sidecar.drivers.control.paths import RuntimePaths
from sidecar.drivers.control.status_file import StatusFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW_S = 500_000.0


@pytest.fixture
def paths(tmp_path: Path) -> RuntimePaths:
    return RuntimePaths(tmp_path / "run")


@pytest.fixture
def publish(paths: RuntimePaths, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Publishes a document as a watchdog would have, `age_s` before a moment that stays."""
    monkeypatch.setattr("time.clock_gettime", lambda _clock: NOW_S)

    def publish(document: dict[str, Any], age_s: float = 1.5) -> None:
        StatusFile(paths.status).publish({**document, "heartbeat_boottime_s": NOW_S - age_s})

    return publish


@pytest.fixture
def invoke(paths: RuntimePaths) -> Callable[..., Result]:
    """Types `sidecar …`; what would be a traceback is raised."""

    def invoke(*arguments: str, run: Callable[[], int] = lambda: 0, color: bool = False) -> Result:
        return CliRunner().invoke(build(run, paths), list(arguments), color=color, catch_exceptions=False)

    return invoke
