"""What the core hears (observations) and what it asks for (effects). All frozen, all comparable."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.core.killswitch import Path, Policy
    from sidecar.core.model import Address, Endpoint, Health, Interface, OnLeak, ProbeTarget
    from sidecar.core.sights import Frame, PeerSight, Persisted, Route, Survey

# --- observations ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The watchdog has begun. `persisted` is None on the first start; `damage` says what could not be read."""

    at_s: float
    persisted: Persisted | None
    damage: str | None = None


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One look at everything. `is_cycle` marks the regular look; others, woken by the kernel, judge no health."""

    at_s: float
    survey: Survey
    is_cycle: bool


@dataclass(frozen=True, slots=True)
class Probed:
    """The answer to a `Probe`: ALIVE if any target answered, DEAD if none did, UNKNOWN if none could be asked.

    Attributes:
        cycle: the `Probe.cycle` that this answers.
        peer: the peer's counters right after the probe, so that its own bytes are not taken for traffic; None: unread.
    """

    at_s: float
    cycle: int
    health: Health
    detail: str
    peer: PeerSight | None


@dataclass(frozen=True, slots=True)
class FrameSeen:
    """The tap saw a frame leave outside the tunnel."""

    at_s: float
    frame: Frame


@dataclass(frozen=True, slots=True)
class EffectFailed:
    """An effect was tried and failed; `error` is the driver's whole sentence."""

    at_s: float
    effect: Effect
    error: str


@dataclass(frozen=True, slots=True)
class Replanned:
    """The plan had a fault and has none now. The same list of endpoints keeps its place in it."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Converged:
    """An operator accepts the plan that is now in force and wants its first endpoint."""

    at_s: float


@dataclass(frozen=True, slots=True)
class SwitchRequested:
    """An operator wants the endpoint called `name`."""

    at_s: float
    name: str


@dataclass(frozen=True, slots=True)
class UnlockRequested:
    """An operator says that the cause of the halt is gone; `survey` was taken for this very question."""

    at_s: float
    survey: Survey


@dataclass(frozen=True, slots=True)
class ProofRequested:
    """A proof begins, and `survey` was taken for it; or, where that is None, it is over."""

    at_s: float
    survey: Survey | None


Request = Converged | SwitchRequested | UnlockRequested | ProofRequested
"""What an operator asks for; each is answered by one `Reply`."""

Observation = Started | Surveyed | Probed | FrameSeen | EffectFailed | Replanned | Request


# --- effects --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ApplyPolicy:
    """Put `policy` in force, in one transaction, and read it back."""

    policy: Policy


@dataclass(frozen=True, slots=True)
class ResolveNextHops:
    """Ask the kernel to resolve the next hops of these paths; the answers arrive as a new survey."""

    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class EnsureDevice:
    """Make the tunnel device exist, with these addresses and this MTU, up. Changes nothing that is right."""

    device: str
    addresses: tuple[Interface, ...]
    mtu_bytes: int


@dataclass(frozen=True, slots=True)
class ConfigurePeer:
    """The switch: private key, port, mark and the one peer, in one write that replaces all peers."""

    device: str
    endpoint: Endpoint
    listen_port: int
    fwmark: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rebind:
    """Give the tunnel's socket another source port, keeping the session."""

    device: str
    listen_port: int


@dataclass(frozen=True, slots=True)
class EnsureRoutes:
    """Make these routes exist and remove every other route that is not the kernel's own, if it is a default route."""

    routes: tuple[Route, ...]
    remove: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class EnsureResolver:
    """Make resolv.conf list these name servers."""

    nameservers: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class EnsureCapture:
    """Watch every uplink of `policy.devices`; the kernel filter excludes the policy's flows."""

    policy: Policy


@dataclass(frozen=True, slots=True)
class HoldQueues:
    """Hold every AF_XDP queue of these devices, so that nobody else can send by one."""

    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask the targets through the tunnel; the answer is a `Probed` with the same `cycle`."""

    cycle: int
    targets: tuple[ProbeTarget, ...]
    device: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class SaveState:
    """Write the state, atomically."""

    persisted: Persisted


@dataclass(frozen=True, slots=True)
class HardStop:
    """Seal, keep the latch, tell the workloads, drop the links, save the evidence: each tried, whatever the others do.

    `persisted.latch` is never None here.
    """

    policy: Policy
    persisted: Persisted
    on_leak: OnLeak


@dataclass(frozen=True, slots=True)
class RaiseUplinks:
    """Set these links up again, after an unlock; their old routes come back from what we remember."""

    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LowerUplinks:
    """Set these links down, again, while halted."""

    devices: tuple[str, ...]


class Severity(Enum):
    """How loud an event is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Announce:
    """One line for people: the log and `sidecar events`. `kind` is a stable word for machines, such as "failover"."""

    kind: str
    text: str
    severity: Severity = Severity.INFO


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the operator's request that this step handles."""

    accepted: bool
    text: str


Effect = (
    ApplyPolicy
    | ResolveNextHops
    | EnsureDevice
    | ConfigurePeer
    | Rebind
    | EnsureRoutes
    | EnsureResolver
    | EnsureCapture
    | HoldQueues
    | Probe
    | SaveState
    | HardStop
    | RaiseUplinks
    | LowerUplinks
    | Announce
    | Reply
)
