"""An engine that runs as long as a test, and the driver that asks it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from sidecar.drivers.docker import DockerWorkloads
from tests.unit.drivers.docker.engine import US, Engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "engine.sock") as engine:
        thread = threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        engine.add(US, "vpn")
        yield engine
        engine.shutdown()
        thread.join()


@pytest.fixture
def workloads(engine: Engine) -> DockerWorkloads:
    return DockerWorkloads(engine.path, US)
