"""Our own faults: what the last look shows against what should be there, and the effects that mend it.

Nothing here counts towards failover: another endpoint would not help against a missing route of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING

from sidecar.core.health import uplink_fault
from sidecar.core.killswitch import Path, Uplink, path_to, paths
from sidecar.core.messages import (
    ConfigurePeer,
    Effect,
    EnsureDevice,
    EnsureResolver,
    EnsureRoutes,
    Rebind,
)
from sidecar.core.sights import Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.core.model import Endpoint, Plan
    from sidecar.core.sights import LinkSight, Survey, TunnelSight, WireGuardSight

OVERHEAD_BYTES = 80
"""What the outer packet adds at most. Source: wg-quick(8): 40 IPv6 + 8 UDP + 32 WireGuard."""

LARGEST_MTU_BYTES = 1420
SMALLEST_MTU_BYTES = 1280
"""IPv6 does not work below. Source: RFC 8200 section 5."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something of ours that is not as it should be, in words, and what mends it.

    Attributes:
        explains_silence: while this stands, an unanswered probe says nothing about the endpoint.
    """

    text: str
    effect: Effect
    explains_silence: bool = True


def faults(plan: Plan, endpoint: Endpoint, listen_port: int, survey: Survey) -> tuple[Fault, ...]:
    """Return every local fault that `survey` shows, in the order in which to mend them.

    `survey.uplinks` is expected with what we remember filled in (`killswitch.remember`). The first peer is configured
    once the way to it is resolved: a handshake that the lock must drop would cost five seconds until the next. A wrong
    peer never stays.
    """
    path = path_to(endpoint, survey.uplinks)
    return (
        *_device_faults(plan, endpoint, path, survey.tunnel),
        *_peer_faults(plan, endpoint, listen_port, path, survey.tunnel),
        *_route_faults(plan, endpoint, survey),
        *_resolver_faults(endpoint, survey),
    )


def excuse(path: Path | None, found: tuple[Fault, ...]) -> str | None:
    """Say why silence tells nothing about the endpoint now: the uplink's fault, or ours; None if it does."""
    return uplink_fault(path) or "; ".join(fault.text for fault in found if fault.explains_silence) or None


def wanted_routes(plan: Plan, endpoint: Endpoint, uplinks: tuple[Uplink, ...]) -> tuple[Route, ...]:
    """Return the routes that should exist: a host route to every endpoint, and the active one's networks by the tunnel.

    Host routes instead of a rule on the mark: a rule can be read by any process, and would give the mark away.
    """
    hosts = tuple(_host_route(path) for path in paths(plan.endpoints, uplinks))
    families = {address.version for address in plan.tunnel_addresses}
    inner = tuple(Route(network, plan.device, None) for network in endpoint.allowed_ips if network.version in families)
    return tuple(dict.fromkeys(hosts + inner))


def mtu_bytes(endpoint: Endpoint, path: Path | None) -> int:
    """Return the tunnel's MTU: what the file says, but never more than what the uplink carries whole.

    An outer fragment has no UDP header, so the lock could not tell it from any other fragment, and drops it.
    """
    wanted = endpoint.mtu_bytes or LARGEST_MTU_BYTES
    if path is None:
        return wanted
    return max(min(wanted, path.uplink.mtu_bytes - OVERHEAD_BYTES), SMALLEST_MTU_BYTES)


def _device_faults(plan: Plan, endpoint: Endpoint, path: Path | None, tunnel: TunnelSight | None) -> Iterator[Fault]:
    effect = EnsureDevice(plan.device, plan.addresses, mtu_bytes(endpoint, path))
    if tunnel is None:
        yield Fault(f"{plan.device} is missing", effect)
        return
    wrong = _link_difference(tunnel.link, effect)
    if wrong:
        yield Fault(f"{plan.device} {wrong}", effect)


def _link_difference(link: LinkSight, wanted: EnsureDevice) -> str:
    if not link.up:
        return "is down"
    if link.mtu_bytes != wanted.mtu_bytes:
        return f"has MTU {link.mtu_bytes} instead of {wanted.mtu_bytes}"
    if set(link.addresses) != set(wanted.addresses):
        return "has other addresses than configured"
    return ""


def _peer_faults(
    plan: Plan, endpoint: Endpoint, listen_port: int, path: Path | None, tunnel: TunnelSight | None
) -> Iterator[Fault]:
    resolved = path is not None and path.next_hop_mac is not None
    if not resolved and (tunnel is None or tunnel.wireguard.peer is None):
        return
    whole = ConfigurePeer(plan.device, endpoint, listen_port, plan.pins.fwmark)
    if tunnel is None:
        yield Fault(f"{plan.device} has no peer", whole)
        return
    wrong = _peer_difference(tunnel.wireguard, endpoint, plan.pins.fwmark)
    if wrong:
        yield Fault(f"{plan.device} {wrong}", whole)
    elif tunnel.wireguard.listen_port != listen_port:
        # The lock permits all of ours: by another of them the endpoint could have answered.
        is_permitted = tunnel.wireguard.listen_port in plan.pins.listen_ports
        rebind = Rebind(plan.device, listen_port)
        yield Fault(f"{plan.device} uses another source port", rebind, explains_silence=not is_permitted)


def _peer_difference(seen: WireGuardSight, endpoint: Endpoint, fwmark: int) -> str:
    if seen.private_key != endpoint.private_key:
        return "has another private key"
    if seen.fwmark != fwmark:
        return "has another mark"
    if seen.peer is None or seen.peer.public_key != endpoint.public_key:
        return f"does not have {endpoint.name} as its only peer"
    if not seen.peer.is_of(endpoint):
        return f"sends to another address than {endpoint.name}'s"
    if set(seen.peer.allowed_ips) != set(endpoint.allowed_ips):
        return "has other allowed addresses than configured"
    return ""


def _route_faults(plan: Plan, endpoint: Endpoint, survey: Survey) -> Iterator[Fault]:
    wanted = wanted_routes(plan, endpoint, survey.uplinks)
    without_carrier = {uplink.device for uplink in survey.uplinks if not uplink.carrier}
    possible = tuple(route for route in wanted if route.device not in without_carrier)
    missing = tuple(route for route in possible if route not in survey.routes)
    foreign = tuple(route for route in survey.routes if route not in wanted)
    if missing or foreign:
        words = [f"no route to {route.destination} by {route.device}" for route in missing]
        words += [f"a route to {route.destination} by {route.device} that is not ours" for route in foreign]
        yield Fault(", ".join(words), EnsureRoutes(possible, foreign))


def _resolver_faults(endpoint: Endpoint, survey: Survey) -> Iterator[Fault]:
    if endpoint.dns and survey.nameservers != endpoint.dns:
        yield Fault(
            "resolv.conf lists other name servers than the tunnel's",
            EnsureResolver(endpoint.dns),
            explains_silence=False,
        )


def _host_route(path: Path) -> Route:
    return Route(
        destination=ip_network(path.endpoint.address),
        device=path.uplink.device,
        gateway=None if path.on_link else path.next_hop,
    )
