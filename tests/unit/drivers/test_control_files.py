from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from sidecar import healthcheck
from sidecar.core.messages import Announce, Severity
from sidecar.drivers.control.event_file import EventFile, EventReader, decode, previous
from sidecar.drivers.control.paths import prepare_directory
from sidecar.drivers.control.status_file import StatusFile
from sidecar.errors import ControlError
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def status_path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "status.json"


@pytest.fixture
def events_path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "events.jsonl"


def texts(reader: EventReader) -> list[str]:
    events = [decode(line) for line in reader.lines()]
    return [event.text for event in events if event is not None]


# --- the status file ------------------------------------------------------------------------------------------------


def test_the_newest_document_is_there_whole_and_for_its_owner_alone(status_path: Path) -> None:
    board = StatusFile(status_path)
    board.publish({"version": 1, "sentence": "first, and by far the longer one"})
    board.publish({"version": 1, "sentence": "Zürich"})
    assert json.loads(status_path.read_text()) == {"version": 1, "sentence": "Zürich"}
    assert stat.S_IMODE(status_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(status_path.parent.stat().st_mode) == 0o700


def test_a_reader_who_opened_the_old_document_keeps_it(status_path: Path) -> None:
    board = StatusFile(status_path)
    board.publish({"n": 1})
    with status_path.open() as opened:
        board.publish({"n": 2})
        assert json.load(opened) == {"n": 1}


def test_readers_never_see_half_a_document_while_it_is_being_replaced(status_path: Path) -> None:
    board = StatusFile(status_path)
    board.publish({"version": 1, "fill": ""})
    done = threading.Event()

    def read() -> list[dict[str, Any]]:
        seen = []
        while not done.is_set():
            seen.append(healthcheck.load(str(status_path)))  # raises on anything that is not whole
        return seen

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        try:
            for size in range(300):
                board.publish({"version": 1, "fill": "x" * (size * 100)})
        finally:
            done.set()
        seen = reader.result(20)
    assert seen
    assert all(set(document["fill"]) <= {"x"} and len(document["fill"]) % 100 == 0 for document in seen)


def test_a_half_written_file_left_by_a_killed_watchdog_is_in_nobodys_way(status_path: Path) -> None:
    status_path.parent.mkdir()
    (status_path.parent / ".status.json.next").write_text('{"version": 1, "sent' + "x" * 1000)
    StatusFile(status_path).publish({"n": 1})
    assert json.loads(status_path.read_text()) == {"n": 1}
    assert [file.name for file in status_path.parent.iterdir()] == ["status.json"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_a_document_that_is_no_json_is_refused_and_the_old_one_stays(status_path: Path, value: object) -> None:
    board = StatusFile(status_path)
    board.publish({"n": 1})
    with pytest.raises(ControlError, match="write the status"):
        board.publish({"n": value})
    assert json.loads(status_path.read_text()) == {"n": 1}


def test_a_status_that_cannot_be_written_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the directory should be")
    with pytest.raises(ControlError, match="run"):
        StatusFile(tmp_path / "run" / "status.json").publish({})


def test_a_link_laid_in_the_way_is_not_written_through(status_path: Path, tmp_path: Path) -> None:
    status_path.parent.mkdir()
    (tmp_path / "victim").write_text("precious")
    (status_path.parent / ".status.json.next").symlink_to(tmp_path / "victim")
    with pytest.raises(ControlError, match="write the status"):
        StatusFile(status_path).publish({})
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.drivers.control.paths.os.geteuid", lambda: 12345)
    with pytest.raises(ControlError, match="belongs to user"):
        prepare_directory(tmp_path)


# --- the event file -------------------------------------------------------------------------------------------------


def test_events_are_read_back_as_they_were_announced(events_path: Path) -> None:
    writer = EventFile(events_path)
    announced = [
        Announce("up", "traffic passes through 10-primary"),
        Announce("failover", 'to 20-backup\n"quoted"', Severity.WARNING),
        Announce("halted", "Zürich \ud800", Severity.ERROR),
    ]
    for announce in announced:
        writer.append(announce)
    with EventReader(events_path) as reader:
        events = [decode(line) for line in reader.lines()]
    assert [(event.kind, event.severity) for event in events if event] == [(a.kind, a.severity) for a in announced]
    assert [event.text for event in events if event] == [*(a.text for a in announced[:2]), "Zürich ?"]
    assert all(event.at.utcoffset().total_seconds() == 0 for event in events if event)
    assert stat.S_IMODE(events_path.stat().st_mode) == 0o600


def test_the_files_stay_bounded_and_hold_the_newest(events_path: Path) -> None:
    writer = EventFile(events_path, rotate_bytes=1000)
    for number in range(500):
        writer.append(Announce("tick", str(number)))
    assert events_path.stat().st_size + previous(events_path).stat().st_size < 2500
    with EventReader(events_path) as reader:
        kept = texts(reader)
    assert kept == [str(number) for number in range(500 - len(kept), 500)]
    assert len(kept) >= 10


def test_a_text_without_end_is_cut(events_path: Path) -> None:
    EventFile(events_path).append(Announce("odd", "x" * 1_000_000))
    assert events_path.stat().st_size < 5000


@pytest.mark.parametrize("rotate_bytes", [300, 1000, 100_000])
def test_a_follower_sees_every_event_once_and_in_order_across_rotations(events_path: Path, rotate_bytes: int) -> None:
    writer = EventFile(events_path, rotate_bytes)
    followed: list[str] = []
    with EventReader(events_path) as reader:
        assert texts(reader) == []
        for number in range(200):
            writer.append(Announce("tick", str(number)))
            followed += texts(reader) if number % 2 else []
        followed += texts(reader)
        assert texts(reader) == []
    assert followed == [str(number) for number in range(200)]


def test_a_follower_in_step_with_a_fast_writer_misses_nothing_that_is_still_kept(events_path: Path) -> None:
    writer = EventFile(events_path, 20_000)
    followed: list[str] = []

    def write() -> None:
        for number in range(2000):
            writer.append(Announce("tick", str(number)))

    thread = threading.Thread(target=write)
    with EventReader(events_path) as reader:
        thread.start()
        wait_until(lambda: followed.extend(texts(reader)) or not thread.is_alive(), 60, "the writer to end")
        followed += texts(reader)
    numbers = [int(text) for text in followed]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 1999


def test_a_follower_misses_nothing_where_the_file_was_rotated_twice_between_two_looks(events_path: Path) -> None:
    writer = EventFile(events_path, 300)
    writer.append(Announce("tick", "0"))
    with EventReader(events_path) as reader:
        followed = texts(reader)
        rotations, number = 0, 0
        while rotations < 2:
            number += 1
            writer.append(Announce("tick", str(number)))
            rotations += not events_path.exists()
        writer.append(Announce("tick", "last"))
        followed += texts(reader)
    assert followed == [*(str(each) for each in range(number + 1)), "last"]


def test_an_event_written_after_the_last_look_and_before_the_rotation_is_not_missed(events_path: Path) -> None:
    writer = EventFile(events_path, 300)

    class Raced(EventReader):
        """The writer is quicker than this reader, once, between its reading and its looking for the next file."""

        def _following(self, descriptor: int) -> int | None:
            while not previous(events_path).exists():
                writer.append(Announce("tick", "late"))
            if not events_path.exists():
                writer.append(Announce("tick", "new"))
            return super()._following(descriptor)

    writer.append(Announce("tick", "seen"))
    with Raced(events_path) as reader:
        followed = texts(reader)
    assert followed[0] == "seen"
    assert set(followed[1:-1]) == {"late"}
    assert followed[-1] == "new"


def test_a_reader_that_begins_after_a_rotation_reads_both_files_once(events_path: Path) -> None:
    writer = EventFile(events_path, 300)
    while not previous(events_path).exists():
        writer.append(Announce("tick", "old"))
    with EventReader(events_path) as reader:
        old = texts(reader)
        assert set(old) == {"old"}
        assert texts(reader) == []
        writer.append(Announce("tick", "new"))
        assert texts(reader) == ["new"]


def test_a_damaged_line_is_known_as_such() -> None:
    for line in (b"", b"{", b"[]", b"{}", b'{"time": 3, "kind": "a", "severity": "info", "text": ""}', b"[" * 5000):
        assert decode(line) is None


def test_an_event_that_does_not_fit_leaves_no_half_line_behind(tmp_path: Path) -> None:
    if not _small_tmpfs(tmp_path):
        pytest.skip("needs root and a mount namespace to fill a file system")
    script = """
import sys
from pathlib import Path
from sidecar.core.messages import Announce
from sidecar.drivers.control.event_file import EventFile, EventReader, decode
from sidecar.errors import ControlError
path = Path(sys.argv[1]) / "events.jsonl"
writer, kept, refused = EventFile(path), 0, 0
ballast = path.with_name("ballast")
ballast.write_bytes(bytes(8192))
while not refused:
    try:
        writer.append(Announce("fill", "x" * 900))
        kept += 1
    except ControlError as error:
        assert "No space left" in error.got, error
        refused += 1
ballast.unlink()
writer.append(Announce("fill", "after"))
with EventReader(path) as reader:
    events = [decode(line) for line in reader.lines()]
assert kept, kept
assert len(events) == kept + 1 and all(events) and events[-1].text == "after", (kept, events)
"""
    mount = 'mount -t tmpfs -o size=16k none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-m", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def _small_tmpfs(directory: Path) -> bool:
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "none", str(directory)]
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0


@pytest.mark.parametrize("obstacle", ["file", "directory"])
def test_events_that_cannot_be_kept_are_an_error(tmp_path: Path, obstacle: str) -> None:
    if obstacle == "file":
        (tmp_path / "run").write_text("")
    else:
        (tmp_path / "run" / "events.jsonl").mkdir(parents=True)
    with pytest.raises(ControlError):
        EventFile(tmp_path / "run" / "events.jsonl").append(Announce("up", "up"))
