"""What the machine acts on: a kernel that carries out effects, servers that answer or do not, and a disk.

Nothing here asks the code under test what is right. The kernel obeys as a kernel does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sidecar.core.killswitch import Neighbour, Policy, Uplink, sealed
from sidecar.core.messages import (
    ApplyPolicy,
    ConfigurePeer,
    EnsureCapture,
    EnsureDevice,
    EnsureResolver,
    EnsureRoutes,
    HardStop,
    HoldQueues,
    LowerUplinks,
    Probe,
    RaiseUplinks,
    Rebind,
    Reply,
    ResolveNextHops,
    SaveState,
)
from sidecar.core.sights import (
    Latch,
    LinkSight,
    LockSight,
    LockStatus,
    Persisted,
    Route,
    Survey,
    TunnelSight,
    WireGuardSight,
)
from tests import builders as a

if TYPE_CHECKING:
    from sidecar.core.messages import Effect
    from sidecar.core.model import Address, Endpoint, Plan

DEFAULT_ROUTE = Route(a.ip_network("0.0.0.0/0"), "eth0", a.GATEWAY)
PROOF = "proof0"
FLUSHED = replace(sealed(()), fwmark=1)
PACKET_BYTES = 100_000


@dataclass
class Link:
    """An uplink as the kernel has it. `kind`: of its driver."""

    up: bool = True
    kind: str = "veth"
    neighbours: dict[Address, Neighbour] = field(default_factory=dict)


@dataclass
class Kernel:
    """Everything that outlives the watchdog, apart from the disk."""

    policy: Policy = field(default_factory=lambda: sealed(()))
    links: dict[str, Link] = field(default_factory=lambda: {"eth0": Link()})
    routes: set[Route] = field(default_factory=lambda: {DEFAULT_ROUTE})
    link: LinkSight | None = None
    peer: Endpoint | None = None
    listen_port: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    nameservers: tuple[Address, ...] = ()
    taps: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()


class Machinery:
    """The kernel, the servers and the disk."""

    def __init__(self, plan: Plan) -> None:
        self.kernel = Kernel()
        self.plan = plan
        self.down: set[str] = set()
        self.condemned: set[tuple[str, int]] = set()
        self.gateway_answers = True
        self.queues_taken = False
        self.saved: Persisted | None = None
        self.broken: set[type] = set()
        self.asked: Probe | None = None
        self.replies: list[Reply] = []
        self.effects: list[Effect] = []

    # --- what can be seen -------------------------------------------------------------------------------------------

    def seen(self, believed: Policy | None) -> Survey:
        """Return a look at everything, with the ruleset held against `believed`."""
        intact = self.kernel.policy == (believed or sealed(()))
        tunnel = None
        if self.kernel.link is not None:
            key = self.kernel.peer.private_key if self.kernel.peer else None
            mark = a.FWMARK if self.kernel.peer else 0
            tunnel = TunnelSight(
                self.kernel.link, WireGuardSight(key, self.kernel.listen_port, mark, self.peer_sight())
            )
        return Survey(
            uplinks=tuple(self._uplink(device, link) for device, link in sorted(self.kernel.links.items())),
            tunnel=tunnel,
            lock=LockSight(LockStatus.INTACT) if intact else LockSight(LockStatus.CHANGED, "it differs"),
            routes=tuple(self.kernel.routes),
            watched=self.kernel.taps & frozenset(self.kernel.links),
            nameservers=self.kernel.nameservers,
            held=self.kernel.held,
        )

    def _uplink(self, device: str, link: Link) -> Uplink:
        if device == PROOF:
            return a.uplink(device, addresses=(), gateways=(), carrier=link.up, neighbours={}, kind=link.kind)
        if device != "eth0":
            return a.uplink(
                device, addresses=(a.ip_interface("10.9.0.2/24"),), gateways=(), carrier=link.up, neighbours={}
            )
        by_gateway = any(route.gateway == a.GATEWAY for route in self.kernel.routes)
        gateways = (a.GATEWAY,) if by_gateway else ()
        return a.uplink(device, gateways=gateways, carrier=link.up, neighbours=dict(link.neighbours))

    def peer_sight(self) -> a.PeerSight | None:
        if self.kernel.link is None or self.kernel.peer is None:
            return None
        counters = {"rx_bytes": self.kernel.rx_bytes, "tx_bytes": self.kernel.tx_bytes}
        return a.peer(self.kernel.peer, **counters, latest_handshake_age_s=30.0)

    # --- how packets fare -------------------------------------------------------------------------------------------

    def next_hop(self, endpoint: Endpoint) -> Address:
        return endpoint.address if endpoint.address in a.ip_network("10.0.0.0/24") else a.GATEWAY

    def carries(self) -> bool:
        """Whether a packet into the tunnel would be answered now, as the kernel and the servers are."""
        kernel, peer = self.kernel, self.kernel.peer
        if kernel.link is None or peer is None or peer.name in self.down or "eth0" not in kernel.links:
            return False
        known = kernel.links["eth0"].neighbours.get(self.next_hop(peer))
        flows = {(flow.endpoint_address, flow.next_hop_mac) for flow in kernel.policy.flows}
        return (
            kernel.links["eth0"].up
            and known is not None
            and not known.failed
            and (peer.address, known.mac) in flows
            and kernel.policy.tunnel_device == "wg0"
            and any(route.destination.network_address == peer.address for route in kernel.routes)
            and any(route.device == "wg0" for route in kernel.routes)
            and (peer.name, kernel.listen_port) not in self.condemned
        )

    def traffic(self) -> None:
        self.exchange(PACKET_BYTES)

    def exchange(self, size_bytes: int) -> None:
        """Packets leave; the kernel asks by itself for a next hop that it does not know, if the lock lets it."""
        peer, link = self.kernel.peer, self.kernel.links.get("eth0")
        if peer is not None and link is not None:
            next_hop = self.next_hop(peer)
            row = link.neighbours.get(next_hop)
            if (row is None or row.failed) and any(
                each.next_hop == next_hop for each in self.kernel.policy.resolutions
            ):
                self._resolve([next_hop])
        self.kernel.tx_bytes += size_bytes
        if self.carries():
            self.kernel.rx_bytes += size_bytes

    # --- the kernel and the disk obey -------------------------------------------------------------------------------

    def carry_out(self, effect: Effect) -> str | None:  # noqa: C901, PLR0912 - one case per effect
        self.effects.append(effect)
        if type(effect) in self.broken:
            return f"{type(effect).__name__} did not work"
        kernel = self.kernel
        match effect:
            case ApplyPolicy(policy):
                if set(policy.devices) - set(kernel.links):
                    return "a device vanished"
                kernel.policy = policy
            case HardStop(policy, persisted):
                kernel.policy, self.saved = policy, persisted
                self._set_links(policy.devices, up=False)
            case SaveState(persisted):
                self.saved = persisted
            case LowerUplinks(devices):
                self._set_links(devices, up=False)
            case RaiseUplinks(devices):
                self._set_links(devices, up=True)
            case EnsureDevice(_, addresses, mtu_bytes):
                kernel.link = LinkSight(up=True, mtu_bytes=mtu_bytes, addresses=addresses)
            case ConfigurePeer(_, endpoint, listen_port):
                if kernel.link is None:
                    return "no such device"
                kernel.peer, kernel.listen_port, kernel.rx_bytes, kernel.tx_bytes = endpoint, listen_port, 0, 0
            case Rebind(_, listen_port):
                kernel.listen_port = listen_port
            case EnsureRoutes(routes, remove):
                usable = {device for device, link in kernel.links.items() if link.up} | {"wg0"}
                if any(route.device not in usable for route in routes):
                    return "network is down"
                kernel.routes = (kernel.routes | set(routes)) - set(remove)
            case EnsureResolver(nameservers):
                kernel.nameservers = nameservers
            case EnsureCapture(policy):
                kernel.taps = frozenset(policy.devices)
            case HoldQueues(devices):
                if self.queues_taken:
                    return "EBUSY"
                kernel.held = frozenset(devices)
            case ResolveNextHops(paths):
                self._resolve([path.next_hop for path in paths])
            case Probe():
                self.asked = effect
            case Reply():
                self.replies.append(effect)
        return None

    def _resolve(self, next_hops: list[Address]) -> None:
        link = self.kernel.links.get("eth0")
        if link is None or not link.up:
            return
        for address in next_hops:
            names = {endpoint.name for endpoint in self.plan.endpoints if endpoint.address == address}
            answers = self.gateway_answers if address == a.GATEWAY else not (names & self.down)
            mac = a.GATEWAY_MAC if address == a.GATEWAY else a.STRANGER_MAC
            link.neighbours[address] = Neighbour(mac) if answers else Neighbour(None, failed=True)

    def _set_links(self, devices: tuple[str, ...], *, up: bool) -> None:
        for device in devices:
            if device in self.kernel.links:
                self.set_link(device, up=up)

    # --- what befalls it --------------------------------------------------------------------------------------------

    def set_link(self, device: str, *, up: bool) -> None:
        """A link that goes down loses its routes and its neighbours, and gets none back by going up."""
        link = self.kernel.links[device]
        if link.up and not up:
            link.neighbours.clear()
            self.kernel.routes = {route for route in self.kernel.routes if route.device != device}
        link.up = up

    def lose_tunnel(self) -> None:
        self.kernel.link = self.kernel.peer = None
        self.kernel.routes = {route for route in self.kernel.routes if route.device != "wg0"}

    def flush(self) -> None:
        """Somebody flushes the ruleset: nothing of ours is in force."""
        self.kernel.policy = FLUSHED

    @property
    def is_flushed(self) -> bool:
        return self.kernel.policy == FLUSHED

    def damage(self) -> str:
        """The state file is torn. What cannot be excluded, a latch, comes back as a latch of its own."""
        latch = (
            Latch("the state file is damaged", "it may have held a latch") if self.saved and self.saved.latch else None
        )
        self.saved = Persisted(None, "", 0, latch) if latch else None
        return "the state file was torn"
