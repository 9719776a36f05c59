"""The machine in each of its phases, reached by observations alone, as the watchdog would send them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from sidecar.core.machine import step
from sidecar.core.messages import EffectFailed, FrameSeen, Probed
from sidecar.core.model import Health
from sidecar.core.state import Phase, State
from tests import builders as a

if TYPE_CHECKING:
    from sidecar.core.messages import Effect, Observation
    from sidecar.core.model import Endpoint, Plan
    from sidecar.core.sights import PeerSight, Persisted, Survey

E = TypeVar("E")

CYCLE_S = 2.0


@dataclass
class Machine:
    """A state, the plan in force, and the effects of the last observation."""

    plan: Plan = field(default_factory=a.plan)
    state: State = field(default_factory=State)
    effects: tuple[Effect, ...] = ()
    at_s: float = 0.0

    def hear(self, observation: Observation) -> tuple[Effect, ...]:
        done = step(self.state, observation, self.plan)
        self.state, self.effects = done.state, done.effects
        return done.effects

    def fail(self, effect: Effect, error: str = "it did not work") -> tuple[Effect, ...]:
        return self.hear(EffectFailed(self.at_s, effect, error))

    def look(self, survey: Survey | None = None, *, is_cycle: bool = True) -> tuple[Effect, ...]:
        """Look after one more cycle (or, without `is_cycle`, a moment later); by default all is as it should be."""
        self.at_s += CYCLE_S if is_cycle else 0.1
        return self.hear(a.looked(self.at_s, survey or self.whole(), is_cycle=is_cycle))

    def whole(self, of: Endpoint | None = None, counters: PeerSight | None = None, **changes: object) -> Survey:
        active = of or self.state.endpoint(self.plan) or a.PRIMARY
        changes.setdefault("tunnel", a.tunnel(active, counters=counters, wireguard=self.wireguard(active, counters)))
        return a.survey(active, within=self.plan, counters=counters, **changes)  # type: ignore[arg-type]

    def wireguard(self, of: Endpoint, counters: PeerSight | None = None) -> object:
        return a.wireguard(of, counters=counters, listen_port=self.state.listen_port(self.plan))

    def answer(self, health: Health, counters: PeerSight | None = None) -> tuple[Effect, ...]:
        """Answer the probe of the current cycle, a second after it was sent."""
        self.at_s += 1
        observation = Probed(self.at_s, self.state.cycle, health, f"the probe says {health.value}", counters)
        done = self.hear(observation)
        self.at_s -= 1
        return done

    def cycle(self, health: Health, survey: Survey | None = None) -> tuple[Effect, ...]:
        """One regular look at an idle tunnel, and the answer to its probe; returns the effects of both."""
        looked = self.look(survey)
        return looked + self.answer(health)

    def cycles(self, count: int, health: Health) -> None:
        for _ in range(count):
            self.cycle(health)

    def only(self, kind: type[E]) -> E:
        """Return the one effect of this kind among the last ones."""
        found = [effect for effect in self.effects if isinstance(effect, kind)]
        assert len(found) == 1, self.effects
        return found[0]


def sealed() -> Machine:
    machine = Machine(a.plan(()))
    machine.hear(a.started())
    machine.look()
    return machine


def starting(plan: Plan | None = None, persisted: Persisted | None = None) -> Machine:
    machine = Machine(plan or a.plan())
    machine.hear(a.started(persisted=persisted))
    return machine


def up(plan: Plan | None = None) -> Machine:
    machine = starting(plan)
    machine.cycles(2, Health.ALIVE)
    return machine


def degraded(plan: Plan | None = None) -> Machine:
    machine = up(plan)
    machine.cycle(Health.DEAD)
    return machine


def exhausted(plan: Plan | None = None) -> Machine:
    machine = up(plan or a.plan((a.PRIMARY,)))
    last = machine.plan.endpoints[-1].name
    while machine.state.active != last:
        machine.cycle(Health.DEAD)
    while machine.state.run.exhausted is None:
        machine.cycle(Health.DEAD)
    return machine


def halted(plan: Plan | None = None) -> Machine:
    machine = up(plan)
    machine.hear(FrameSeen(machine.at_s, a.stray_frame()))
    return machine


EVERY_PHASE = {
    Phase.SEALED: sealed,
    Phase.STARTING: starting,
    Phase.UP: up,
    Phase.DEGRADED: degraded,
    Phase.EXHAUSTED: exhausted,
    Phase.HALTED: halted,
}
