"""Every operation on the disk, failed or made the last one, in every kind of save."""

from __future__ import annotations

import errno
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.core.sights import Latch, Persisted
from sidecar.drivers.state import JsonStateStore
from sidecar.drivers.state.disk import Disk
from sidecar.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLD = Persisted("10-primary", "ab" * 32, 0, None, (("eth0", ip_address("10.77.0.1")),))
NEW = Persisted("20-backup", "cd" * 32, 3, None)
LATCH = Latch("a frame left eth0", "IPv4 10.77.0.2 > 203.0.113.9")
MOVES = {
    "failover": (OLD, NEW),
    "halt": (OLD, replace(NEW, latch=LATCH)),
    "unlock": (replace(OLD, latch=LATCH), NEW),
    "halted again": (replace(OLD, latch=LATCH), replace(NEW, latch=Latch("again", "more"))),
    "first halt ever": (None, replace(NEW, latch=LATCH)),
}


class PowerCut(BaseException):
    """Nothing catches this, as nothing runs on after a power cut."""


class FaultyDisk(Disk):
    """Fails its operation number `fail_at`, before or after half of it is done."""

    def __init__(self, fail_at: int, fault: BaseException) -> None:
        self.operations: list[str] = []
        self._fail_at = fail_at
        self._fault = fault
        self._dead = False

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name.startswith("_") or not callable(value):
            return value

        def operate(*arguments: Any) -> Any:
            if self._dead:
                raise self._fault
            self.operations.append(name)
            if len(self.operations) - 1 != self._fail_at:
                return value(*arguments)
            self._dead = isinstance(self._fault, PowerCut)
            if name == "write":  # half a write has happened
                value(arguments[0], arguments[1][: len(arguments[1]) // 2])
            raise self._fault

        return operate


def operations_of(directory: Path, old: Persisted | None, new: Persisted) -> int:
    counting = FaultyDisk(-1, PowerCut())
    prepare(directory, old)
    JsonStateStore(directory, counting).save(new)
    return len(counting.operations)


def prepare(directory: Path, old: Persisted | None) -> None:
    directory.mkdir()
    if old is not None:
        JsonStateStore(directory).save(old)


def each_fault(tmp_path: Path, move: str) -> Iterator[tuple[Path, int, Persisted | None, Persisted]]:
    old, new = MOVES[move]
    count = operations_of(tmp_path / "counting", old, new)
    assert count > 5
    for number in range(count):
        directory = tmp_path / str(number)
        prepare(directory, old)
        yield directory, number, old, new


def check(directory: Path, old: Persisted | None, new: Persisted, where: str) -> None:
    """Require that state and latch are each the old or the new one, whole."""
    loaded = JsonStateStore(directory).load()
    found = loaded.persisted
    latches = {one.latch for one in (old, new) if one is not None} | ({None} if old is None else set())
    assert (found.latch if found else None) in latches, where
    plain = {replace(one, latch=None) for one in (old, new) if one is not None}
    if old is None:
        plain |= {Persisted(active=None, list_digest="", bad_cycles=0, latch=None)}
    assert found is None or replace(found, latch=None) in plain, where
    assert found is not None or old is None, where
    if old is not None:
        assert loaded.damage is None, where


@pytest.mark.parametrize("move", MOVES)
def test_a_power_cut_anywhere_leaves_the_old_or_the_new_state(tmp_path: Path, move: str) -> None:
    for directory, number, old, new in each_fault(tmp_path, move):
        disk = FaultyDisk(number, PowerCut())
        with pytest.raises(PowerCut):
            JsonStateStore(directory, disk).save(new)
        check(directory, old, new, f"{number}: {disk.operations[-1]}")


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_an_error_anywhere_is_told_and_leaves_the_old_or_the_new_state(tmp_path: Path, move: str, number: int) -> None:
    for directory, at, old, new in each_fault(tmp_path, move):
        disk = FaultyDisk(at, OSError(number, "injected"))
        with pytest.raises(StateError, match="injected"):
            JsonStateStore(directory, disk).save(new)
        loaded = JsonStateStore(directory).load().persisted
        if new.latch is not None:
            assert loaded is not None
            assert loaded.latch is not None, f"{at}: {disk.operations[at]} cost the latch"
        else:
            check(directory, old, new, f"{at}: {disk.operations[at]}")


def test_a_disk_without_room_for_a_byte_still_keeps_a_halt(tmp_path: Path) -> None:
    class FullDisk(Disk):
        def write(self, _descriptor: int, _data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    JsonStateStore(tmp_path).save(OLD)
    with pytest.raises(StateError, match="No space left"):
        JsonStateStore(tmp_path, FullDisk()).save(replace(NEW, latch=LATCH))
    persisted = JsonStateStore(tmp_path).load().persisted
    assert persisted is not None
    assert persisted.active == OLD.active
    assert persisted.latch is not None
    assert "cannot be excluded" in persisted.latch.reason


def test_short_writes_are_carried_on(tmp_path: Path) -> None:
    class SlowDisk(Disk):
        def write(self, descriptor: int, data: bytes) -> int:
            return super().write(descriptor, data[:7])

    JsonStateStore(tmp_path, SlowDisk()).save(OLD)
    assert JsonStateStore(tmp_path).load().persisted == OLD


def test_an_unlock_is_not_believed_before_the_state_says_so(tmp_path: Path) -> None:
    class ReadOnly(Disk):
        def create(self, _path: Path) -> int:
            raise OSError(errno.EROFS, "Read-only file system")

    halted = replace(OLD, latch=LATCH)
    JsonStateStore(tmp_path).save(halted)
    with pytest.raises(StateError):
        JsonStateStore(tmp_path, ReadOnly()).save(NEW)
    assert JsonStateStore(tmp_path).load().persisted == halted
