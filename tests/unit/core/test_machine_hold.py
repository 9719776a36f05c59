"""AF_XDP queues in somebody else's hands, and frames that the lock did not accept."""

from __future__ import annotations

from sidecar.core.messages import ApplyPolicy, EffectFailed, HardStop, HoldQueues, SaveState
from sidecar.core.model import Health
from sidecar.core.sights import Account
from sidecar.core.state import Phase
from tests import builders as a
from tests.unit.core.situations import Machine, starting, up

FREE, HELD = frozenset[str](), frozenset({"eth0"})


def refuse(machine: Machine) -> None:
    """Look, and find the queues of eth0 in somebody else's hands."""
    effects = machine.look(machine.whole(held=FREE))
    wanted = next(effect for effect in effects if isinstance(effect, HoldQueues))
    assert wanted.devices == ("eth0",)
    machine.fail(wanted, "EBUSY")


def account(accepted: int, transmitted: int) -> Account:
    return Account("eth0", 2, 1, accepted, accepted, transmitted, 0, is_exact=True)


def test_queues_that_are_not_ours_are_taken_and_held_ones_left_alone() -> None:
    machine = starting()
    assert HoldQueues(("eth0",)) in machine.look(machine.whole(held=FREE))
    assert not [effect for effect in machine.look(machine.whole(held=HELD)) if isinstance(effect, HoldQueues)]
    assert not [effect for effect in machine.look(machine.whole(held=None)) if isinstance(effect, HoldQueues)]


def test_queues_in_somebody_elses_hands_seal_at_once_and_once() -> None:
    machine = up()
    refuse(machine)
    assert machine.only(ApplyPolicy).policy.is_sealed
    refuse(machine)
    assert not [effect for effect in machine.effects if isinstance(effect, ApplyPolicy)]


def test_while_sealed_for_somebody_elses_queues_silence_counts_towards_nothing() -> None:
    machine = up()
    for _ in range(20):
        refuse(machine)
        machine.answer(Health.DEAD)
    assert machine.state.active == "10-primary"
    assert machine.state.run.bad_cycles == 0


def test_queues_that_came_free_open_the_lock_again() -> None:
    machine = up()
    refuse(machine)
    effects = machine.look(machine.whole(held=HELD))
    assert isinstance(effects[0], ApplyPolicy)
    assert not effects[0].policy.is_sealed
    machine.answer(Health.ALIVE)
    assert machine.state.phase(machine.plan) is Phase.UP


def test_frames_that_the_lock_did_not_accept_halt_at_the_next_look() -> None:
    machine = starting()
    machine.look(machine.whole(accounts=(account(0, 0),)))
    machine.look(machine.whole(accounts=(account(10, 10),)))
    assert machine.state.latch is None
    effects = machine.look(machine.whole(accounts=(account(20, 23),)), is_cycle=False)
    assert isinstance(effects[0], HardStop)
    assert effects[0].policy.is_sealed
    assert machine.state.latch is not None
    assert "3 frames" in machine.state.latch.evidence


def test_an_account_that_cannot_be_read_halts_nothing_and_is_not_clean() -> None:
    machine = up()
    machine.look(machine.whole(accounts=()))
    assert machine.state.latch is None
    assert machine.state.findings[0].frames is None


def test_a_hold_that_fails_while_halted_changes_nothing() -> None:
    machine = up()
    for _ in range(2):
        machine.fail(machine.look(machine.whole(lock=a.CHANGED), is_cycle=False)[0])
    latch = machine.state.latch
    assert latch is not None
    machine.hear(EffectFailed(machine.at_s, HoldQueues(("eth0",)), "EBUSY"))
    assert machine.state.latch == latch
    assert machine.state.policy is not None
    assert machine.state.policy.is_sealed


def test_what_was_abandoned_behind_a_failed_hold_is_saved_at_the_next_look() -> None:
    machine = up()
    machine.cycles(2, Health.DEAD)
    saved = machine.state.saved
    machine.hear(EffectFailed(machine.at_s, HoldQueues(("eth0",)), "EBUSY"))
    machine.look(machine.whole(held=FREE))
    assert machine.only(SaveState).persisted == saved
