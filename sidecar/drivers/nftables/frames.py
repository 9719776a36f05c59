"""The core's exact frames and hardware addresses, for uplinks that have Ethernet ones; an error for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.frames import ethernet_octets, resolution_frames
from sidecar.errors import LockError

if TYPE_CHECKING:
    from sidecar.core.frames import Exact
    from sidecar.core.killswitch import Policy, Resolution
    from sidecar.core.model import MacAddress


def exact_frames(policy: Policy, resolution: Resolution) -> tuple[Exact, ...]:
    """Return every frame by which `resolution`, one of `policy`'s, may ask and answer.

    Raises:
        LockError: the uplink or the next hop has no Ethernet address.
    """
    for mac in (resolution.source_mac, resolution.next_hop_mac):
        if mac is not None:
            mac_bytes(mac, resolution.device)
    return resolution_frames(resolution, policy.flows)


def mac_bytes(mac: MacAddress, device: str) -> bytes:
    """Return the six octets of `mac`.

    Raises:
        LockError: it is no Ethernet address; outer packets are pinned by theirs, so `device` cannot be an uplink.
    """
    octets = ethernet_octets(mac)
    if octets is None:
        raise LockError(
            attempted=f"pin the outer packets on {device}",
            got=f"{mac!r} is not an Ethernet address",
            remedy="use an Ethernet-like uplink (veth, macvlan, ipvlan, a physical card)",
        )
    return octets
