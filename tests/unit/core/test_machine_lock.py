from __future__ import annotations

from sidecar.core.leak import LOCK_FAILURES_TO_HALT
from sidecar.core.messages import (
    Announce,
    ApplyPolicy,
    Converged,
    EnsureCapture,
    FrameSeen,
    HardStop,
    Probe,
    SaveState,
)
from sidecar.core.model import Health, MacAddress
from sidecar.core.state import Phase
from tests import builders as a
from tests.unit.core.situations import Machine, halted, starting, up

TWO = (a.uplink(), a.uplink("eth1", gateways=()))


def said(machine: Machine) -> list[str]:
    return [effect.kind for effect in machine.effects if isinstance(effect, Announce)]


def flush_and_fail(machine: Machine) -> None:
    """Somebody flushes the ruleset, and it cannot be put back."""
    effects = machine.look(machine.whole(lock=a.CHANGED), is_cycle=False)
    assert isinstance(effects[0], ApplyPolicy)
    machine.fail(effects[0])


def test_an_intact_lock_is_left_alone() -> None:
    machine = up()
    assert not [effect for effect in machine.look() if isinstance(effect, ApplyPolicy)]


def test_a_lock_that_is_gone_and_cannot_be_restored_is_a_leak() -> None:
    machine = up()
    for _ in range(LOCK_FAILURES_TO_HALT - 1):
        flush_and_fail(machine)
        assert machine.state.latch is None
    flush_and_fail(machine)
    assert isinstance(machine.effects[0], HardStop)
    assert machine.state.phase(machine.plan) is Phase.HALTED


def test_a_lock_that_is_gone_halts_also_where_it_was_the_first_policy_ever() -> None:
    machine = starting()
    machine.look()
    for _ in range(LOCK_FAILURES_TO_HALT):
        flush_and_fail(machine)
    assert machine.state.phase(machine.plan) is Phase.HALTED


def test_a_lock_that_came_back_at_the_second_try_is_no_leak() -> None:
    machine = up()
    flush_and_fail(machine)
    machine.look(machine.whole(lock=a.CHANGED), is_cycle=False)
    machine.look()
    flush_and_fail(machine)
    assert machine.state.latch is None


def test_a_change_that_cannot_be_applied_leaves_the_lock_as_it_was_and_is_tried_again() -> None:
    machine = up()
    before = machine.state.policy
    for _ in range(5):
        effects = machine.look(machine.whole(uplinks=TWO), is_cycle=False)
        assert isinstance(effects[0], ApplyPolicy)
        assert effects[0].policy.devices == ("eth0", "eth1")
        machine.fail(effects[0])
        assert machine.state.policy == before
        assert machine.state.latch is None


def test_the_first_policy_of_all_may_fail_without_a_halt_since_the_boot_seal_stands() -> None:
    machine = starting()
    for _ in range(5):
        effects = machine.look(machine.whole(lock=a.CHANGED))
        machine.fail(effects[0])
        assert machine.state.policy is None
        assert machine.state.latch is None
        assert "lock-restored" not in said(machine)


def test_a_lock_applied_again_for_a_move_and_failing_is_still_in_force() -> None:
    machine = up()
    machine.look(machine.whole(uplinks=TWO))
    machine.look(machine.whole(uplinks=TWO))
    in_force = machine.state.policy
    machine.cycles(2, Health.DEAD)
    machine.look(machine.whole(uplinks=TWO))
    effects = machine.answer(Health.DEAD)
    assert isinstance(effects[0], ApplyPolicy)
    machine.fail(effects[0])
    assert machine.state.policy == in_force


def test_what_was_abandoned_behind_a_failed_lock_is_saved_at_the_next_look() -> None:
    machine = up()
    machine.cycles(2, Health.DEAD)
    machine.look()
    effects = machine.answer(Health.DEAD)
    assert machine.state.active == "20-backup"
    machine.fail(effects[0])  # and the SaveState behind it is not carried out
    machine.look()
    assert machine.only(SaveState).persisted.active == "20-backup"


def test_an_unreadable_lock_is_applied_again_and_never_halts() -> None:
    machine = up()
    for _ in range(10):
        effects = machine.look(machine.whole(lock=a.UNREADABLE))
        assert isinstance(effects[0], ApplyPolicy)
        machine.fail(effects[0])
    assert machine.state.latch is None


