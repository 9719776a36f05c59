"""Frames that should not exist, kept in memory until there is a halt to explain, then written beside its reason."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scapy.utils import RawPcapWriter

from sidecar.drivers.capture.frames import SNAPSHOT_BYTES, parse
from sidecar.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from sidecar.core.sights import Latch

DIRECTORY = Path("/var/lib/sidecar/evidence")
KEPT_BYTES = 1 << 20
KEPT_S = 60.0
"""A frame that the core found innocent a minute ago explains no halt."""
KEPT_HALTS = 10
_RECORD_BYTES = 16
"""What a frame costs over its own bytes. Source: draft-ietf-opsawg-pcap section 5."""
_ETHERNET = 1  # LINKTYPE_ETHERNET


@dataclass(frozen=True, slots=True)
class Kept:
    """A frame as it left."""

    at_s: float
    device: str
    data: bytes
    length_bytes: int


class PcapEvidence:
    """The newest frames in memory; `save` writes them. Memory and directory are bounded.

    Nothing is written before a halt: a tap's thread never waits for a disk, and a frame that is judged innocent leaves
    no file behind.

    Args:
        directory: made if missing, for root's eyes only.
        now_s: the time of day, in seconds since 1970.
    """

    def __init__(self, directory: Path = DIRECTORY, now_s: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._now_s = now_s
        self._guard = threading.Lock()
        self._kept: deque[Kept] = deque()
        self._kept_bytes = 0

    def keep(self, device: str, data: bytes, length_bytes: int) -> None:
        """Remember a frame that starts with `data`, and drop the oldest over the bound. Does no I/O."""
        self._remember(Kept(self._now_s(), device, data[:SNAPSHOT_BYTES], length_bytes))

    def save(self, latch: Latch) -> str:
        """Write the latch as text and the frames as a pcap beside it; return the path of the text.

        The same latch with no new frame, as after a restart, returns what is there already.

        Raises:
            CaptureError: something could not be written; the rest was, and the frames are kept for another try.
        """
        with self._guard:
            frames, self._kept = self._kept, deque()
            self._kept_bytes = 0
        if not frames and (known := self._known(latch)) is not None:
            return str(known)
        try:
            return str(self._write(latch, tuple(frames)))
        except CaptureError:
            for kept in frames:
                self._remember(kept)
            raise

    def _remember(self, kept: Kept) -> None:
        with self._guard:
            self._kept.append(kept)
            self._kept_bytes += _cost(kept)
            while self._kept and (self._kept_bytes > KEPT_BYTES or self._kept[0].at_s < kept.at_s - KEPT_S):
                self._kept_bytes -= _cost(self._kept.popleft())

    def _known(self, latch: Latch) -> Path | None:
        """Return the newest text if it tells of this very latch."""
        try:
            newest = max(self._directory.glob("halt-*.txt"), default=None)
            told = newest is not None and newest.read_text(encoding="utf-8").startswith(_headline(latch))
        except (OSError, UnicodeDecodeError):
            return None
        return newest if told else None

    def _write(self, latch: Latch, frames: tuple[Kept, ...]) -> Path:
        now_s = self._now_s()
        stem = time.strftime("halt-%Y%m%dT%H%M%S", time.gmtime(now_s)) + f".{int(now_s % 1 * 1e6):06d}Z"
        text = self._directory / f"{stem}.txt"
        troubles = [
            self._attempt(self._make_room),
            self._attempt(lambda: _create(text, lambda file: file.write(_text(latch, frames)))),
        ]
        if frames:
            pcap = self._directory / f"{stem}.pcap"
            troubles.append(self._attempt(lambda: _create(pcap, lambda file: _write_frames(file, frames))))
        if any(troubles):
            raise CaptureError(
                attempted=f"save the evidence of the halt in {self._directory}",
                got="; ".join(trouble for trouble in troubles if trouble),
                remedy="free space on the state volume or mount it writable; the halt itself stands",
            )
        return text

    @staticmethod
    def _attempt(part: Callable[[], object]) -> str:
        """Run one part, so that its failure does not keep the next from being tried; return what went wrong."""
        try:
            part()
        except OSError as error:
            return str(error)
        return ""

    def _make_room(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        stems = sorted({path.stem for path in self._directory.glob("halt-*")})
        for stem in stems[: max(0, len(stems) - KEPT_HALTS + 1)]:
            for suffix in (".txt", ".pcap"):
                (self._directory / f"{stem}{suffix}").unlink(missing_ok=True)


def _cost(kept: Kept) -> int:
    return len(kept.data) + _RECORD_BYTES


def _headline(latch: Latch) -> str:
    return f"halted: {latch.reason}\nevidence: {latch.evidence}\n"


def _text(latch: Latch, frames: tuple[Kept, ...]) -> bytes:
    lines = (
        f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(kept.at_s))} {kept.device} "
        f"{parse(kept.device, kept.data, kept.length_bytes).summary}\n"
        for kept in frames
    )
    return (_headline(latch) + "".join(lines)).encode("utf-8", "backslashreplace")


def _write_frames(file: IO[bytes], frames: tuple[Kept, ...]) -> None:
    writer = RawPcapWriter(file, linktype=_ETHERNET, snaplen=SNAPSHOT_BYTES)
    writer.write_header(None)
    for kept in frames:
        seconds = int(kept.at_s)
        microseconds = int((kept.at_s - seconds) * 1e6)
        writer.write_packet(kept.data, sec=seconds, usec=microseconds, wirelen=kept.length_bytes)


def _create(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
