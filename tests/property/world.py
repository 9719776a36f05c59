"""A small world for the machine: a kernel that carries out effects, servers, a disk, and the watchdog's loop.

Nothing here asks the code under test what is right. The kernel obeys as a kernel does; what an effect may do is checked
by the specification, after each single one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sidecar.core.killswitch import Neighbour, Policy, Uplink, sealed
from sidecar.core.machine import step
from sidecar.core.messages import (
    ApplyPolicy,
    ConfigurePeer,
    Converged,
    EffectFailed,
    EnsureCapture,
    EnsureDevice,
    EnsureResolver,
    EnsureRoutes,
    FrameSeen,
    HardStop,
    HoldQueues,
    LowerUplinks,
    Probe,
    Probed,
    ProofRequested,
    RaiseUplinks,
    Rebind,
    Replanned,
    Reply,
    ResolveNextHops,
    SaveState,
    Started,
    Surveyed,
    SwitchRequested,
    UnlockRequested,
)
from sidecar.core.model import Health
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
from sidecar.core.state import State
from tests import builders as a

if TYPE_CHECKING:
    from sidecar.core.messages import Effect, Observation
    from sidecar.core.model import Address, Endpoint, Plan
    from sidecar.core.sights import Frame
    from tests.property.specification import Specification

DEFAULT_ROUTE = Route(a.ip_network("0.0.0.0/0"), "eth0", a.GATEWAY)
PROOF = "proof0"
FLUSHED = replace(sealed(()), fwmark=1)
CYCLE_S = 2.0
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


class World:
    """The kernel, the servers, the disk and the watchdog; `do` is how anything happens."""

    def __init__(self, plan: Plan, specification: Specification) -> None:
        self.kernel = Kernel()
        self.plan = self.files = plan
        self.down: set[str] = set()
        self.condemned: set[tuple[str, int]] = set()
        self.gateway_answers = True
        self.queues_taken = False
        self.is_mute = False
        self.saved: Persisted | None = None
        self.broken: set[type] = set()
        self.at_s = 0.0
        self.asked: Probe | None = None
        self.replies: list[Reply] = []
        self.effects: list[Effect] = []
        self.specification = specification
        self.state = State()
        self.start()

    # --- the watchdog -----------------------------------------------------------------------------------------------

    def start(self, damage: str | None = None) -> None:
        """A new process: it knows what the disk says and nothing else. Its taps are gone; the kernel is as it was."""
        self.plan = self.files
        self.asked = None
        self.kernel.taps = frozenset()
        self.state = State()
        self.specification.restarted(self)
        self.do(Started(self.at_s, self.saved, damage))

    def do(self, observation: Observation, crash_after: int | None = None) -> None:
        """Let the machine hear something and carry out what it asks for, or only the first `crash_after` effects."""
        before = self.state
        done = step(self.state, observation, self.plan)
        self.state = done.state
        self.specification.stepped(self, before, observation, done.effects)
        for position, effect in enumerate(done.effects):
            if position == crash_after:
                self.start()
                return
            error = self._carry_out(effect)
            self.specification.carried_out(self, effect, failed=error is not None)
            if error is None:
                continue
            self.do(EffectFailed(self.at_s, effect, error))
            if isinstance(effect, ApplyPolicy | HoldQueues):
                behind = done.effects[position + 1 :]
                self.replies += [replace(left, accepted=False) for left in behind if isinstance(left, Reply)]
                return
        if crash_after is not None:
            self.start()

    def look(self, *, is_cycle: bool = True, lost: bool = False, crash_after: int | None = None) -> None:
        self.at_s += CYCLE_S if is_cycle else 0.05
        if is_cycle and self.plan.fault is not None and self.files.fault is None:
            self.plan = self.files
            self.do(Replanned(self.at_s))
        survey = self.survey()
        survey = replace(survey, unknown=("links could not be listed",), uplinks=()) if lost else survey
        self.do(Surveyed(self.at_s, survey, is_cycle), crash_after)

    def answer(self, crash_after: int | None = None) -> None:
        """The probe under way comes to its end."""
        if self.asked is None:
            return
        asked, self.asked = self.asked, None
        self._exchange(200)
        heard = Health.ALIVE if self.carries() else Health.DEAD
        health = Health.UNKNOWN if self.kernel.link is None or self.is_mute else heard
        self.do(Probed(self.at_s + 1, asked.cycle, health, "a probe", self.peer_sight()), crash_after)

    def cycle(self) -> None:
        self.look()
        self.answer()

    def frame(self, frame: Frame, crash_after: int | None = None) -> None:
        self.do(FrameSeen(self.at_s, frame), crash_after)

    def converge(self, crash_after: int | None = None) -> bool:
        """Take up the files, as the watchdog does: whole, or not at all."""
        if self.files.fault is not None:
            return False
        before, self.plan = self.plan, self.files
        accepted = self._request(Converged(self.at_s), crash_after)
        if self.state.list_digest != self.plan.digest:
            self.plan = before
        return accepted

    def switch(self, name: str, crash_after: int | None = None) -> bool:
        return self._request(SwitchRequested(self.at_s, name), crash_after)

    def unlock(self, crash_after: int | None = None) -> bool:
        return self._request(UnlockRequested(self.at_s, self.survey()), crash_after)

    def prove(self, *, begin: bool) -> bool:
        return self._request(ProofRequested(self.at_s, self.survey() if begin else None), None)

    def _request(self, observation: Observation, crash_after: int | None) -> bool:
        self.replies.clear()
        self.do(observation, crash_after)
        assert crash_after is not None or len(self.replies) == 1
        return bool(self.replies) and self.replies[0].accepted

    # --- what can be seen -------------------------------------------------------------------------------------------

    def survey(self) -> Survey:
        believed = self.state.policy or sealed(())
        intact = self.kernel.policy == believed
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
        self._exchange(PACKET_BYTES)

    def _exchange(self, size_bytes: int) -> None:
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

    def _carry_out(self, effect: Effect) -> str | None:  # noqa: C901, PLR0912 - one case per effect
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
