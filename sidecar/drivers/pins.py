"""The random numbers that tell our outer packets from a forgery: drawn once, kept on tmpfs, for root alone.

They outlive the watchdog, because the tunnel's socket and the ruleset that carry them do; they go with the container,
and so does its network namespace.
"""

from __future__ import annotations

import json
import os
import secrets
from typing import TYPE_CHECKING

from sidecar.core.model import Pins
from sidecar.errors import LockError

if TYPE_CHECKING:
    from pathlib import Path

PORT_COUNT = 8
"""Source ports permitted from the start: one in use, the others for rebinds; they come round again."""

FIRST_PORT = 10240
LAST_PORT = 32767
"""Below Linux's ephemeral range, so that no workload's socket sits on one by chance.

Source: ip-sysctl.rst, ip_local_port_range, 32768 to 60999 by default.
"""

MARK_BITS = 32


def load_or_draw(path: Path) -> Pins:
    """Return the pins kept at `path`; draw and keep new ones where there are none, or none that can be believed.

    New pins beside an old ruleset only cost a transaction and a new handshake; a wrong guess would cost the lock its
    meaning. So anything odd means drawing anew.

    Raises:
        LockError: they cannot be kept.
    """
    kept = _load(path)
    if kept is not None:
        return kept
    pins = draw()
    _save(path, pins)
    return pins


def draw() -> Pins:
    """Return fresh pins from the kernel's random source."""
    fwmark = 0
    while fwmark == 0:
        fwmark = secrets.randbits(MARK_BITS)
    ports = secrets.SystemRandom().sample(range(FIRST_PORT, LAST_PORT + 1), PORT_COUNT)
    return Pins(fwmark, tuple(ports))


def _load(path: Path) -> Pins | None:
    try:
        document = json.loads(path.read_bytes())
        pins = Pins(int(document["fwmark"]), tuple(int(port) for port in document["listen_ports"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    in_range = all(FIRST_PORT <= port <= LAST_PORT for port in pins.listen_ports)
    whole = len(set(pins.listen_ports)) == PORT_COUNT and 0 < pins.fwmark < 2**MARK_BITS
    return pins if in_range and whole else None


def _save(path: Path, pins: Pins) -> None:
    text = json.dumps({"fwmark": pins.fwmark, "listen_ports": pins.listen_ports})
    fresh = path.with_name(f".{path.name}.next")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as error:
        raise LockError(
            attempted=f"keep the lock's random numbers in {path}",
            got=error.strerror or str(error),
            remedy="mount a writable tmpfs there (compose.yaml: tmpfs: [/run])",
        ) from error
