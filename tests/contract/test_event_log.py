from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.core.messages import Announce, Severity
from sidecar.drivers.control.event_file import EventFile, EventReader, decode
from sidecar.drivers.control.logs import LoggedEvents
from tests.fakes.event_log import FakeEventLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sidecar.ports import EventLog

    Log = tuple[EventLog, Callable[[], list[Announce]]]


@pytest.fixture(params=["fake", "file"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Log:
    """A log, and what can be read back from it."""
    if request.param == "fake":
        fake = FakeEventLog()
        return fake, lambda: fake.announced
    path = tmp_path / "run" / "events.jsonl"

    def read() -> list[Announce]:
        with EventReader(path) as reader:
            events = [decode(line) for line in reader.lines()]
        return [Announce(event.kind, event.text, event.severity) for event in events if event is not None]

    return LoggedEvents(EventFile(path)), read


def test_everything_that_was_said_is_kept_in_order(log: Log) -> None:
    writer, read = log
    announced = [Announce(f"kind-{number}", f"text {number}", severity) for number, severity in enumerate(Severity)]
    for announce in announced:
        writer.append(announce)
    assert read() == announced
