from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.core.messages import Announce, Severity
from sidecar.drivers.control.event_file import EventFile
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result

    from sidecar.drivers.control.paths import RuntimePaths

    Invoke = Callable[..., Result]

ROOT = Path(__file__).parents[3]


@pytest.fixture
def events(paths: RuntimePaths) -> EventFile:
    return EventFile(paths.events)


def test_events_are_lines_of_time_kind_and_text(invoke: Invoke, events: EventFile) -> None:
    events.append(Announce("up", "traffic passes through 10-primary"))
    events.append(Announce("failover", "10-primary → 20-backup\x1b[2J", Severity.WARNING))
    lines = invoke("events").stdout.splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", "", line) for line in lines] == [
        "up              traffic passes through 10-primary",
        "failover        10-primary → 20-backup [2J",
    ]


def test_by_default_the_newest_twenty_are_told_and_n_says_how_many(invoke: Invoke, events: EventFile) -> None:
    for number in range(30):
        events.append(Announce("tick", f"number {number}"))
    assert [line.split()[-1] for line in invoke("events").stdout.splitlines()] == [str(n) for n in range(10, 30)]
    assert [line.split()[-1] for line in invoke("events", "-n", "2").stdout.splitlines()] == ["28", "29"]
    assert invoke("events", "-n", "0").stdout == ""
    assert invoke("events", "-n", "-1").exit_code == 2


def test_a_script_gets_an_object_a_line(invoke: Invoke, events: EventFile) -> None:
    events.append(Announce("halted", "a frame left", Severity.ERROR))
    fields = json.loads(invoke("events", "--json", color=True).stdout)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields.pop("time"))
    assert fields == {"kind": "halted", "severity": "error", "text": "a frame left"}


def test_trouble_is_coloured(invoke: Invoke, events: EventFile) -> None:
    events.append(Announce("up", "fine"))
    assert "\x1b[31m" not in invoke("events", color=True).stdout
    events.append(Announce("halted", "a frame left", Severity.ERROR))
    assert "\x1b[31mhalted" in invoke("events", color=True).stdout


def test_a_damaged_event_is_told_of_and_the_others_are_shown(
    invoke: Invoke, events: EventFile, paths: RuntimePaths
) -> None:
    events.append(Announce("up", "before"))
    with paths.events.open("ab") as file:
        file.write(b'{"time": "2026\n')
    events.append(Announce("up", "after"))
    result = invoke("events")
    assert [line.split()[-1] for line in result.stdout.splitlines()] == ["before", "after"]
    assert result.stderr == "sidecar: one event is damaged and left out\n"


def test_before_anything_happened_there_is_nothing_to_tell(invoke: Invoke, paths: RuntimePaths) -> None:
    paths.directory.mkdir()
    result = invoke("events")
    assert (result.exit_code, result.output) == (0, "")


def test_where_no_watchdog_ever_was_it_says_where_to_run_it(invoke: Invoke) -> None:
    result = invoke("events")
    assert result.exit_code == 69
    assert "run this inside the sidecar" in result.stderr


PROGRAM = """
import sys
from pathlib import Path
from sidecar.cli import build
from sidecar.drivers.control.paths import RuntimePaths
build(lambda: 0, RuntimePaths(Path(sys.argv.pop(1))))(prog_name="sidecar")
"""


class Follower:
    """`sidecar events -f` as a process, and what it has said so far."""

    def __init__(self, paths: RuntimePaths, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-c", PROGRAM, str(paths.directory), "events", "-f", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip("\n") for line in self.process.stdout)

    def said(self, word: str) -> bool:
        return any(word in line for line in self.lines)


@pytest.fixture
def follow(paths: RuntimePaths) -> Iterator[Callable[..., Follower]]:
    followers: list[Follower] = []

    def start(*arguments: str) -> Follower:
        followers.append(Follower(paths, *arguments))
        return followers[-1]

    yield start
    for follower in followers:
        follower.process.kill()
        follower.process.wait(20)


def test_following_goes_on_across_a_rotation_until_it_is_interrupted(
    follow: Callable[..., Follower], paths: RuntimePaths
) -> None:
    events = EventFile(paths.events, rotate_bytes=400)
    events.append(Announce("up", "old-one"))
    events.append(Announce("up", "old-two"))
    follower = follow("-n", "1")
    wait_until(lambda: follower.said("old-two"), 30, "the newest event")
    for number in range(12):
        events.append(Announce("tick", f"new-{number}"))
        wait_until(lambda number=number: follower.said(f"new-{number}"), 30, "the next event")
    follower.process.send_signal(signal.SIGINT)
    assert follower.process.wait(30) == 0
    assert not follower.said("old-one")
    assert len(follower.lines) == 13


def test_following_begins_before_the_first_event(follow: Callable[..., Follower], paths: RuntimePaths) -> None:
    paths.directory.mkdir()
    follower = follow("--json")
    EventFile(paths.events).append(Announce("up", "first"))
    wait_until(lambda: follower.said('"text": "first"'), 30, "the first event")
