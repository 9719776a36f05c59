"""The few things that the state store does to a disk, one method each, so that a test can fail any of them."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MODE = 0o600


class Disk:
    """Primitive operations; each raises `OSError`."""

    def make_directory(self, path: Path) -> None:
        """Make `path` and what leads to it, for the owner alone; success where it exists."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def names(self, directory: Path) -> frozenset[str]:
        """Return the names in `directory`."""
        return frozenset(path.name for path in directory.iterdir())

    def read(self, path: Path, most_bytes: int) -> bytes:
        """Return the first `most_bytes` of a file."""
        with path.open("rb") as file:
            return file.read(most_bytes)

    def create(self, path: Path) -> int:
        """Open `path` empty, for writing, and return the descriptor."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, MODE)
        os.fchmod(descriptor, MODE)  # it may be a leftover with another mode
        return descriptor

    def write(self, descriptor: int, data: bytes) -> int:
        """Write some of `data`; return how much."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Wait until the file is on the medium."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Put `old` in the place of `new`, in one step."""
        old.replace(new)

    def remove(self, path: Path) -> None:
        """Remove a file; success where there is none."""
        path.unlink(missing_ok=True)

    def sync_directory(self, path: Path) -> None:
        """Wait until the names in a directory are on the medium."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_atomically(disk: Disk, path: Path, data: bytes) -> None:
    """Make `path` hold `data`, durably; after an interruption anywhere it holds that or what it held before.

    Source: rename(2); fsync(2), of which a directory needs one of its own.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        descriptor = disk.create(temporary)
        try:
            rest = data
            while rest:
                rest = rest[disk.write(descriptor, rest) :]
            disk.sync(descriptor)
        finally:
            disk.close(descriptor)
        disk.rename(temporary, path)
    except OSError:
        with suppress(OSError):
            disk.remove(temporary)
        raise
    disk.sync_directory(path.parent)
