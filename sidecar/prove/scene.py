"""Where an attempt is made, and what it must carry so that it is recognised wherever it turns up."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything an attack knows, which is everything a workload can find out, and the mark besides.

    What a place does not have (IPv6, say) is filled in with documentation addresses: the kernel will say no.

    Attributes:
        token: six bytes drawn for this attempt; they also fit where a hardware address stands.
        device: the uplink.
        router_mac: of the next hop; everybody's where it is not known.
        router4: the next hop, or another host on the uplink's network.
        nobody4: an address that no neighbour table knows; by the uplink it is taken for on-link.
        far4: what must not be reached, a documentation address.
        endpoint4: the WireGuard server; what is sent there shows what a permit by address and port is worth.
        source_port: one that the tunnel may use, and does not use now.
        fwmark: the mark of the tunnel's own packets. No workload can know it; the lock must hold where one does.
        tunnel_peer4: an address that is reached through the tunnel.
        group4: a multicast group drawn for this attempt.
        resolver4: Docker's embedded resolver, or another address of the loopback where there is no lock.
    """

    token: bytes
    device: str
    own_mac: bytes
    router_mac: bytes
    own4: IPv4Address
    own6: IPv6Address
    router4: IPv4Address
    router6: IPv6Address
    broadcast4: IPv4Address
    nobody4: IPv4Address
    far4: IPv4Address
    far6: IPv6Address
    endpoint4: IPv4Address
    endpoint6: IPv6Address
    endpoint_port: int
    source_port: int
    fwmark: int = field(repr=False)
    tunnel_device: str
    tunnel_peer4: IPv4Address
    tunnel_peer6: IPv6Address
    group4: IPv4Address
    group6: IPv6Address
    resolver4: IPv4Address

    @property
    def signs(self) -> tuple[bytes, ...]:
        """What only an attempt of this scene writes. Frames are searched for any of these."""
        addresses = (self.far4, self.far6, self.nobody4, self.group4, self.group6)
        return (self.token, self.token[::-1], *(address.packed for address in addresses))

    def shows_in(self, frame: bytes) -> bool:
        """Whether a frame is of an attempt of this scene."""
        return any(sign in frame for sign in self.signs)


def signed_anew(scene: Scene) -> Scene:
    """Return the scene with what tells one attempt from another drawn anew."""
    group = secrets.token_bytes(3)
    return replace(
        scene,
        token=secrets.token_bytes(6),
        group4=IPv4Address(b"\xef" + group),  # 239/8: of the own network, RFC 2365
        group6=IPv6Address(b"\xff\x05" + bytes(11) + group),  # site-local, RFC 4291 section 2.7
    )


_ADDRESSES = {
    name: IPv6Address if name.endswith("6") else IPv4Address
    for name in Scene.__annotations__
    if name.endswith(("4", "6"))
}


def to_fields(scene: Scene) -> dict[str, Any]:
    """Return the scene as JSON can hold it. Not for a log: the mark is in it."""
    fields = asdict(scene)
    for name, value in fields.items():
        fields[name] = value.hex() if isinstance(value, bytes) else str(value) if name in _ADDRESSES else value
    return fields


def from_fields(fields: dict[str, Any]) -> Scene:
    """Return the scene that `to_fields` was given."""
    values = dict(fields)
    for name in ("token", "own_mac", "router_mac"):
        values[name] = bytes.fromhex(values[name])
    for name, kind in _ADDRESSES.items():
        values[name] = kind(values[name])
    return Scene(**values)
