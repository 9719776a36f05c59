"""Every phase by every kind of observation: no exception, and the right kind of outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.core import killswitch
from sidecar.core.messages import (
    Announce,
    ApplyPolicy,
    ConfigurePeer,
    Converged,
    EffectFailed,
    EnsureCapture,
    EnsureDevice,
    FrameSeen,
    HardStop,
    LowerUplinks,
    Observation,
    Probe,
    Probed,
    ProofRequested,
    RaiseUplinks,
    Rebind,
    Replanned,
    Reply,
    SaveState,
    SwitchRequested,
    UnlockRequested,
)
from sidecar.core.model import Health
from sidecar.core.sights import Persisted
from sidecar.core.state import Phase
from tests import builders as a
from tests.unit.core.situations import EVERY_PHASE, Machine

if TYPE_CHECKING:
    from collections.abc import Callable

OPENING = (ConfigurePeer, Probe, Rebind, EnsureDevice, RaiseUplinks)
AT_S = 1_000.0


def probed(health: Health) -> Callable[[Machine], Observation]:
    return lambda machine: Probed(AT_S, machine.state.cycle, health, "so the probe says", None)


def failed(effect: object) -> Callable[[Machine], Observation]:
    return lambda _: EffectFailed(AT_S, effect, "the driver's sentence")  # type: ignore[arg-type]


OBSERVATIONS: dict[str, Callable[[Machine], Observation]] = {
    "a start without state": lambda _: a.started(AT_S),
    "a start with damage": lambda _: a.started(AT_S, None, "the state file was torn"),
    "a start with state": lambda m: a.started(AT_S, m.state.persisted()),
    "a look at a whole world": lambda m: a.looked(AT_S, m.whole()),
    "a look between cycles": lambda m: a.looked(AT_S, m.whole(), is_cycle=False),
    "a look at a lock somebody changed": lambda m: a.looked(AT_S, m.whole(lock=a.CHANGED)),
    "a look at a lock that cannot be read": lambda m: a.looked(AT_S, m.whole(lock=a.UNREADABLE)),
    "a look without sight": lambda m: a.looked(AT_S, a.lost(m.whole())),
    "a look at nothing at all": lambda m: a.looked(
        AT_S, m.whole(uplinks=(), tunnel=None, routes=(), watched=frozenset())
    ),
    "a look with a dead tap": lambda m: a.looked(AT_S, m.whole(watched=frozenset())),
    "a look at a missing tunnel": lambda m: a.looked(AT_S, m.whole(tunnel=None)),
    "a look at another peer": lambda m: a.looked(AT_S, m.whole(tunnel=a.tunnel(a.RESERVE))),
    "a look at an uplink more": lambda m: a.looked(AT_S, m.whole(uplinks=(a.uplink(), a.uplink("eth1", gateways=())))),
    "a look at an uplink without carrier": lambda m: a.looked(AT_S, m.whole(uplinks=(a.uplink(carrier=False),))),
    "an answer to the probe": probed(Health.ALIVE),
    "no answer to the probe": probed(Health.DEAD),
    "a probe that could not be sent": probed(Health.UNKNOWN),
    "an answer to an older probe": lambda m: Probed(AT_S, m.state.cycle - 1, Health.DEAD, "late", None),
    "a frame of the tunnel": lambda _: FrameSeen(AT_S, a.flow_frame()),
    "a stray frame": lambda _: FrameSeen(AT_S, a.stray_frame()),
    "a policy not applied": failed(ApplyPolicy(killswitch.sealed(()))),
    "a state not saved": failed(SaveState(Persisted(None, "", 0, None))),
    "a peer not configured": failed(ConfigurePeer("wg0", a.PRIMARY, 1, 1)),
    "a tap not started": failed(EnsureCapture(killswitch.sealed(()))),
    "a hard stop in part": failed(HardStop(killswitch.sealed(()), Persisted(None, "", 0, None), a.plan().on_leak)),
    "a usable configuration": lambda _: Replanned(AT_S),
    "a converge": lambda _: Converged(AT_S),
    "a switch": lambda _: SwitchRequested(AT_S, a.PRIMARY.name),
    "a switch to nowhere": lambda _: SwitchRequested(AT_S, "99-nowhere"),
    "an unlock": lambda m: UnlockRequested(AT_S, m.whole(uplinks=(a.uplink(carrier=False),), routes=())),
    "a proof": lambda m: ProofRequested(AT_S, m.whole()),
    "the end of a proof": lambda _: ProofRequested(AT_S, None),
}
REQUESTS = {"a converge", "a switch", "a switch to nowhere", "an unlock", "a proof", "the end of a proof"}
STARTS = {"a start without state", "a start with damage"}  # with no state, or with what the store made of damage
LEAVES_HALTED = {"an unlock", *STARTS}

phases = pytest.mark.parametrize("phase", EVERY_PHASE)
observations = pytest.mark.parametrize("name", OBSERVATIONS)


def after(phase: Phase, name: str) -> Machine:
    machine = EVERY_PHASE[phase]()
    assert machine.state.phase(machine.plan) is phase
    machine.hear(OBSERVATIONS[name](machine))
    return machine


@phases
@observations
def test_whatever_happens_there_is_an_outcome_and_requests_are_answered_once(phase: Phase, name: str) -> None:
    machine = after(phase, name)
    assert machine.state.phase(machine.plan) in Phase
    assert sum(isinstance(effect, Reply) for effect in machine.effects) == (name in REQUESTS)


@phases
@observations
def test_what_the_machine_applies_is_what_it_takes_to_be_in_force(phase: Phase, name: str) -> None:
    machine = after(phase, name)
    applied = [effect.policy for effect in machine.effects if isinstance(effect, ApplyPolicy | HardStop)]
    assert all(policy == machine.state.policy for policy in applied)


@observations
def test_halted_stays_halted_and_opens_nothing(name: str) -> None:
    machine = after(Phase.HALTED, name)
    if name in LEAVES_HALTED:
        return
    assert machine.state.phase(machine.plan) is Phase.HALTED
    assert not any(isinstance(effect, OPENING) for effect in machine.effects)
    assert all(effect.policy.is_sealed for effect in machine.effects if isinstance(effect, ApplyPolicy))
    assert all(effect.persisted.latch for effect in machine.effects if isinstance(effect, SaveState))


@observations
def test_without_endpoints_nothing_opens(name: str) -> None:
    machine = after(Phase.SEALED, name)
    assert not any(isinstance(effect, OPENING) for effect in machine.effects)
    assert all(effect.policy.is_sealed for effect in machine.effects if isinstance(effect, ApplyPolicy))


@pytest.mark.parametrize("phase", [phase for phase in EVERY_PHASE if phase is not Phase.HALTED])
def test_a_stray_frame_halts_from_every_phase_at_once(phase: Phase) -> None:
    machine = after(phase, "a stray frame")
    assert machine.state.phase(machine.plan) is Phase.HALTED
    stop = machine.effects[0]
    assert isinstance(stop, HardStop)
    assert stop.policy.is_sealed
    assert stop.persisted.latch is not None
    assert "198.51.100.53" in stop.persisted.latch.evidence


@phases
@pytest.mark.parametrize("name", ["a converge", "a switch"])
def test_an_operator_moves_it_from_every_phase_but_sealed_unseen_and_halted(phase: Phase, name: str) -> None:
    machine = after(phase, name)
    accepted = phase in (Phase.UP, Phase.DEGRADED, Phase.EXHAUSTED)
    assert machine.only(Reply).accepted is accepted
    assert bool([effect for effect in machine.effects if isinstance(effect, ConfigurePeer)]) is accepted


@phases
def test_only_halted_can_be_unlocked(phase: Phase) -> None:
    machine = after(phase, "an unlock")
    assert machine.only(Reply).accepted is (phase is Phase.HALTED)
    assert machine.state.latch is None


@phases
def test_a_look_without_sight_changes_no_permit_and_judges_nothing_good(phase: Phase) -> None:
    before = EVERY_PHASE[phase]()
    machine = after(phase, "a look without sight")
    assert machine.state.policy == before.state.policy
    assert machine.state.health is Health.UNKNOWN
    assert machine.state.unknown
    assert not any(isinstance(effect, OPENING) for effect in machine.effects)


@phases
def test_a_ruleset_that_somebody_changed_is_put_back_and_said(phase: Phase) -> None:
    machine = after(phase, "a look at a lock somebody changed")
    assert isinstance(machine.effects[0], ApplyPolicy)
    said = [effect.kind for effect in machine.effects if isinstance(effect, Announce)]
    assert ("lock-restored" in said) is (phase is not Phase.STARTING)


@phases
def test_a_new_uplink_is_locked_first_of_all(phase: Phase) -> None:
    machine = after(phase, "a look at an uplink more")
    first = machine.effects[0]
    assert isinstance(first, ApplyPolicy)
    assert first.policy.devices == ("eth0", "eth1")
    if phase is Phase.HALTED:
        assert machine.only(LowerUplinks).devices == ("eth0", "eth1")
