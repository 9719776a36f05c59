"""Reads small regular files, and nothing that could block or grow without bound."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sidecar.config.mistakes import UnusableError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LARGEST_FILE_BYTES = 256 * 1024
"""A hundred times what any of these files holds; more is some other file."""


@dataclass(frozen=True, slots=True)
class Read:
    """One file as it was read; `status` is of the very same open file."""

    data: bytes = field(repr=False)
    status: os.stat_result


def read(path: Path) -> Read:
    """Read the whole file.

    Raises:
        UnusableError: it is absent, unreadable, too large or no regular file (a pipe would block us for ever).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise _refused(error) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnusableError("it is not a regular file", "put a regular file there")
        data = _read_up_to(descriptor, LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise _refused(error) from None
    finally:
        os.close(descriptor)
    if len(data) > LARGEST_FILE_BYTES:
        raise UnusableError(f"it is larger than {LARGEST_FILE_BYTES} bytes", "put the right file there")
    return Read(data, status)


def text_of(data: bytes) -> str:
    """Decode UTF-8, with or without a byte order mark; an undecodable byte is named, never repeated."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnusableError(f"it is not UTF-8 text (line {line})", "save it as plain text in UTF-8") from None


def is_there(path: Path) -> bool:
    """Whether there is anything under this name. Where that cannot be told it is True, so that reading it says why."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True


def read_text(path: Path) -> str:
    """Read a whole text file."""
    return text_of(read(path).data)


def fingerprint(directories: Iterable[Path], files: Iterable[Path]) -> str:
    """Return a word that changes with the names in `directories` and with the contents and times of `files`."""
    digest = hashlib.sha256()
    for directory in directories:
        digest.update(_names_in(directory))
    for path in files:
        digest.update(b"\0" + os.fsencode(path) + b"\0" + _look(path))
    return digest.hexdigest()


def _look(path: Path) -> bytes:
    try:
        got = read(path)
    except UnusableError as error:
        return error.got.encode()
    meta = f"{got.status.st_mtime_ns} {got.status.st_size} {got.status.st_mode}"
    return meta.encode() + b"\0" + hashlib.sha256(got.data).digest()


def _names_in(directory: Path) -> bytes:
    try:
        return b"\0".join(sorted(os.fsencode(entry.name) for entry in directory.iterdir()))
    except (OSError, ValueError) as error:
        return type(error).__name__.encode()


def _read_up_to(descriptor: int, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit
    while left and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _refused(error: OSError | ValueError) -> UnusableError:
    if isinstance(error, FileNotFoundError):
        return UnusableError("there is no such file", "put the file there, or name the right one")
    if isinstance(error, PermissionError):
        return UnusableError("permission denied", "let the sidecar's user read it: chown it to that user, chmod 600")
    if isinstance(error, OSError):
        return UnusableError((error.strerror or type(error).__name__).lower(), "see that the file can be read")
    return UnusableError("it cannot be the name of a file", "name the right file")
