"""What a look at the machine shows, and what is kept of it. All frozen, all comparable."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.core.killswitch import Uplink
    from sidecar.core.model import Address, Endpoint, Interface, MacAddress, Network, PublicKey, Secret


class LockStatus(Enum):
    """The ruleset in the kernel, held against the policy that should be in force."""

    INTACT = "intact"
    CHANGED = "changed"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class LockSight:
    """A read-back of the ruleset.

    Attributes:
        difference: for CHANGED what differs, for UNREADABLE why, in words; empty when INTACT.
        blocked: packets that the final drops caught since the namespace began, by hook ("egress eth0").
    """

    status: LockStatus
    difference: str = ""
    blocked: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class PeerSight:
    """The one peer of the tunnel.

    Attributes:
        endpoint_address: None before the peer has one; WireGuard's roaming may move it.
        latest_handshake_age_s: None before the first handshake.
    """

    public_key: PublicKey
    endpoint_address: Address | None
    endpoint_port: int | None
    allowed_ips: tuple[Network, ...]
    rx_bytes: int
    tx_bytes: int
    latest_handshake_age_s: float | None

    def is_of(self, endpoint: Endpoint) -> bool:
        """Whether the tunnel leads to `endpoint`: its key, at its address and port."""
        there = (endpoint.public_key, endpoint.address, endpoint.port)
        return (self.public_key, self.endpoint_address, self.endpoint_port) == there


@dataclass(frozen=True, slots=True)
class LinkSight:
    """The tunnel as a network device. `up` is the administrative state."""

    up: bool
    mtu_bytes: int
    addresses: tuple[Interface, ...]


@dataclass(frozen=True, slots=True)
class WireGuardSight:
    """The tunnel as wg(8) shows it.

    Attributes:
        private_key: None where none is set.
        fwmark: 0 where none is set.
        peer: None where the device has no peer, or more than one (which is never ours).
    """

    private_key: Secret | None
    listen_port: int
    fwmark: int = field(repr=False)
    peer: PeerSight | None = None


@dataclass(frozen=True, slots=True)
class TunnelSight:
    """The tunnel device, both sides of it."""

    link: LinkSight
    wireguard: WireGuardSight


@dataclass(frozen=True, slots=True)
class Route:
    """One unicast route of the main table, other than those that the kernel makes for an address.

    Attributes:
        gateway: None where the destination is on-link.
    """

    destination: Network
    device: str
    gateway: Address | None


@dataclass(frozen=True, slots=True)
class Survey:
    """One look at everything, taken in one go.

    Attributes:
        tunnel: None where the device does not exist.
        watched: uplinks whose tap is alive, as the tap's own thread says.
        nameservers: what resolv.conf lists.
        held: uplinks of which every AF_XDP queue is ours; None where the kernel has no AF_XDP, so nobody can take one.
        accounts: what the lock accepted on each uplink, and what the uplink sent; left out where that is not known.
        unknown: what could not be looked at, in words; the fields concerned then hold nothing and count as UNKNOWN.
    """

    uplinks: tuple[Uplink, ...]
    tunnel: TunnelSight | None
    lock: LockSight
    routes: tuple[Route, ...]
    watched: frozenset[str]
    nameservers: tuple[Address, ...]
    held: frozenset[str] | None = None
    accounts: tuple[Account, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """The uplinks' names."""
        return tuple(uplink.device for uplink in self.uplinks)

    @property
    def blind(self) -> tuple[str, ...]:
        """Uplinks with a carrier and without a live tap."""
        return tuple(uplink.device for uplink in self.uplinks if uplink.carrier and uplink.device not in self.watched)

    @property
    def unheld(self) -> tuple[str, ...]:
        """Uplinks on which somebody else could bind an AF_XDP socket."""
        return () if self.held is None else tuple(device for device in self.devices if device not in self.held)

    @property
    def peer(self) -> PeerSight | None:
        """The tunnel's one peer; None where there is no tunnel, no peer, or more than one."""
        return self.tunnel.wireguard.peer if self.tunnel is not None else None


FRAME_DATA_BYTES = 128
"""More than the longest frame that is judged by its bytes (86, see `frames`)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that left by an uplink and that the kernel's filter did not recognise as the permitted flow.

    Attributes:
        ether_type: None for 802.3 frames (a length stands in its place).
        source_address: of the IP header or the ARP sender; None where the frame has none.
        protocol: IP protocol number; None where the frame is not IP.
        summary: one line for people, such as "IPv4 10.0.0.2:5 > 203.0.113.9:53 UDP, 42 bytes".
        data: how the frame begins, `FRAME_DATA_BYTES` at most; all of it where `length_bytes` is no more.
    """

    device: str
    source_mac: MacAddress
    destination_mac: MacAddress
    ether_type: int | None
    source_address: Address | None
    destination_address: Address | None
    protocol: int | None
    source_port: int | None
    destination_port: int | None
    length_bytes: int
    summary: str
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """What the lock let through to one device and what became of it, as counted since the counters began.

    The two sides cannot be read at once. `accepted_before` was read before the device's side, `accepted_after` after
    it: what the device had been given at the moment of reading lies between the two.

    Attributes:
        index: of the device; another index is another device, whose counters began anew.
        ruleset: a number that changes when the lock's counters began anew.
        accepted_before: frames that the egress rules have accepted.
        accepted_after: the same, a few microseconds later.
        transmitted: frames that the device says it has sent.
        dropped: frames that the device was given and says it did not send.
        is_exact: one accepted frame is one frame in the device's counts. Not so where the kernel or the device cuts
            large packets into frames behind the lock, or where frames can wait in a queue.
    """

    device: str
    index: int
    ruleset: int
    accepted_before: int
    accepted_after: int
    transmitted: int
    dropped: int
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Joiner:
    """A running container that shares our network namespace, and what it may do there.

    Attributes:
        name: as the engine calls it.
        net_admin: it may change the rules and the links that it shares with us. `privileged` implies it.
        net_raw: it may send frames of its own making.
        privileged: nothing that the host may do is kept from it.
        host_pid: it sees the host's processes.
    """

    name: str
    net_admin: bool
    net_raw: bool
    privileged: bool
    host_pid: bool


@dataclass(frozen=True, slots=True)
class Latch:
    """Why everything is halted, kept until an operator unlocks."""

    reason: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Persisted:
    """What must survive every restart.

    Attributes:
        active: name of the endpoint in use; None before the first.
        list_digest: `Plan.digest` at the time of writing; empty before the first plan.
        latch: None when nothing is halted.
        gateways: next hop by uplink device, for a namespace whose default route we removed ourselves.
    """

    active: str | None
    list_digest: str
    bad_cycles: int
    latch: Latch | None
    gateways: tuple[tuple[str, Address], ...] = ()
