"""The lock as a value: which frames may pass, computed from the plan and from what the uplinks look like.

The nft text of a policy is the driver's business; what may pass at all is decided here and nowhere else.
Every configured endpoint is permitted at all times, so the lock never stands in the way of a failover.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sidecar.core.model import MacAddress

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sidecar.core.model import Address, Endpoint, Interface, Plan

AWAITED_DEVICES = tuple(f"eth{number}" for number in range(16))
"""What container engines call the devices that they connect later; each new one takes the next number."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One row of the neighbour table.

    Attributes:
        mac: None while it is unresolved.
        failed: the kernel asked and nobody answered (NUD_FAILED).
    """

    mac: MacAddress | None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Uplink:
    """A device that outer packets may leave by, as last seen. Every device but `lo` and the tunnel is one.

    Attributes:
        gateways: next hops for what is not on-link, at most one a family; empty on an internal network.
        neighbours: what the neighbour table says about the next hops that matter.
        carrier: the device is up and its link has a carrier.
        kind: of its driver, such as "veth", as the kernel names it; empty for what has no name.
    """

    device: str
    index: int
    mac: MacAddress
    addresses: tuple[Interface, ...]
    gateways: tuple[Address, ...]
    neighbours: Mapping[Address, Neighbour] = field(hash=False)
    carrier: bool
    mtu_bytes: int
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Path:
    """How the outer packets of one endpoint leave.

    Attributes:
        next_hop: the gateway, or the endpoint's own address where it is on-link.
        on_link: the next hop is the endpoint itself; its silence is the endpoint's, not the uplink's.
    """

    endpoint: Endpoint
    uplink: Uplink
    source_address: Address
    next_hop: Address

    @property
    def on_link(self) -> bool:
        """Whether the endpoint is its own next hop."""
        return self.next_hop == self.endpoint.address

    @property
    def next_hop_mac(self) -> MacAddress | None:
        """The next hop's hardware address; None while the neighbour table does not know it."""
        neighbour = self.uplink.neighbours.get(self.next_hop)
        return neighbour.mac if neighbour else None


@dataclass(frozen=True, slots=True)
class Flow:
    """One outer flow, pinned field by field; the mark and the source ports are the policy's."""

    device: str
    source_mac: MacAddress
    next_hop_mac: MacAddress
    source_address: Address
    endpoint_address: Address
    endpoint_port: int


@dataclass(frozen=True, slots=True)
class Resolution:
    """The ARP or neighbour-discovery exchange for one next hop, pinned completely.

    Attributes:
        next_hop_mac: None while unresolved: only the broadcast question may leave then.
    """

    device: str
    source_mac: MacAddress
    source_address: Address
    next_hop: Address
    next_hop_mac: MacAddress | None


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that may pass. What is not named here is dropped, on every hook, in every family.

    Attributes:
        tunnel_device: the only device that inner packets may use; None when sealed.
        tunnel_addresses: the only source addresses that may enter the tunnel.
        devices: every device to lock with chains of its own, sorted; they exist now.
        fwmark: the mark of permitted outer packets; 0 when sealed (nothing is permitted, so nothing is marked).
        proof_device: left out of the lock, because it leads nowhere (see `proof`); None but while a proof runs.
    """

    tunnel_device: str | None
    tunnel_addresses: tuple[Address, ...]
    devices: tuple[str, ...]
    flows: tuple[Flow, ...]
    resolutions: tuple[Resolution, ...]
    listen_ports: tuple[int, ...] = field(repr=False)
    fwmark: int = field(repr=False)
    proof_device: str | None = None

    @property
    def is_sealed(self) -> bool:
        """Whether nothing but loopback passes."""
        return self.tunnel_device is None


def sealed(devices: Iterable[str]) -> Policy:
    """Return the policy under which nothing passes but loopback."""
    return Policy(None, (), tuple(sorted(set(devices))), (), (), (), 0)


def permit_tunnel(plan: Plan, uplinks: tuple[Uplink, ...]) -> Policy:
    """Return the policy that permits the tunnel and the outer flows of every endpoint that has a path now."""
    every_path = paths(plan.endpoints, uplinks)
    return Policy(
        tunnel_device=plan.device,
        tunnel_addresses=tuple(sorted(plan.tunnel_addresses, key=_order)),
        devices=tuple(sorted(uplink.device for uplink in uplinks)),
        flows=tuple(sorted(set(_flows(every_path)), key=repr)),
        resolutions=tuple(sorted({_resolution(path) for path in every_path}, key=repr)),
        listen_ports=tuple(sorted(plan.pins.listen_ports)),
        fwmark=plan.pins.fwmark,
    )


def also_lock(policy: Policy, uplinks: tuple[Uplink, ...]) -> Policy:
    """Return `policy` with every one of `uplinks` locked as well: more locks, and not one permit more.

    Nothing is left out any more either: whether a proof's device is still what it was cannot be seen.
    """
    devices = {*policy.devices, *(uplink.device for uplink in uplinks)}
    return replace(policy, devices=tuple(sorted(devices)), proof_device=None)


def paths(endpoints: Iterable[Endpoint], uplinks: tuple[Uplink, ...]) -> tuple[Path, ...]:
    """Return the path of every endpoint that has one, in the endpoints' order."""
    found = (path_to(endpoint, uplinks) for endpoint in endpoints)
    return tuple(path for path in found if path is not None)


