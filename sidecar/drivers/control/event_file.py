"""The newest events, a JSON object a line, in two files that take turns; bounded, on tmpfs."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from sidecar.core.messages import Severity
from sidecar.drivers.control.paths import FILE_MODE, prepare_directory
from sidecar.errors import ControlError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sidecar.core.messages import Announce

ROTATE_BYTES = 256 * 1024
"""So the two files hold between one and two times this: some thousands of events."""
MAXIMUM_TEXT_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class Event:
    """An announcement and when it was made, in wall time, for people; nothing is decided by it."""

    at: dt.datetime
    kind: str
    severity: Severity
    text: str


def encode(event: Event) -> bytes:
    """Return the line for `event`."""
    at = event.at.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    text = event.text[:MAXIMUM_TEXT_CHARACTERS]
    fields = {"time": at, "kind": event.kind, "severity": event.severity.value, "text": text}
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def decode(line: bytes) -> Event | None:
    """Return the event in `line`; None where there is none (a write that was cut short)."""
    try:
        fields = json.loads(line)
        return Event(
            at=dt.datetime.fromisoformat(fields["time"]),
            kind=str(fields["kind"]),
            severity=Severity(fields["severity"]),
            text=str(fields["text"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


class EventFile:
    """The writing end. One writer; readers may come and go."""

    def __init__(self, path: Path, rotate_bytes: int = ROTATE_BYTES) -> None:
        self._path = path
        self._rotate_bytes = rotate_bytes

    def append(self, announce: Announce) -> None:
        """Add one event, with the time it is now.

        Raises:
            ControlError: the file cannot be written.
        """
        event = Event(dt.datetime.now(dt.UTC), announce.kind, announce.severity, announce.text)
        try:
            prepare_directory(self._path.parent)
            self._write(encode(event))
        except OSError as error:
            raise ControlError(
                attempted=f"write an event to {self._path}",
                got=error.strerror or str(error),
                remedy=f"see that {self._path.parent} is a writable tmpfs with space left",
            ) from error

    def _write(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self._path, flags, FILE_MODE), "ab", buffering=0) as file:
            start = file.seek(0, os.SEEK_END)
            written = file.write(line)  # one write(2): a reader sees the whole line or none of it
            if written != len(line):
                file.truncate(start)  # or the next event would continue this half, and be lost with it
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            full = file.tell() >= self._rotate_bytes
        if full:
            self._path.replace(previous(self._path))


def previous(path: Path) -> Path:
    """Return where the file before this one is kept."""
    return path.with_name(f"{path.name}.1")


class EventReader:
    """The reading end: what is there, and then what comes, across rotations, each line once and in order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def lines(self) -> Iterator[bytes]:
        """Yield every whole line not yet yielded, without its end; the next call goes on from there.

        Raises:
            ControlError: the file cannot be read. One that does not exist holds no lines.
        """
        try:
            if self._descriptor is None:
                self._descriptor = self._oldest()
            while self._descriptor is not None:
                yield from self._drain(self._descriptor)
                following = self._following(self._descriptor)
                if following is None:
                    return
                yield from self._drain(self._descriptor)  # what came before it was rotated away; nothing comes after
                os.close(self._descriptor)
                self._descriptor, self._rest = following, b""
        except OSError as error:
            raise ControlError(
                attempted=f"read {self._path}",
                got=error.strerror or str(error),
                remedy="run this as root inside the sidecar",
            ) from error

    def _oldest(self) -> int | None:
        current = _open(self._path)  # first: a rotation before the next line then shows the same file as previous
        before = _open(previous(self._path))
        if before is None:
            return current
        _close(current)
        return before

    def _drain(self, descriptor: int) -> Iterator[bytes]:
        while chunk := os.read(descriptor, ROTATE_BYTES):
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            yield from whole

    def _following(self, descriptor: int) -> int | None:
        """Open the file that came after this one; None while this one is the newest.

        That is the current file, unless a rotation has put one between: then the previous one, the oldest still kept.
        """
        current = _open(self._path)
        if current is not None and os.path.sameopenfile(current, descriptor):
            os.close(current)
            return None
        before = _open(previous(self._path))
        if before is None or os.path.sameopenfile(before, descriptor):
            _close(before)
            return current
        _close(current)
        return before


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
