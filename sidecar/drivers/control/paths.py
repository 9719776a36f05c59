"""Where the files are, and who may see them."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from sidecar.errors import ControlError

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600


@dataclass(frozen=True, slots=True)
class RuntimePaths:
    """The files under one directory, which is on tmpfs in the image: they are of this boot, and cost no disk."""

    directory: Path = Path("/run/sidecar")

    @property
    def status(self) -> Path:
        """The status document, read by the health check and by `sidecar status`."""
        return self.directory / "status.json"

    @property
    def events(self) -> Path:
        """The newest events, a JSON object a line."""
        return self.directory / "events.jsonl"

    @property
    def socket(self) -> Path:
        """The control socket."""
        return self.directory / "control.sock"


def prepare_directory(directory: Path) -> None:
    """Make `directory` ours alone, whatever mode it was mounted with (Docker's own default for a tmpfs is 1777).

    Raises:
        ControlError: it cannot be made, is something else, or belongs to another user.
    """
    attempted = f"make {directory} a directory of mode {DIRECTORY_MODE:o}"
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            owner = os.fstat(opened).st_uid
            if owner == os.geteuid() and stat.S_IMODE(os.fstat(opened).st_mode) != DIRECTORY_MODE:
                os.fchmod(opened, DIRECTORY_MODE)
        finally:
            os.close(opened)
    except OSError as error:
        raise ControlError(
            attempted=attempted,
            got=error.strerror or str(error),
            remedy="mount a writable tmpfs there (compose.yaml: tmpfs: [/run])",
        ) from error
    if owner != os.geteuid():
        raise ControlError(
            attempted=attempted,
            got=f"it belongs to user {owner}",
            remedy=f"remove it, or give it to user {os.geteuid()}",
        )