def path_to(endpoint: Endpoint, uplinks: tuple[Uplink, ...]) -> Path | None:
    """Return how `endpoint` is reached: on-link where an uplink's network holds it, else by a gateway, else None."""
    for uplink in uplinks:
        for interface in uplink.addresses:
            if endpoint.address in interface.network:
                return Path(endpoint, uplink, interface.ip, endpoint.address)
    for uplink in uplinks:
        for gateway in uplink.gateways:
            source = _source_towards(gateway, uplink)
            if gateway.version == endpoint.address.version and source is not None:
                return Path(endpoint, uplink, source, gateway)
    return None


def remember(seen: tuple[Uplink, ...], known: tuple[Uplink, ...]) -> tuple[Uplink, ...]:
    """Return `seen` with what the kernel has forgotten but we know: gateways and hardware addresses.

    We remove the uplink's default route ourselves, and a link that goes down loses its routes and neighbours; neither
    may cost us the way back. A remembered gateway counts only while it is on a network that the uplink still has.
    """
    by_device = {uplink.device: uplink for uplink in known}
    return tuple(_recall(uplink, by_device.get(uplink.device)) for uplink in seen)


def from_gateways(gateways: Iterable[tuple[str, Address]]) -> tuple[Uplink, ...]:
    """Return uplinks of which only the gateways are known, for `remember` to draw on after a restart."""
    by_device: dict[str, tuple[Address, ...]] = {}
    for device, gateway in gateways:
        by_device[device] = (*by_device.get(device, ()), gateway)
    return tuple(
        Uplink(device, 0, MacAddress(""), (), known, {}, carrier=False, mtu_bytes=0)
        for device, known in sorted(by_device.items())
    )


def _recall(seen: Uplink, known: Uplink | None) -> Uplink:
    if known is None:
        return seen
    families = {gateway.version for gateway in seen.gateways}
    kept = tuple(
        gateway
        for gateway in known.gateways
        if gateway.version not in families and _source_towards(gateway, seen) is not None
    )
    neighbours = dict(seen.neighbours)
    for address, neighbour in known.neighbours.items():
        now = neighbours.get(address, Neighbour(None))
        if now.mac is None and neighbour.mac is not None and _source_for(address, seen) is not None:
            neighbours[address] = replace(now, mac=neighbour.mac)
    return replace(seen, gateways=seen.gateways + kept, neighbours=neighbours)


def _source_for(next_hop: Address, uplink: Uplink) -> Address | None:
    for interface in uplink.addresses:
        if next_hop in interface.network:
            return interface.ip
    return None


def _source_towards(gateway: Address, uplink: Uplink) -> Address | None:
    """Return the address that packets by `gateway` carry; None where it cannot be a next hop of this uplink.

    A link-local gateway is on every link and no network of ours holds it: IPv6 routers announce themselves by such an
    address, and some container networks have 169.254.1.1. Packets carry the first address of its family then.
    """
    source = _source_for(gateway, uplink)
    if source is None and gateway.is_link_local:
        own = (interface.ip for interface in uplink.addresses)
        return next((address for address in own if address.version == gateway.version), None)
    return source


def _flows(every_path: tuple[Path, ...]) -> Iterable[Flow]:
    for path in every_path:
        if path.next_hop_mac is not None:
            yield Flow(
                device=path.uplink.device,
                source_mac=path.uplink.mac,
                next_hop_mac=path.next_hop_mac,
                source_address=path.source_address,
                endpoint_address=path.endpoint.address,
                endpoint_port=path.endpoint.port,
            )


def _resolution(path: Path) -> Resolution:
    return Resolution(
        device=path.uplink.device,
        source_mac=path.uplink.mac,
        source_address=path.source_address,
        next_hop=path.next_hop,
        next_hop_mac=path.next_hop_mac,
    )


def _order(address: Address) -> tuple[int, bytes]:
    return address.version, address.packed
