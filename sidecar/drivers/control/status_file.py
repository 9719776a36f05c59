"""The status document on tmpfs, replaced whole."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from sidecar.drivers.control.paths import FILE_MODE, prepare_directory
from sidecar.errors import ControlError

if TYPE_CHECKING:
    from pathlib import Path


class StatusFile:
    """The `StatusBoard` of ports: one writer, any number of readers, none of whom ever sees half a document.

    A reader that opened the old file keeps the old document; the health check never waits and never reads a torn one.
    There is no fsync: the file is on tmpfs and does not outlive the machine, and nobody should believe one that did.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = path.with_name(f".{path.name}.next")

    def publish(self, document: dict[str, object]) -> None:
        """Replace the document atomically.

        Raises:
            ControlError: the document is no JSON, or the file cannot be written.
        """
        attempted = f"write the status to {self._path}"
        try:
            text = json.dumps(document, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ControlError(
                attempted=attempted, got=str(error), remedy="this is a mistake of ours: report it"
            ) from error
        try:
            prepare_directory(self._path.parent)
            self._replace(text.encode("utf-8", "replace") + b"\n")
        except OSError as error:
            raise ControlError(
                attempted=attempted,
                got=error.strerror or str(error),
                remedy=f"see that {self._path.parent} is a writable tmpfs with space left",
            ) from error

    def _replace(self, content: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._next, flags, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        self._next.replace(self._path)
