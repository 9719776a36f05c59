"""One Protocol for each edge to the outside. The contract is in the docstrings; fakes and drivers pass the same tests.

Every method may raise the `DriverError` leaf named in its class docstring, and nothing else. Every method is bounded in
time, and well below one cycle unless it says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sidecar.core.killswitch import Path, Policy, Uplink
    from sidecar.core.messages import Announce
    from sidecar.core.model import Address, Endpoint, Health, Interface, OnLeak, Plan, ProbeTarget
    from sidecar.core.sights import (
        Account,
        Frame,
        Joiner,
        Latch,
        LinkSight,
        LockSight,
        Persisted,
        Route,
        WireGuardSight,
    )


class Lock(Protocol):
    """The ruleset in the kernel. Raises `LockError`."""

    def apply(self, policy: Policy) -> None:
        """Put `policy` in force in one transaction, then read it back and require that it is what was sent.

        Idempotent. Whatever is in the way (a foreign chain in our table, a flushed ruleset) is replaced, never merged
        with. A device that vanished since the policy was made is locked beforehand where the kernel can do that (6.16),
        and an error elsewhere; nothing of the transaction is in force then.
        """

    def inspect(self, policy: Policy) -> LockSight:
        """Hold the kernel's ruleset against `policy`. Never raises: what cannot be read is `UNREADABLE`."""

    def listing(self) -> str:
        """Return our tables as nft prints them, with counters and without the mark."""


class Links(Protocol):
    """Links, addresses, routes and neighbours of the namespace. Raises `LinkError`."""

    def uplinks(self, tunnel_device: str, next_hops: Iterable[Address]) -> tuple[Uplink, ...]:
        """Return every device but `lo` and the tunnel, sorted by name, with what is known of gateways and `next_hops`.

        A gateway is the next hop of a default route by that device, or of one of our own host routes (RTPROT 73).
        """

    def device(self, device: str) -> LinkSight | None:
        """Return the device as a link; None where it does not exist. Link-local IPv6 addresses are left out."""

    def routes(self) -> tuple[Route, ...]:
        """Return the unicast routes of the main table, both families, without those of protocol `kernel`."""

    def configure_device(self, device: str, addresses: tuple[Interface, ...], mtu_bytes: int) -> None:
        """Give an existing device exactly these addresses (link-local ones stay), this MTU, and set it up."""

    def ensure_routes(self, routes: tuple[Route, ...], remove: tuple[Route, ...]) -> None:
        """Make `routes` exist (RTPROT 73), then make `remove` not exist. Already so is success, both ways."""

    def resolve(self, paths: tuple[Path, ...]) -> None:
        """Ask the kernel to resolve the next hops of `paths`, and return at once."""

    def lower(self, devices: tuple[str, ...]) -> None:
        """Set these devices down; every one is tried, one that is gone is success."""

    def raise_(self, devices: tuple[str, ...]) -> None:
        """Set these devices up; every one is tried, one that is gone is success."""


class Tunnel(Protocol):
    """The WireGuard device, by kernel netlink or by wireguard-go's UAPI socket. Raises `TunnelError`."""

    kind: str
    """"kernel" or "userspace", for people."""

    def create(self, device: str) -> None:
        """Make the device exist (userspace: make its process run and answer). Success where it does already."""

    def configure(self, device: str, endpoint: Endpoint, listen_port: int, fwmark: int) -> None:
        """Set key, port, mark and the one peer in a single write that replaces every peer. This is the switch."""

    def rebind(self, device: str, listen_port: int) -> None:
        """Move the socket to another source port; keys, peer and session stay."""

    def inspect(self, device: str) -> WireGuardSight | None:
        """Return the device as WireGuard sees it; None where it does not exist or its process does not answer."""


class Changes(Protocol):
    """The kernel's own notifications. Raises `LinkError` when it cannot listen."""

    def listen(self, on_change: Callable[[str], None]) -> None:
        """Call `on_change`, from another thread, whenever nftables, links, addresses, routes or neighbours change.

        The word passed names the kind ("nftables", "link", "address", "route", "neighbour", "overrun"). A burst may be
        folded into one call; an overrun (ENOBUFS) is a change of everything. The listener re-opens itself.
        """

    def is_alive(self) -> bool:
        """Whether notifications would arrive."""

    def close(self) -> None:
        """Stop listening."""


class Capture(Protocol):
    """The tap on every uplink. Raises `CaptureError`."""

    def ensure(self, policy: Policy, on_frame: Callable[[Frame], None]) -> None:
        """Watch exactly `policy.devices`: start what is missing, restart what died, stop what is gone.

        The kernel filter passes outgoing frames only, and leaves out the policy's flows, pinned as tightly as the lock
        pins them. `on_frame` is called from another thread for everything else that leaves.
        """

    def watched(self) -> frozenset[str]:
        """The devices whose tap is alive, asked from the thread itself. Never raises."""

    def close(self) -> None:
        """Stop every tap."""


