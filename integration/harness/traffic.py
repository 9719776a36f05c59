"""Traffic of workloads: real clients that go on while something happens to the sidecar."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from integration.harness import engine
from integration.harness.waiting import wait_until

if TYPE_CHECKING:
    from integration.harness.stack import Stack

ATTEMPTS = ("/usr/bin/python3", "-B", "/opt/attempts/attempts.py")
# Nobody has this address (RFC 5737, TEST-NET-3): what is sent there is sent for the tap upstream.
TARGET = "203.0.113.7"


@dataclass
class Background:
    """A command that runs in a service's container, in the background."""

    stack: Stack
    service: str
    command: tuple[str, ...]
    exec_id: str = ""
    token: str = ""

    def __enter__(self) -> Self:
        api = engine.client().api
        self.exec_id = api.exec_create(self.stack.container(self.service).id, list(self.command))["Id"]
        api.exec_start(self.exec_id, detach=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing: every command here ends by itself, within a bound that it was given."""

    def exit_code(self) -> int | None:
        """Return the exit code; None while the command runs."""
        return engine.client().api.exec_inspect(self.exec_id)["ExitCode"]

    def wait(self, deadline_s: float) -> int:
        """Wait for the end of the command; return its exit code."""

        def ended() -> tuple[int] | None:
            code = self.exit_code()
            return None if code is None else (code,)

        return wait_until(ended, deadline_s, f"{self.command[0]} in {self.service} to end")[0]


def new_token() -> str:
    """Return a word that no other frame holds."""
    return f"leak-{secrets.token_hex(6)}"


def flood(stack: Stack, service: str, seconds: float, device: str = "eth0") -> Background:
    """Send to nobody, routed and by AF_PACKET, some hundred times a second, as soon as the device is there."""
    token = new_token()
    sender = ("env", f"LEAK_DEVICE={device}", *ATTEMPTS)
    command = (*sender, token, str(stack.primary), TARGET, "--for", str(seconds))
    return Background(stack, service, command, token=token)


def download(stack: Stack, path: str, size: int, rate: str) -> Background:
    """Download from the far side with curl, no faster than `rate`, for 60 s at most."""
    url = f"http://198.51.100.10/file?bytes={size}"
    return Background(stack, "workload", ("curl", "-sS", "-m", "60", "--limit-rate", rate, "-o", path, url))
