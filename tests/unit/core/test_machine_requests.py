"""An operator's moves, a hard stop, and the way out of it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from sidecar.core.messages import (
    Announce,
    ApplyPolicy,
    ConfigurePeer,
    Converged,
    EnsureCapture,
    FrameSeen,
    HardStop,
    LowerUplinks,
    Probe,
    Probed,
    ProofRequested,
    RaiseUplinks,
    Reply,
    SaveState,
    SwitchRequested,
    UnlockRequested,
)
from sidecar.core.model import Health, OnLeak
from sidecar.core.sights import Route
from sidecar.core.state import Phase
from tests import builders as a
from tests.unit.core.situations import Machine, halted, starting, up

LOWERED = (a.uplink(carrier=False),)


def unlock(machine: Machine, **changes: object) -> Reply:
    survey = machine.whole(uplinks=LOWERED, routes=(), **changes)
    machine.hear(UnlockRequested(machine.at_s, survey))
    return machine.only(Reply)


# --- moves ----------------------------------------------------------------------------------------------------------


def test_a_move_is_lock_note_switch_in_this_order_and_a_question() -> None:
    machine = up()
    machine.hear(SwitchRequested(machine.at_s, "20-backup"))
    kinds = [type(effect) for effect in machine.effects]
    assert kinds[:3] == [ApplyPolicy, SaveState, ConfigurePeer]
    assert machine.only(SaveState).persisted.active == "20-backup"
    assert machine.only(ConfigurePeer).endpoint == a.BACKUP
    assert machine.only(Probe).cycle == machine.state.cycle
    assert machine.only(Reply).accepted


def test_an_operators_move_is_called_a_switch_and_not_a_failover() -> None:
    machine = up()
    machine.hear(SwitchRequested(machine.at_s, "20-backup"))
    assert machine.only(Announce).kind == "switch"


def test_converge_leads_back_to_the_first_and_the_probe_of_the_endpoint_left_is_not_heard() -> None:
    machine = up()
    machine.cycles(3, Health.DEAD)
    machine.look()
    asked = machine.state.cycle
    machine.hear(Converged(machine.at_s))
    assert machine.state.active == "10-primary"
    machine.hear(Probed(machine.at_s, asked, Health.ALIVE, "from the backup", None))
    assert machine.state.health is Health.UNKNOWN


def test_converge_takes_a_changed_list_from_its_first_and_tells_the_tap() -> None:
    machine = up()
    machine.plan = a.plan((a.RESERVE, a.PRIMARY))
    machine.hear(Converged(machine.at_s))
    assert machine.state.active == "30-reserve"
    assert machine.state.list_digest == machine.plan.digest
    policy = machine.only(ApplyPolicy).policy
    assert {flow.endpoint_address for flow in policy.flows} == {a.RESERVE.address, a.PRIMARY.address}
    assert machine.only(EnsureCapture).policy == policy


def test_a_move_before_the_first_look_is_refused_because_no_device_would_be_locked() -> None:
    for blind in (starting(), Machine()):
        blind.hear(Converged(0.0))
        assert blind.effects == (blind.only(Reply),)
        assert not blind.only(Reply).accepted


def test_refusals_name_the_reason() -> None:
    machine = up()
    machine.hear(SwitchRequested(machine.at_s, "40-nowhere"))
    assert "10-primary, 20-backup, 30-reserve" in machine.only(Reply).text
    machine.plan = a.plan((), fault="endpoints/10.conf: line 3: no key")
    machine.hear(Converged(machine.at_s))
    assert "line 3" in machine.only(Reply).text
    stopped = halted()
    stopped.hear(SwitchRequested(stopped.at_s, "20-backup"))
    assert "sidecar unlock" in stopped.only(Reply).text


def test_an_operators_move_forgives_the_laps() -> None:
    machine = up()
    machine.state = replace(machine.state, laps=5)
    machine.hear(SwitchRequested(machine.at_s, "20-backup"))
    assert machine.state.laps == 0


# --- the hard stop --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_leak", OnLeak)
def test_a_hard_stop_is_one_effect_with_everything_in_it(on_leak: OnLeak) -> None:
    machine = up(a.plan(on_leak=on_leak))
    machine.hear(FrameSeen(machine.at_s, a.stray_frame()))
    stop = machine.effects[0]
    assert isinstance(stop, HardStop)
    assert stop.on_leak is on_leak
    assert stop.policy.is_sealed
    assert stop.policy.devices == ("eth0",)
    assert stop.persisted.latch == machine.state.latch
    assert machine.state.policy == stop.policy


def test_the_first_leak_is_the_reason_and_later_ones_are_counted() -> None:
    machine = halted()
    first = machine.state.latch
    for _ in range(3):
        assert machine.hear(FrameSeen(machine.at_s, a.stray_frame(summary="another"))) == ()
    assert machine.state.latch == first
    assert machine.state.frames_leaked == 4


def test_a_latch_that_could_not_be_saved_is_saved_later() -> None:
    machine = halted()
    machine.fail(machine.effects[0], "no space left on device")
    for _ in range(3):
        machine.look(machine.whole(uplinks=LOWERED))
        saved = machine.only(SaveState)
        assert saved.persisted.latch == machine.state.latch
        machine.fail(saved, "no space left on device")
    machine.look(machine.whole(uplinks=LOWERED))
    assert machine.only(SaveState)
    machine.look(machine.whole(uplinks=LOWERED))
    assert machine.effects == ()


def test_links_that_are_up_while_halted_are_taken_down() -> None:
    machine = halted()
    assert LowerUplinks(("eth0",)) in machine.look()
    assert machine.look(machine.whole(uplinks=LOWERED)) == ()


def test_halted_judges_nothing_and_repairs_nothing() -> None:
    machine = halted()
    machine.look(machine.whole(uplinks=LOWERED))
    for _ in range(10):
        assert machine.look(machine.whole(uplinks=LOWERED, tunnel=None, routes=())) == ()
    assert machine.answer(Health.ALIVE) == ()
    assert machine.state.health is Health.UNKNOWN


# --- unlock ---------------------------------------------------------------------------------------------------------


def test_an_unlock_keeps_the_seal_raises_the_links_and_then_takes_the_latch_off_the_disk() -> None:
    machine = halted()
    assert unlock(machine).accepted
    kinds = [type(effect) for effect in machine.effects]
    assert kinds == [RaiseUplinks, SaveState, Announce, Reply]
    assert machine.only(SaveState).persisted.latch is None
    assert machine.state.policy is not None
    assert machine.state.policy.is_sealed


def test_after_an_unlock_the_tunnel_is_made_anew_on_the_same_endpoint() -> None:
    machine = up()
    machine.cycles(3, Health.DEAD)
    machine.cycle(Health.ALIVE)
    machine.hear(FrameSeen(machine.at_s, a.stray_frame()))
    assert unlock(machine).accepted
    effects = machine.look(machine.whole(tunnel=None))
    assert isinstance(effects[0], ApplyPolicy)
    assert not effects[0].policy.is_sealed
    assert machine.only(EnsureCapture).policy == effects[0].policy
    assert machine.only(ConfigurePeer).endpoint == a.BACKUP
    machine.answer(Health.ALIVE)
    assert machine.state.phase(machine.plan) is Phase.UP


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lock": a.CHANGED}, "sealed ruleset is changed"),
        ({"lock": a.UNREADABLE}, "sealed ruleset is unreadable"),
        ({"unknown": ("links could not be listed",)}, "links could not be listed"),
        ({"uplinks": (a.uplink(),)}, "up again while halted"),
        ({"routes": (Route(ip_network("0.0.0.0/0"), "eth0", a.GATEWAY),)}, "leaves by eth0"),
    ],
)
def test_an_unlock_is_refused_while_the_cause_is_there(changes: dict[str, object], words: str) -> None:
    machine = halted()
    latch = machine.state.latch
    survey = machine.whole(**{"uplinks": LOWERED, "routes": (), **changes})
    machine.hear(UnlockRequested(machine.at_s, survey))
    assert not machine.only(Reply).accepted
    assert words in machine.only(Reply).text
    assert machine.effects == (machine.only(Reply),)
    assert machine.state.latch == latch


def test_an_unlock_before_the_links_were_seen_is_refused() -> None:
    machine = starting(persisted=halted().state.persisted())
    assert not unlock(machine).accepted
    assert machine.state.latch is not None


def test_an_answer_from_before_the_halt_is_not_heard_after_the_unlock() -> None:
    machine = up()
    machine.look()
    asked = machine.state.cycle
    machine.hear(FrameSeen(machine.at_s, a.stray_frame()))
    assert unlock(machine).accepted
    machine.hear(Probed(machine.at_s, asked, Health.ALIVE, "late", None))
    assert machine.state.health is Health.UNKNOWN


def test_failures_from_before_the_halt_do_not_shorten_the_patience_after_it() -> None:
    machine = up()
    for _ in range(2):
        machine.fail(machine.look(machine.whole(lock=a.CHANGED), is_cycle=False)[0])
    assert machine.state.latch is not None
    machine.look(machine.whole(uplinks=LOWERED))
    assert unlock(machine).accepted
    machine.look()
    machine.fail(machine.look(machine.whole(lock=a.CHANGED), is_cycle=False)[0])
    assert machine.state.latch is None


def test_secrets_and_pins_are_in_no_repr_of_state_and_effects() -> None:
    machine = starting()
    shown = [repr(machine.state)]
    for survey in (machine.whole(tunnel=None), machine.whole(), machine.whole(tunnel=a.tunnel(a.RESERVE))):
        shown += map(repr, machine.look(survey))
        shown.append(repr(machine.state))
    machine.hear(SwitchRequested(machine.at_s, "20-backup"))
    shown += [*map(repr, machine.effects), repr(machine.state), repr(machine.plan)]
    for endpoint in a.THREE:
        for secret in (endpoint.private_key, endpoint.preshared_key):
            assert secret is not None
            assert not [text for text in shown if secret.reveal() in text]
    assert not [text for text in shown if str(a.FWMARK) in text]


def test_the_end_of_a_proof_before_the_first_look_opens_nothing() -> None:
    for blind in (starting(), starting(persisted=halted().state.persisted())):
        blind.hear(ProofRequested(0.0, None))
        assert blind.effects == (blind.only(Reply),)
        assert blind.state.policy is None
