"""What is to be attacked: the uplinks, the tunnel and its endpoints, as the configuration and the kernel have them."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sidecar.config import FileConfiguration
from sidecar.core.killswitch import permit_tunnel
from sidecar.core.proof import DEVICE
from sidecar.drivers import pins as pins_driver
from sidecar.drivers.netns.links import KernelLinks
from sidecar.errors import ControlError, LinkError

if TYPE_CHECKING:
    from sidecar.core.killswitch import Policy, Uplink
    from sidecar.core.model import Plan
    from sidecar.drivers.control.paths import RuntimePaths


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known before anything is tried.

    Attributes:
        uplinks: those with a carrier.
        policy: what should be in force, as the watchdog works it out too.
        source_port: one that the lock permits and nobody uses.
    """

    plan: Plan
    uplinks: tuple[Uplink, ...]
    policy: Policy
    source_port: int = field(repr=False)


def gather(paths: RuntimePaths) -> Facts:
    """Look at the configuration and the namespace.

    Raises:
        ConfigError: the configuration cannot be used.
        ControlError: no watchdog has run here.
        LinkError: there is nothing to attack, or it cannot be seen.
    """
    kept = paths.directory / "pins.json"
    if not kept.exists():
        raise ControlError(
            attempted="find the lock that is to be proved",
            got=f"{kept}: no watchdog has run here",
            remedy="run this inside the sidecar (docker compose exec vpn sidecar prove)",
        )
    pins = pins_driver.load_or_draw(kept)
    return look(FileConfiguration(pins=pins, environ=os.environ).load())


def look(plan: Plan) -> Facts:
    """Look at the namespace of the calling thread.

    Raises:
        LinkError: there is nothing to attack, or it cannot be seen.
    """
    found = KernelLinks().uplinks(plan.device, [endpoint.address for endpoint in plan.endpoints])
    uplinks = tuple(uplink for uplink in found if uplink.device != DEVICE)
    carrying = tuple(uplink for uplink in uplinks if uplink.carrier)
    if not carrying:
        raise LinkError(
            attempted="find an uplink to attack",
            got="no uplink is up",
            remedy="see `sidecar status`; where it is halted nothing passes, and there is nothing to prove",
        )
    return Facts(plan, carrying, permit_tunnel(plan, uplinks), _free_port(plan.pins.listen_ports))


def _free_port(ports: tuple[int, ...]) -> int:
    """Return a port of the tunnel's that can be bound: one is its own socket's."""
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as candidate:
            try:
                candidate.bind(("", port))
            except OSError:
                continue
            return port
    return ports[-1]
