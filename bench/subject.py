"""What is measured: a stack of real containers, and the ways into its namespaces that cost little time themselves."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import subprocess
import threading
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from integration.harness import engine
from integration.harness.stack import Stack
from integration.harness.waiting import wait_until
from sidecar.drivers.control.client import ControlClient
from sidecar.drivers.control.protocol import Command, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sidecar.drivers.control.protocol import Response

T = TypeVar("T")

PRIMARY, BACKUP = "10-primary", "20-backup"
CLONE_NEWNET = 0x40000000  # Source: <linux/sched.h>; os.setns came with Python 3.12
POLL_S = 0.005

_numbers = count(1)
_libc = ctypes.CDLL(None, use_errno=True)


class Subject(Stack):
    """A stack with quick ways to ask the sidecar: its control socket instead of a started command."""

    def ask_sidecar(self, command: Command, name: str | None = None) -> Response:
        """Ask through the control socket of the sidecar's own file system."""
        return ControlClient(Path(f"/proc/{self.pid()}/root/run/sidecar/control.sock")).ask(Request(command, name))

    def reach(self, phase: str, endpoint: str | None = None, deadline_s: float = 60.0) -> dict[str, Any]:
        """Wait for a phase, looking every few milliseconds at the status file alone."""
        pid = self.pid()

        def reached() -> dict[str, Any] | None:
            document = status_of(pid)
            on = (document.get("endpoint") or {}).get("name")
            return document if document.get("phase") == phase and endpoint in (None, on) else None

        return wait_until(reached, deadline_s, f"phase {phase} on {endpoint or 'any endpoint'}", POLL_S)

    def flush_ruleset(self) -> None:
        """Do what the lock must not survive unnoticed: flush it from outside, by the container's own nft."""
        # The host's nft may be older than the container's, and crash over rules that it does not know.
        command = ["nsenter", "-t", str(self.pid()), "-m", "-n", "nft", "flush", "ruleset"]
        subprocess.run(command, check=True, capture_output=True, timeout=10)

    def switch(self, name: str) -> None:
        """Move to an endpoint and wait until it carries traffic."""
        answer = self.ask_sidecar(Command.SWITCH, name)
        assert answer.accepted, answer.text
        self.reach("up", name)

    def unlock(self) -> None:
        """Unlock as soon as it is accepted, and wait until traffic passes again."""
        wait_until(lambda: self.ask_sidecar(Command.UNLOCK).accepted, 30, "unlock to be accepted", 0.05)
        self.reach("up")

    def host_device(self) -> str:
        """Return the host's end of the sidecar's eth0: one hop upstream, out of the namespace's reach."""
        link = Path(f"/proc/{self.pid()}/root/sys/class/net/eth0/iflink").read_text()
        return socket.if_indextoname(int(link))


def status_of(pid: int) -> dict[str, Any]:
    """Return the status document of the sidecar whose PID 1 this is; an empty one while there is none."""
    try:
        return json.loads(Path(f"/proc/{pid}/root/run/sidecar/status.json").read_text())
    except (OSError, ValueError):
        return {}


@contextlib.contextmanager
def running(preset: str, *services: str) -> Iterator[Subject]:
    """A stack that is up on its primary, for the block; it is taken away whatever happens.

    BENCH_CPU_SHARES in the environment gives the sidecar that weight (Docker's own default is 1024).
    """
    engine.sweep()
    subject = Subject(preset=preset, project=f"sc-bench-{os.getpid()}-{next(_numbers)}")
    try:
        subject.up(*(services or ("vpn", "workload")))
        subject.wait_for("up", PRIMARY, 60)
        if shares := os.environ.get("BENCH_CPU_SHARES"):
            subject.container("vpn").update(cpu_shares=int(shares))
        yield subject
    finally:
        subject.down()


def opened_in(pid: int, make: Callable[[], T]) -> T:
    """Return what `make` opens in a process's network namespace; a socket stays in the namespace that it began in."""
    made: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:  # in a thread that ends, so that nothing else of ours ever is in there
        try:
            with Path(f"/proc/{pid}/ns/net").open() as there:
                assert _libc.setns(there.fileno(), CLONE_NEWNET) == 0, f"setns to {pid}: errno {ctypes.get_errno()}"
            made.append(make())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


def sleep_until(at_s: float) -> None:
    """Sleep until this moment of time.time(); not at all where it has passed."""
    time.sleep(max(at_s - time.time(), 0))
