"""wireguard-go in a namespace, in place of the image's s6."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

    from tests.netns.world import Namespace


class PopenSupervisor:
    """`Supervisor` for one device. `starts` counts processes."""

    def __init__(self, namespace: Namespace) -> None:
        self.starts = 0
        self._namespace = namespace
        self.process: subprocess.Popen[str] | None = None

    def start(self, device: str) -> None:
        if self.has_ended():
            self.process = self._namespace.start(["wireguard-go", "-f", device])
            self.starts += 1

    def restart(self, device: str) -> None:
        self.kill()
        self.start(device)

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def kill(self) -> None:
        """End the process by SIGKILL; its socket's file stays behind."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=10)
            self.process = None