class XdpHold(Protocol):
    """A socket of ours on every AF_XDP queue, so that nobody else can have one. Raises `LockError`."""

    def is_supported(self) -> bool:
        """Whether the kernel has AF_XDP. Where it has not there is nothing to hold, and `held` stays empty."""

    def hold(self, devices: tuple[str, ...]) -> None:
        """Hold every queue of exactly these devices: what is missing is taken, what is left out is let go of.

        A device that is gone is passed over; one that came back is taken anew. A queue that somebody else holds is an
        error that names it: frames may be passing the lock there, so start nothing, and halt what runs.
        """

    def held(self) -> frozenset[str]:
        """The devices of which every queue is ours at this moment, asked from the kernel. Never raises."""

    def close(self) -> None:
        """Let go of everything, except what outlives the process by design. Never raises."""


class Accounting(Protocol):
    """What the lock accepted, and what each device then did with it. Raises `LinkError`."""

    def read(self, devices: tuple[str, ...]) -> tuple[Account, ...]:
        """Read both counts of each device, sorted by name, in a few milliseconds.

        A device that is gone, or of which the lock keeps no count at this moment, is left out: nothing is known of it.
        """


class Prober(Protocol):
    """Questions through the tunnel. Raises `ProbeError` when none of them could be sent."""

    def probe(self, targets: tuple[ProbeTarget, ...], device: str, timeout_s: float) -> tuple[Health, str]:
        """Ask all targets at once, bound to `device`; blocks for `timeout_s` at most.

        Returns ALIVE at the first answer that matches a question, DEAD if all stayed silent; and a word on it.
        """


class Resolver(Protocol):
    """The resolv.conf that the workloads share. Raises `ResolverError`."""

    def nameservers(self) -> tuple[Address, ...]:
        """Return what is listed now, in order."""

    def write(self, nameservers: tuple[Address, ...]) -> None:
        """List exactly these, in place: Docker bind-mounts the file, so it keeps its inode."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the state volume said.

    Attributes:
        persisted: None where there was nothing, or nothing readable.
        damage: None where all was well; otherwise what was wrong and where the damaged file was put. A latch that
            cannot be excluded comes back in `persisted` as a latch of its own.
    """

    persisted: Persisted | None
    damage: str | None


class StateStore(Protocol):
    """What survives every restart. Raises `StateError`."""

    def load(self) -> Loaded:
        """Read the state. Never raises: damage is part of the answer."""

    def save(self, persisted: Persisted) -> None:
        """Write atomically and durably: after any interruption the old or the new state is there, whole."""


class Evidence(Protocol):
    """Where frames that should not exist are kept. Raises `CaptureError`."""

    def save(self, latch: Latch) -> str:
        """Flush what the tap has kept (a pcap, bounded in size) beside a line of `latch`; returns where."""


class Workloads(Protocol):
    """The joined containers. Raises `WorkloadError`."""

    def tell(self, on_leak: OnLeak) -> str:
        """Pause or stop the joined containers as `on_leak` says; returns what was done, in words."""

    def joiners(self) -> tuple[Joiner, ...] | None:
        """Return every other running container of the namespace; None without the engine's socket.

        Takes milliseconds a running container, so it is not for each cycle.
        """


class EventLog(Protocol):
    """Transitions, for people and for `sidecar events`. Never raises: a full disk must not stop the watchdog."""

    def append(self, announce: Announce) -> None:
        """Log one line and keep it for `sidecar events`."""


class StatusBoard(Protocol):
    """The status file on tmpfs that the health check reads. Raises `ControlError`."""

    def publish(self, document: dict[str, object]) -> None:
        """Replace the document atomically."""


class Configuration(Protocol):
    """Files and environment. Raises `ConfigError`."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the last `load` found and does not honour, a sentence each with file and line."""

    def load(self) -> Plan:
        """Read and validate everything; all or nothing."""

    def fingerprint(self) -> str:
        """A word that changes when any file that `load` reads does. Never raises."""


@dataclass(frozen=True, slots=True)
class Drivers:
    """Every edge to the outside that an effect or a survey can need."""

    lock: Lock
    links: Links
    tunnel: Tunnel
    capture: Capture
    xdp_hold: XdpHold
    accounting: Accounting
    evidence: Evidence
    prober: Prober
    resolver: Resolver
    state_store: StateStore
    workloads: Workloads
    events: EventLog
