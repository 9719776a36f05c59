"""The scene of an attack on a real uplink: all that a workload could find out about it, by looking or by luck."""

from __future__ import annotations

import secrets
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import TYPE_CHECKING, Final

from sidecar.core.killswitch import paths
from sidecar.prove import nowhere
from sidecar.prove.scene import Scene, signed_anew

if TYPE_CHECKING:
    from sidecar.core.killswitch import Path, Uplink
    from sidecar.prove.facts import Facts

EMBEDDED_RESOLVER: Final = IPv4Address("127.0.0.11")
EVERYBODY: Final = b"\xff" * 6
_IPV4_HOSTS: Final = 254
_NO_IPV4: Final = IPv4Interface("192.0.2.1/24")
_NO_HOST: Final = IPv4Address("192.0.2.2")


def aim(facts: Facts, uplink: Uplink) -> Scene:
    """Return the scene for attacks on `uplink`.

    The far side, and whom nobody knows, are drawn from documentation networks (RFC 5737, RFC 3849), and so is whatever
    the uplink does not have: an attack by way of that cannot get anywhere, and says so.
    """
    ways = [path for path in paths(facts.plan.endpoints, facts.uplinks) if path.uplink.device == uplink.device]
    known = next((path.next_hop_mac for path in ways if path.next_hop_mac), None)
    own4 = next((each for each in uplink.addresses if isinstance(each, IPv4Interface)), _NO_IPV4)
    own6 = next((each for each in uplink.addresses if isinstance(each, IPv6Interface)), nowhere.OWN6)
    router4, endpoint4 = _way4(ways)
    router6, endpoint6 = _way6(ways)
    return elsewhere(
        Scene(
            token=b"",
            device=uplink.device,
            own_mac=_mac(uplink.mac),
            router_mac=_mac(known) if known else EVERYBODY,
            own4=own4.ip,
            own6=own6.ip,
            router4=router4,
            router6=router6,
            broadcast4=own4.network.broadcast_address,
            nobody4=_NO_HOST,
            far4=_NO_HOST,
            far6=nowhere.FAR6,
            endpoint4=endpoint4,
            endpoint6=endpoint6,
            endpoint_port=ways[0].endpoint.port if ways else nowhere.PORT,
            source_port=facts.source_port,
            fwmark=facts.plan.pins.fwmark,
            tunnel_device=facts.plan.device,
            tunnel_peer4=_NO_HOST,
            tunnel_peer6=nowhere.FAR6,
            group4=_NO_HOST,
            group6=nowhere.FAR6,
            resolver4=EMBEDDED_RESOLVER,
        )
    )


def elsewhere(scene: Scene) -> Scene:
    """Return the scene with another far side and other signs.

    Not one that was there before: for a host that is being asked for already the kernel sends nothing.
    """
    host = 1 + scene.far4.packed[-1] % _IPV4_HOSTS
    far4, far6 = IPv4Address(f"198.51.100.{host}"), IPv6Address(b"\x20\x01\x0d\xb8" + secrets.token_bytes(12))
    nobody4 = IPv4Address(f"203.0.113.{host}")
    return signed_anew(replace(scene, far4=far4, far6=far6, nobody4=nobody4, tunnel_peer4=far4, tunnel_peer6=far6))


def _way4(ways: list[Path]) -> tuple[IPv4Address, IPv4Address]:
    for path in ways:
        if isinstance(path.next_hop, IPv4Address) and isinstance(path.endpoint.address, IPv4Address):
            return path.next_hop, path.endpoint.address
    return _NO_HOST, _NO_HOST


def _way6(ways: list[Path]) -> tuple[IPv6Address, IPv6Address]:
    for path in ways:
        if isinstance(path.next_hop, IPv6Address) and isinstance(path.endpoint.address, IPv6Address):
            return path.next_hop, path.endpoint.address
    return nowhere.ROUTER6, nowhere.ENDPOINT6


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
