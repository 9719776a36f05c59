"""The running stack, by way of docker compose."""
# ruff: noqa: INP001, S603 - a directory that is run as a script; fixed commands

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = TypeVar("Answer")

COMPOSE = str(Path(__file__).parents[1] / "compose")
PYTHON = ("/opt/sidecar/bin/python", "-B")
PATIENCE_S = 60.0


class NotToldError(Exception):
    """A step of the story did not happen."""


def compose(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run docker compose on the stack, and wait for it."""
    return subprocess.run([COMPOSE, *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=60)


def sidecar(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the sidecar's command line."""
    return compose("exec", "-T", "vpn", "sidecar", *arguments)


def fault(peer: str, name: str) -> None:
    """Make something go wrong at a mock peer, or restore it."""
    done = compose("exec", "-T", f"peer-{peer}", *PYTHON, "-m", "peers", "fault", name)
    if done.returncode:
        raise NotToldError(f"the peer {peer} did not take the fault '{name}': {done.stderr.strip()}")


def follow(service: str, *command: str) -> subprocess.Popen[str]:
    """Run a command in a service's container, in the background; its lines come by `stdout`.

    Killing what is returned ends the command's client alone, so the command itself ends after five minutes.
    """
    words = [COMPOSE, "exec", "-T", service, "timeout", "300", *command]
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )


def status() -> dict[str, Any]:
    """Return the status document; an empty one where there is none."""
    try:
        return json.loads(sidecar("status", "--json").stdout)
    except ValueError:
        return {}


def wait_for(question: Callable[[], Answer], what: str, deadline_s: float = PATIENCE_S) -> Answer:
    """Return the first true answer.

    Raises:
        NotToldError: there was none in time.
    """
    end_s = time.monotonic() + deadline_s
    while not (answer := question()):
        if time.monotonic() > end_s:
            raise NotToldError(f"waited {deadline_s:g} s in vain for {what}")
        time.sleep(0.1)
    return answer
