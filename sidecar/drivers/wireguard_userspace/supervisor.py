"""Who runs wireguard-go for us."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final, Protocol

from sidecar.errors import TunnelError

if TYPE_CHECKING:
    from pathlib import Path

CONTROL_TIMEOUT_S: Final = 2.0


class Supervisor(Protocol):
    """Whoever runs `wireguard-go -f <device>`. Raises `TunnelError`."""

    def start(self, device: str) -> None:
        """Have the process run, and return at once. Success where it does already."""

    def restart(self, device: str) -> None:
        """Kill a process that hangs, have another one run, and return at once."""


class S6Supervisor:
    """s6, with a service directory for wireguard-go whose run script finds the device's name in the file `device`."""

    def __init__(self, service_directory: Path) -> None:
        self._service_directory = service_directory

    def start(self, device: str) -> None:
        """See `Supervisor.start`."""
        attempted = f"start wireguard-go for {device}"
        self._name(device, attempted)
        self._control("-u", attempted)

    def restart(self, device: str) -> None:
        """See `Supervisor.restart`. SIGKILL, because a process that is stopped takes no other signal."""
        attempted = f"restart wireguard-go for {device}"
        self._name(device, attempted)
        self._control("-ku", attempted)

    def _name(self, device: str, attempted: str) -> None:
        try:
            (self._service_directory / "device").write_text(f"{device}\n", encoding="ascii")
        except OSError as error:
            remedy = "mount a writable tmpfs on /run; the entrypoint lays out the services there"
            raise TunnelError(attempted=attempted, got=str(error), remedy=remedy) from error

    def _control(self, letters: str, attempted: str) -> None:
        command = ["s6-svc", letters, str(self._service_directory)]
        try:
            subprocess.run(  # noqa: S603 - a fixed command, found in the image's PATH
                command, check=True, capture_output=True, text=True, timeout=CONTROL_TIMEOUT_S
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else ""
            raise TunnelError(
                attempted=attempted,
                got=said or str(error),
                remedy="see whether s6-svscan runs, as PID 1, over its services",
            ) from error
