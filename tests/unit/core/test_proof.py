"""What a proof may ask of the lock, and everything that ends it."""

from __future__ import annotations

import pytest

from sidecar.core.messages import ApplyPolicy, FrameSeen, HardStop, ProofRequested, Reply
from sidecar.core.proof import DEVICE, KIND, LIMIT_S
from sidecar.core.state import Phase
from tests import builders as a
from tests.unit.core.situations import EVERY_PHASE, Machine, up

LEADS_NOWHERE = a.uplink(DEVICE, index=7, gateways=(), addresses=(), kind=KIND)
LEADS_SOMEWHERE = a.uplink(DEVICE, index=7, gateways=(), addresses=(), kind="veth")


def ask(machine: Machine, **changes: object) -> Reply:
    machine.hear(ProofRequested(machine.at_s, machine.whole(**changes)))
    return machine.only(Reply)


def proving() -> Machine:
    machine = up()
    assert ask(machine).accepted
    return machine


def left_out(machine: Machine) -> str | None:
    assert machine.state.policy is not None
    return machine.state.policy.proof_device


def test_a_proof_has_one_name_left_out_and_nothing_else_permitted() -> None:
    machine = up()
    before = machine.state.policy
    assert ask(machine).accepted
    policy = machine.only(ApplyPolicy).policy
    assert policy.proof_device == DEVICE
    assert a.replace(policy, proof_device=None) == before


def test_the_proofs_device_is_no_uplink_while_the_proof_runs() -> None:
    machine = proving()
    effects = machine.look(machine.whole(uplinks=(a.uplink(), LEADS_NOWHERE)))
    assert not any(isinstance(effect, ApplyPolicy) for effect in effects)
    assert [each.device for each in machine.state.uplinks] == ["eth0"]
    assert machine.state.blind == ()


def test_without_a_proof_a_device_of_that_name_is_locked_like_any_other() -> None:
    machine = up()
    machine.look(machine.whole(uplinks=(a.uplink(), LEADS_NOWHERE)))
    assert machine.only(ApplyPolicy).policy.devices == ("eth0", DEVICE)
    assert left_out(machine) is None


def test_a_device_of_that_name_that_may_lead_somewhere_ends_the_proof_and_is_locked() -> None:
    machine = proving()
    machine.look(machine.whole(uplinks=(a.uplink(), LEADS_SOMEWHERE)), is_cycle=False)
    policy = machine.only(ApplyPolicy).policy
    assert policy.proof_device is None
    assert policy.devices == ("eth0", DEVICE)


def test_the_end_of_a_proof_is_never_refused() -> None:
    for machine in (proving(), up()):
        machine.hear(ProofRequested(machine.at_s, None))
        assert machine.only(Reply).accepted
        assert machine.only(ApplyPolicy).policy.proof_device is None


def test_time_ends_a_proof() -> None:
    machine = proving()
    began_at_s = machine.at_s
    while left_out(machine) == DEVICE:
        assert machine.at_s - began_at_s < LIMIT_S
        machine.look()
    assert machine.at_s - began_at_s == LIMIT_S
    assert machine.only(ApplyPolicy).policy == machine.state.policy


def test_a_look_without_sight_ends_it_for_as_long_as_it_lasts() -> None:
    machine = proving()
    machine.look(a.lost(machine.whole()))
    assert left_out(machine) is None
    machine.look()
    assert left_out(machine) == DEVICE


def test_a_halt_ends_a_proof_for_good() -> None:
    machine = proving()
    machine.hear(FrameSeen(machine.at_s, a.stray_frame()))
    assert machine.only(HardStop).policy.is_sealed
    assert machine.state.proof_until_s is None


def test_a_restart_forgets_a_proof() -> None:
    machine = proving()
    again = Machine(machine.plan)
    again.hear(a.started(machine.at_s, machine.state.persisted()))
    again.look()
    assert left_out(again) is None


@pytest.mark.parametrize("phase", [Phase.SEALED, Phase.STARTING, Phase.HALTED])
def test_a_proof_is_refused_where_no_tunnel_is_permitted(phase: Phase) -> None:
    machine = EVERY_PHASE[phase]()
    assert not ask(machine).accepted
    assert machine.effects == (machine.only(Reply),)


@pytest.mark.parametrize("uplink", [LEADS_NOWHERE, LEADS_SOMEWHERE], ids=["a TAP", "a veth"])
def test_a_proof_is_refused_where_its_name_is_taken(uplink: object) -> None:
    machine = up()
    assert DEVICE in ask(machine, uplinks=(a.uplink(), uplink)).text
    assert left_out(machine) is None


def test_a_proof_of_a_lock_that_is_not_whole_is_refused_with_what_is_wrong() -> None:
    machine = up()
    assert a.CHANGED.difference in ask(machine, lock=a.CHANGED).text
    assert "could not be listed" in reply_to_blind(machine)
    assert left_out(machine) is None


def reply_to_blind(machine: Machine) -> str:
    machine.hear(ProofRequested(machine.at_s, a.lost(machine.whole())))
    return machine.only(Reply).text
