"""What the machine remembers between two observations. `machine.step` is the only thing that makes a new one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from sidecar.core.killswitch import from_gateways
from sidecar.core.messages import SaveState
from sidecar.core.model import Health
from sidecar.core.sights import LockSight, LockStatus, Persisted

if TYPE_CHECKING:
    from sidecar.core.account import Finding, Ledger
    from sidecar.core.killswitch import Policy, Uplink
    from sidecar.core.messages import Effect
    from sidecar.core.model import Address, Endpoint, Plan
    from sidecar.core.sights import Latch, PeerSight, TunnelSight


class Phase(Enum):
    """Where things stand, in one word. Derived from the state, never stored."""

    SEALED = "sealed"
    STARTING = "starting"
    UP = "up"
    DEGRADED = "degraded"
    EXHAUSTED = "exhausted"
    HALTED = "halted"


@dataclass(frozen=True, slots=True)
class Baseline:
    """The peer's counters at one moment, to hold the next ones against."""

    at_s: float
    peer: PeerSight


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The last endpoint is dead too.

    Attributes:
        since_s: when that became clear.
        retry_at_s: when it is tried anew.
        wait_s: the wait that ends then; doubles.
    """

    since_s: float
    retry_at_s: float
    wait_s: float


@dataclass(frozen=True, slots=True)
class Run:
    """The current run of bad cycles on the active endpoint. A good cycle begins a new, empty one.

    Attributes:
        rebound: a fresh source port was tried in this run.
        exhausted: None while there is another endpoint to go to.
    """

    bad_cycles: int = 0
    rebound: bool = False
    exhausted: Exhausted | None = None


NOT_LOOKED_AT = LockSight(LockStatus.UNREADABLE, "not looked at yet")


@dataclass(frozen=True, slots=True)
class State:
    """Everything the machine knows.

    Attributes:
        active: name of the endpoint in use; None before the first plan with endpoints.
        list_digest: `Plan.digest` of the list that `active` belongs to.
        latch: why everything is halted; None when it is not.
        policy: what is believed to be in force; None before the first one of this process.
        previous_policy: another one that was in force before; frames still on their way may belong to it.
        proven_policy: what was in force when this step began; it still is if a policy cannot be applied.
        lock_failures: policies in a row that could not be applied.
        port_index: which of the plan's source ports is in use.
        health_at_s: when `health` was last judged; None if never.
        cycle: the number of the current cycle; each endpoint begins a new one.
        judged_cycle: the last cycle that `health` was judged in.
        faults: local faults found by the last look, in words; repairs are under way.
        excuse: a fault, ours or the uplink's, because of which silence says nothing about the endpoint; None if none.
        unknown: what the last look could not see.
        blind: uplinks with a carrier and without a live tap.
        saved: what the state file holds; None if not known.
        failures: what failed since the last regular look, in words; `earlier_failures`: in the cycle before.
        laps: with `wrap`, how often the list was begun anew.
        note: how we came to be on this endpoint, for people.
        unheld: uplinks on which somebody else could bind an AF_XDP socket.
        hold_refused: one of them was somebody else's already: nothing may pass until that has ended.
        ledgers: what the accounts of the uplinks were, to hold the next ones against; `findings` is what they tell.
        proof_until_s: until when a proof's own device is left out of the lock; None while no proof runs.
    """

    active: str | None = None
    list_digest: str = ""
    latch: Latch | None = None
    policy: Policy | None = None
    previous_policy: Policy | None = None
    proven_policy: Policy | None = None
    lock: LockSight = NOT_LOOKED_AT
    lock_failures: int = 0
    uplinks: tuple[Uplink, ...] = ()
    port_index: int = 0
    health: Health = Health.UNKNOWN
    health_at_s: float | None = None
    health_detail: str = ""
    run: Run = Run()
    baseline: Baseline | None = None
    cycle: int = 0
    judged_cycle: int = 0
    last_cycle_at_s: float | None = None
    faults: tuple[str, ...] = ()
    excuse: str | None = None
    unknown: tuple[str, ...] = ("not looked at yet",)
    blind: tuple[str, ...] = ()
    frames_leaked: int = 0
    saved: Persisted | None = None
    failures: tuple[str, ...] = ()
    earlier_failures: tuple[str, ...] = ()
    laps: int = 0
    active_since_s: float = 0.0
    note: str = ""
    unheld: tuple[str, ...] = ()
    hold_refused: bool = False
    ledgers: tuple[Ledger, ...] = ()
    findings: tuple[Finding, ...] = ()
    proof_until_s: float | None = None

    def endpoint(self, plan: Plan) -> Endpoint | None:
        """Return the active endpoint; None where the plan has none."""
        if not plan.endpoints:
            return None
        return plan.endpoints[self.index(plan)]

    def index(self, plan: Plan) -> int:
        """Return the active endpoint's position; a name that the plan does not know is the first."""
        return (plan.index_of(self.active) if self.active is not None else None) or 0

    @property
    def awaits_verdict(self) -> bool:
        """Whether the current cycle has not been judged yet."""
        return self.judged_cycle != self.cycle

    def listen_port(self, plan: Plan) -> int:
        """Return the source port in use."""
        ports = plan.pins.listen_ports
        return ports[self.port_index % len(ports)]

    def port_in_use(self, plan: Plan, tunnel: TunnelSight | None) -> int:
        """Return the index of the source port that the tunnel has already, where it is one of ours."""
        ports = plan.pins.listen_ports
        return ports.index(tunnel.wireguard.listen_port) if tunnel and tunnel.wireguard.listen_port in ports else 0

    def phase(self, plan: Plan) -> Phase:
        """Return where things stand."""
        if self.latch is not None:
            return Phase.HALTED
        if not plan.endpoints:
            return Phase.SEALED
        if self.run.exhausted is not None:
            return Phase.EXHAUSTED
        if self.run.bad_cycles:
            return Phase.DEGRADED
        return Phase.UP if self.health is Health.ALIVE else Phase.STARTING

    def believing(self, policy: Policy) -> State:
        """Take it that `policy` will be in force; a failure says otherwise."""
        previous = self.previous_policy if policy == self.policy else self.policy
        return replace(self, policy=policy, previous_policy=previous)

    def persisted(self) -> Persisted:
        """Return the part that must survive every restart."""
        gateways: tuple[tuple[str, Address], ...] = tuple(
            (uplink.device, gateway) for uplink in self.uplinks for gateway in uplink.gateways
        )
        return Persisted(self.active, self.list_digest, self.run.bad_cycles, self.latch, gateways)


@dataclass(frozen=True, slots=True)
class Step:
    """What one observation led to: the new state, and the effects to carry out in this order."""

    state: State
    effects: tuple[Effect, ...] = ()

    def with_state(self, state: State) -> Step:
        """Return the same effects with another state."""
        return replace(self, state=state)

    def saving(self) -> Step:
        """Write the state if it changed. A failed write has cleared `saved`, so it is tried again at the next look."""
        kept = self.state.persisted()
        if self.state.saved == kept:
            return self
        return self.with_state(replace(self.state, saved=kept)).then(SaveState(kept))

    def then(self, *effects: Effect) -> Step:
        """Return the same step with more effects after its own."""
        return replace(self, effects=self.effects + effects)


def recall(kept: Persisted, plan: Plan, at_s: float) -> State:
    """Return the state that a restart begins with. A run of bad cycles goes on, but one more look decides."""
    return State(
        active=kept.active,
        list_digest=kept.list_digest,
        latch=kept.latch,
        run=Run(max(0, min(kept.bad_cycles, plan.timing.threshold_cycles - 1))),
        uplinks=from_gateways(kept.gateways),
        saved=kept,
        active_since_s=at_s,
    )