def test_without_sight_of_the_rest_a_changed_lock_is_still_put_back() -> None:
    machine = up()
    in_force = machine.state.policy
    effects = machine.look(a.lost(machine.whole(lock=a.CHANGED)))
    assert effects[0] == ApplyPolicy(in_force)  # type: ignore[arg-type]
    assert Probe not in map(type, effects)


def test_without_sight_of_the_rest_a_new_uplink_is_still_locked_and_nothing_else_changes() -> None:
    machine = up()
    before = machine.state.policy
    assert before is not None
    effects = machine.look(a.lost(machine.whole(uplinks=TWO)), is_cycle=False)
    assert isinstance(effects[0], ApplyPolicy)
    assert effects[0].policy.devices == ("eth0", "eth1")
    assert effects[0].policy.flows == before.flows
    assert effects[0].policy.resolutions == before.resolutions


def test_without_sight_of_the_uplinks_no_device_is_unlocked() -> None:
    machine = up()
    before = machine.state.policy
    machine.look(a.lost(machine.whole(uplinks=(), watched=frozenset())))
    assert machine.state.policy == before


def test_an_uplink_that_went_takes_its_permits_along() -> None:
    machine = up()
    effects = machine.look(machine.whole(uplinks=(), routes=(), watched=frozenset()))
    assert isinstance(effects[0], ApplyPolicy)
    assert effects[0].policy.flows == ()
    assert effects[0].policy.devices == ()


def test_a_dead_tap_is_started_again() -> None:
    machine = up()
    effects = machine.look(machine.whole(watched=frozenset()))
    assert EnsureCapture(machine.state.policy) in effects  # type: ignore[arg-type]
    assert machine.state.blind == ("eth0",)
    machine.look()
    assert machine.state.blind == ()


def test_a_tap_on_a_link_without_carrier_is_not_missed() -> None:
    machine = up()
    machine.look(machine.whole(uplinks=(a.uplink(carrier=False),), watched=frozenset()))
    assert machine.state.blind == ()


def test_a_frame_under_way_while_the_policy_changes_is_no_leak() -> None:
    machine = up()
    renewed = a.uplink(mac=MacAddress("02:00:00:00:00:77"))
    machine.look(machine.whole(uplinks=(renewed,)))
    machine.hear(FrameSeen(machine.at_s, a.flow_frame()))
    assert machine.state.latch is None
    machine.hear(FrameSeen(machine.at_s, a.flow_frame(source_mac=renewed.mac)))
    assert machine.state.latch is None


def test_a_frame_under_way_stays_innocent_while_the_same_policy_is_put_back() -> None:
    machine = up()
    renewed = a.uplink(mac=MacAddress("02:00:00:00:00:77"))
    machine.look(machine.whole(uplinks=(renewed,)))
    machine.look(machine.whole(uplinks=(renewed,), lock=a.CHANGED), is_cycle=False)
    machine.hear(FrameSeen(machine.at_s, a.flow_frame()))
    assert machine.state.latch is None


def test_a_frame_of_two_policies_ago_is_a_leak() -> None:
    machine = up()
    for last in ("77", "78"):
        machine.look(machine.whole(uplinks=(a.uplink(mac=MacAddress(f"02:00:00:00:00:{last}")),)))
    machine.hear(FrameSeen(machine.at_s, a.flow_frame()))
    assert machine.state.latch is not None


def test_a_frame_of_the_tunnel_while_halted_is_counted_as_a_leak() -> None:
    machine = halted()
    machine.hear(FrameSeen(machine.at_s, a.flow_frame()))
    assert machine.state.frames_leaked == 2


def test_the_same_failure_is_said_once_while_it_lasts() -> None:
    machine = up()
    heard = 0
    for _ in range(10):
        machine.look()
        heard += len(machine.fail(EnsureCapture(a.permit()), "no memory"))
    assert heard == 1


def test_moves_whose_lock_fails_between_two_looks_do_not_halt() -> None:
    machine = starting()
    machine.look(machine.whole(lock=a.CHANGED))  # held against the boot seal, before the first policy of this process
    for _ in range(3):
        machine.fail(machine.hear(Converged(machine.at_s))[0])
    assert machine.state.latch is None
