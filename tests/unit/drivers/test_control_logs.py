from __future__ import annotations

import io
import json
import logging
import re
from typing import TYPE_CHECKING

import pytest
from loguru import logger

from sidecar.core.messages import Announce, Severity
from sidecar.drivers.control.event_file import EventFile, EventReader
from sidecar.drivers.control.logs import LoggedEvents, configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (?P<rest>.*)")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    yield
    logger.remove()
    logger.configure(extra={}, patcher=lambda _record: None)
    root.handlers[:] = kept
    root.setLevel(level)


@pytest.fixture
def events(tmp_path: Path) -> LoggedEvents:
    return LoggedEvents(EventFile(tmp_path / "run" / "events.jsonl"))


def rest(stream: io.StringIO) -> list[str]:
    matches = [LINE.fullmatch(line) for line in stream.getvalue().splitlines()]
    return [match["rest"] if match else "(no log line)" for match in matches]


def test_a_transition_is_one_line_of_text(events: LoggedEvents) -> None:
    stream = io.StringIO()
    configure_logging("text", stream=stream)
    events.append(Announce("up", "traffic passes"))
    events.append(Announce("failover", "10-primary → 20-backup", Severity.WARNING))
    events.append(Announce("halted", "a frame left", Severity.ERROR))
    assert rest(stream) == [
        "INFO    up: traffic passes",
        "WARNING failover: 10-primary → 20-backup",
        "ERROR   halted: a frame left",
    ]


def test_a_transition_is_one_object_of_json(events: LoggedEvents) -> None:
    stream = io.StringIO()
    configure_logging("json", stream=stream)
    events.append(Announce("failover", "two\nlines {and} <braces>", Severity.WARNING))
    (line,) = stream.getvalue().splitlines()
    fields = json.loads(line)
    assert re.fullmatch(r"[\d-]+T[\d:.]+Z", fields.pop("time"))
    assert fields == {"severity": "warning", "kind": "failover", "text": "two\nlines {and} <braces>"}


def test_no_text_can_forge_a_second_line_or_speak_to_the_terminal(events: LoggedEvents) -> None:
    stream = io.StringIO()
    configure_logging("text", stream=stream)
    events.append(Announce("odd", "a\n2026-01-01T00:00:00.000Z INFO    unlocked: all is well\x1b[2J {0} <red>r</red>"))
    assert rest(stream) == [
        r"INFO    odd: a\n2026-01-01T00:00:00.000Z INFO    unlocked: all is well\x1b[2J {0} <red>r</red>"
    ]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_shows_no_value_of_any_variable(log_format: str) -> None:
    stream = io.StringIO()
    configure_logging("json" if log_format == "json" else "text", stream=stream)

    def fail(private_key: str) -> None:
        raise ValueError(len(private_key))

    try:
        fail("terces"[::-1] * 2)
    except ValueError as error:
        logger.opt(exception=error).error("the watchdog ends sealed")
    assert "ValueError: 12" in stream.getvalue()
    assert "secretsecret" not in stream.getvalue()
    assert log_format == "text" or len(stream.getvalue().splitlines()) == 1


def test_the_level_is_where_the_log_begins() -> None:
    stream = io.StringIO()
    configure_logging("text", "WARNING", stream)
    logger.info("not this")
    logger.warning("but this")
    assert rest(stream) == ["WARNING sidecar: but this"]


def test_what_a_library_warns_of_is_in_the_same_log_in_the_same_form() -> None:
    stream = io.StringIO()
    configure_logging("json", stream=stream)
    logging.getLogger("docker.api").info("chatter")
    logging.getLogger("docker.api").warning("retrying %s", "once")
    logging.getLogger("odd").log(35, "a level of its own")
    first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (first["severity"], first["kind"], first["text"]) == ("warning", "docker.api", "retrying once")
    assert second["text"] == "a level of its own"


@pytest.mark.parametrize(("stream", "no_color", "coloured"), [
    (Terminal(), "", True),
    (Terminal(), "1", False),
    (io.StringIO(), "", False),
])  # fmt: skip
def test_colours_are_for_terminals_and_for_those_who_want_them(
    stream: io.StringIO, no_color: str, *, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    configure_logging("text", stream=stream)
    logger.warning("look")
    assert ("\x1b[" in stream.getvalue()) is coloured


def test_json_on_a_terminal_has_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    configure_logging("json", stream=stream)
    logger.warning("look")
    assert json.loads(stream.getvalue())["text"] == "look"


def test_a_full_disk_stops_nobody_and_is_said_once_until_there_is_room_again(tmp_path: Path) -> None:
    stream = io.StringIO()
    configure_logging("text", stream=stream)
    obstacle = tmp_path / "run"
    obstacle.write_text("")
    events = LoggedEvents(EventFile(obstacle / "events.jsonl"))
    events.append(Announce("up", "one"))
    events.append(Announce("up", "two"))
    obstacle.unlink()
    events.append(Announce("up", "three"))
    obstacle.rename(tmp_path / "aside")
    obstacle.write_text("")
    events.append(Announce("up", "four"))
    kinds = [line.split()[1] for line in rest(stream)]
    assert kinds == ["up:", "events-lost:", "up:", "up:", "up:", "events-lost:"]
    with EventReader(tmp_path / "aside" / "events.jsonl") as reader:
        assert len(list(reader.lines())) == 1


def test_a_stream_that_is_gone_stops_nobody(events: LoggedEvents, capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    configure_logging("text", stream=stream)
    stream.close()
    events.append(Announce("up", "unheard"))
    assert "closed file" in capsys.readouterr().err
