from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.core.killswitch import Neighbour
from sidecar.core.messages import (
    Announce,
    ApplyPolicy,
    ConfigurePeer,
    Probe,
    Probed,
    Rebind,
    ResolveNextHops,
    SaveState,
)
from sidecar.core.model import Endpoint, Health, Timing
from sidecar.core.state import Phase
from tests import builders as a
from tests.unit.core.situations import Machine, degraded, exhausted, starting, up

NEAR = a.plan((a.PRIMARY, a.ON_LINK))


def said(machine: Machine) -> list[str]:
    return [effect.kind for effect in machine.effects if isinstance(effect, Announce)]


def traffic(machine: Machine, of: Endpoint = a.PRIMARY) -> a.Survey:
    """Return a look that shows a megabyte more than the last one."""
    before = machine.state.baseline
    assert before is not None
    return machine.whole(of, a.peer(of, rx_bytes=before.peer.rx_bytes + 1_000_000))


def near(neighbour: Neighbour | None) -> a.Uplink:
    rows = {a.GATEWAY: Neighbour(a.GATEWAY_MAC)}
    return a.uplink(neighbours=rows if neighbour is None else {**rows, a.ON_LINK.address: neighbour})


SILENT = near(Neighbour(None, failed=True))


# --- evidence -------------------------------------------------------------------------------------------------------


def test_traffic_needs_no_probe() -> None:
    machine = up()
    machine.look()
    machine.answer(Health.ALIVE, a.peer())
    effects = machine.look(traffic(machine))
    assert effects == ()
    assert machine.state.health is Health.ALIVE


def test_an_idle_tunnel_is_asked_each_cycle_and_between_cycles_never() -> None:
    machine = up()
    for _ in range(3):
        assert machine.look() == (Probe(machine.state.cycle, machine.plan.probe_targets, "wg0", 1.0),)
        assert machine.look(is_cycle=False) == ()
        machine.answer(Health.ALIVE)


@pytest.mark.parametrize("health", [Health.ALIVE, Health.DEAD])
def test_an_answer_is_heard_once(health: Health) -> None:
    machine = up()
    machine.look()
    machine.answer(health)
    after_first = machine.state
    machine.answer(Health.DEAD)
    machine.answer(Health.ALIVE)
    assert machine.state.run == after_first.run
    assert machine.state.health is health


def test_an_answer_that_nobody_asked_for_is_not_heard() -> None:
    machine = starting()
    machine.hear(Probed(0.0, 0, Health.ALIVE, "a ghost", None))
    assert machine.state.health is Health.UNKNOWN


def test_a_probe_that_never_answers_makes_the_health_unknown_and_counts_nothing() -> None:
    machine = up()
    machine.look()
    machine.look()
    assert machine.state.health is Health.UNKNOWN
    for _ in range(50):
        machine.look()
    assert machine.state.run.bad_cycles == 0
    assert machine.state.active == "10-primary"


def test_an_answer_that_came_through_another_peer_counts_for_neither_side() -> None:
    machine = degraded()
    for health in (Health.ALIVE, Health.DEAD):
        machine.look()
        machine.answer(health, a.peer(a.BACKUP))
        assert machine.state.health is Health.UNKNOWN
        assert machine.state.run.bad_cycles == 1


def test_traffic_of_another_peer_is_no_sign_of_life() -> None:
    machine = up()
    machine.look()
    machine.answer(Health.ALIVE, a.peer())
    foreign = a.peer(endpoint_address=a.RESERVE.address, rx_bytes=10**9)
    machine.look(machine.whole(counters=foreign))
    assert machine.only(Probe)


def test_a_probe_that_could_not_be_sent_is_unknown_and_counts_nothing() -> None:
    machine = up()
    machine.cycles(10, Health.UNKNOWN)
    assert machine.state.health is Health.UNKNOWN
    assert machine.state.active == "10-primary"
    assert machine.state.run.bad_cycles == 0


def test_one_way_traffic_on_a_dead_session_counts_even_where_no_probe_can_be_sent() -> None:
    machine = up()
    for sent in range(1, 5):
        machine.look()
        machine.answer(Health.UNKNOWN, a.peer(tx_bytes=10_000 + sent * 500, latest_handshake_age_s=200.0 + sent))
    assert machine.state.active == "20-backup"


def test_a_look_without_sight_is_never_a_good_cycle_nor_a_bad_one() -> None:
    machine = degraded()
    for _ in range(4):
        machine.look(a.lost(machine.whole()))
        assert machine.state.health is Health.UNKNOWN
        assert machine.state.run.bad_cycles == 1


@pytest.mark.parametrize("is_cycle", [True, False])
def test_a_long_stall_voids_the_evidence_before_it(*, is_cycle: bool) -> None:
    machine = up()
    machine.look()
    machine.answer(Health.DEAD, a.peer())
    machine.at_s += 3_600.0
    machine.look(is_cycle=is_cycle)
    assert machine.state.run.bad_cycles == 0
    assert machine.state.health is Health.UNKNOWN
    assert machine.state.baseline is None


def test_hours_of_looks_between_cycles_switch_nothing_and_prove_nothing() -> None:
    machine = up()
    for _ in range(100):
        machine.at_s += 60.0
        machine.look(is_cycle=False)
    assert machine.state.health is Health.UNKNOWN
    assert machine.state.active == "10-primary"


# --- bad cycles -----------------------------------------------------------------------------------------------------


def test_a_run_of_bad_cycles_rebinds_and_then_moves_on() -> None:
    machine = up()
    machine.cycle(Health.DEAD)
    assert said(machine) == ["bad-cycle"]
    machine.cycle(Health.DEAD)
    assert machine.only(Rebind).listen_port == a.LISTEN_PORTS[1]
    machine.cycle(Health.DEAD)
    assert machine.state.active == "20-backup"
    assert said(machine) == ["failover"]


@pytest.mark.parametrize("good_after", [1, 2])
def test_short_cuts_never_add_up(good_after: int) -> None:
    machine = up()
    for _ in range(50):
        machine.cycles(good_after, Health.DEAD)
        machine.cycle(Health.ALIVE)
    assert machine.state.active == "10-primary"


def test_a_tunnel_revived_by_a_fresh_port_is_said_to_be_that() -> None:
    machine = up()
    machine.cycles(2, Health.DEAD)
    machine.cycle(Health.ALIVE)
    assert said(machine) == ["revived"]
    assert "path had condemned the old flow" in machine.only(Announce).text
    assert machine.state.active == "10-primary"


def test_a_tunnel_that_came_back_by_itself_is_not_said_to_be_revived() -> None:
    machine = degraded()
    machine.cycle(Health.ALIVE)
    assert said(machine) == ["recovered"]


def test_a_server_that_was_down_for_long_is_not_said_to_be_revived_by_a_fresh_port() -> None:
    machine = exhausted()
    machine.cycles(20, Health.DEAD)
    machine.cycle(Health.ALIVE)
    assert said(machine) == ["recovered"]
    assert "path had condemned" not in machine.only(Announce).text


def test_a_stall_after_a_fresh_port_takes_its_merit_away() -> None:
    machine = up()
    machine.cycles(2, Health.DEAD)
    machine.at_s += 3_600.0
    machine.cycle(Health.ALIVE)
    assert "revived" not in said(machine)


def test_source_ports_come_round_again() -> None:
    machine = up()
    used = []
    for _ in range(7):
        machine.cycles(2, Health.DEAD)
        used.append(machine.only(Rebind).listen_port)
        machine.cycle(Health.ALIVE)
    assert used == [a.LISTEN_PORTS[number % 3] for number in range(1, 8)]


def test_an_exhausted_list_is_left_by_the_first_answer() -> None:
    machine = exhausted(a.plan(a.THREE))
    machine.cycles(100, Health.DEAD)
    assert machine.state.phase(machine.plan) is Phase.EXHAUSTED
    assert machine.state.active == "30-reserve"
    machine.cycle(Health.ALIVE)
    assert machine.state.phase(machine.plan) is Phase.UP


def test_an_exhausted_list_is_not_written_down_every_cycle() -> None:
    machine = exhausted()
    machine.cycle(Health.DEAD)
    for _ in range(20):
        assert not [effect for effect in machine.cycle(Health.DEAD) if isinstance(effect, SaveState)]


def test_the_cycle_of_arriving_counts_nothing_and_the_first_answer_is_heard() -> None:
    machine = up()
    machine.cycles(3, Health.DEAD)
    assert machine.state.active == "20-backup"
    asked = machine.only(Probe)
    assert asked.cycle == machine.state.cycle
    machine.at_s += 0.5
    machine.answer(Health.DEAD)
    assert machine.state.run.bad_cycles == 0
    machine.cycles(3, Health.DEAD)
    assert machine.state.active == "30-reserve"


def test_the_first_answer_of_a_new_endpoint_makes_it_up_at_once() -> None:
    machine = up()
    machine.cycles(3, Health.DEAD)
    machine.at_s += 0.5
    machine.answer(Health.ALIVE, a.peer(a.BACKUP))
    assert machine.state.phase(machine.plan) is Phase.UP


# --- what counts towards nothing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"tunnel": None},
        {"tunnel": a.tunnel(link=replace(a.tunnel().link, up=False))},
        {"tunnel": a.tunnel(a.RESERVE)},
        {"routes": ()},
        {"uplinks": ()},
        {"uplinks": (a.uplink(carrier=False),)},
        {"uplinks": (a.uplink(gateways=(), addresses=()),)},
        {"uplinks": (a.uplink(neighbours={a.GATEWAY: Neighbour(None, failed=True)}),)},
    ],
)
def test_a_fault_of_ours_or_of_the_uplink_never_counts(changes: dict[str, object]) -> None:
    machine = up()
    for _ in range(50):
        machine.look(machine.whole(**changes))
        machine.answer(Health.DEAD)
    assert machine.state.active == "10-primary"
    assert machine.state.run.bad_cycles == 0
    assert machine.state.health is Health.DEAD


def test_a_probe_that_began_before_a_repair_does_not_count_although_all_is_well_by_its_end() -> None:
    machine = up()
    machine.look(machine.whole(tunnel=None))
    machine.look(is_cycle=False)
    machine.answer(Health.DEAD)
    assert machine.state.run.bad_cycles == 0
    machine.cycle(Health.DEAD)
    assert machine.state.run.bad_cycles == 1


def test_an_uplink_that_is_lost_during_a_probe_explains_its_silence() -> None:
    machine = up()
    machine.look()
    machine.look(machine.whole(uplinks=(a.uplink(carrier=False),)), is_cycle=False)
    machine.answer(Health.DEAD)
    assert machine.state.run.bad_cycles == 0


def test_other_name_servers_do_not_excuse_a_dead_tunnel() -> None:
    machine = up()
    for _ in range(3):
        machine.look(machine.whole(nameservers=()))
        machine.answer(Health.DEAD)
    assert machine.state.active == "20-backup"


# --- endpoints on our own link --------------------------------------------------------------------------------------


def on_link(uplink: a.Uplink) -> Machine:
    """Return a machine on the on-link endpoint, which the primary was left for."""
    machine = up(NEAR)
    while machine.state.active != a.ON_LINK.name:
        machine.look(machine.whole(uplinks=(uplink,)))
        machine.answer(Health.DEAD)
    return machine


@pytest.mark.parametrize("neighbour", [None, Neighbour(None), Neighbour(None, failed=True)])
def test_a_move_to_an_unresolved_endpoint_still_takes_the_tunnel_off_the_old_one(neighbour: Neighbour | None) -> None:
    machine = on_link(near(neighbour))
    effects = [type(effect) for effect in machine.effects]
    assert effects.index(ApplyPolicy) < effects.index(SaveState) < effects.index(ResolveNextHops)
    assert machine.only(ConfigurePeer).endpoint == a.ON_LINK


def test_the_silence_of_an_on_link_endpoint_counts_without_a_probe() -> None:
    machine = on_link(SILENT)
    for _ in range(4):
        machine.look(machine.whole(uplinks=(SILENT,)))
        assert Probe not in map(type, machine.effects)
    assert machine.state.phase(machine.plan) is Phase.EXHAUSTED


def test_an_on_link_endpoint_that_answers_again_is_asked_again() -> None:
    machine = on_link(SILENT)
    for _ in range(4):
        machine.look(machine.whole(uplinks=(SILENT,)))
    machine.cycle(Health.ALIVE, machine.whole(uplinks=(near(Neighbour(a.STRANGER_MAC)),)))
    assert machine.state.phase(machine.plan) is Phase.UP


def test_traffic_speaks_louder_than_a_silent_neighbour() -> None:
    machine = on_link(near(Neighbour(a.STRANGER_MAC)))
    machine.look()
    machine.answer(Health.ALIVE, a.peer(a.ON_LINK))
    machine.look(replace(traffic(machine, a.ON_LINK), uplinks=(SILENT,)))
    assert machine.state.health is Health.ALIVE


def test_a_silent_backup_is_asked_for_each_cycle_and_bothers_nobody() -> None:
    machine = up(NEAR)
    machine.cycle(Health.ALIVE, machine.whole(uplinks=(SILENT,)))
    machine.look(machine.whole(uplinks=(SILENT,)))
    assert [path.next_hop for path in machine.only(ResolveNextHops).paths] == [a.ON_LINK.address]
    assert machine.look(machine.whole(uplinks=(SILENT,)), is_cycle=False) == ()
    assert machine.state.health is Health.ALIVE


# --- other numbers --------------------------------------------------------------------------------------------------


def test_wrap_begins_the_list_anew_after_the_hold_down() -> None:
    machine = exhausted(a.plan(a.THREE, wrap=True, timing=Timing(wrap_hold_down_s=10.0)))
    for _ in range(20):
        machine.cycle(Health.DEAD)
        if machine.state.active != "30-reserve":
            break
    assert machine.state.active == "10-primary"
    assert machine.state.laps == 1


def test_without_patience_one_bad_cycle_moves() -> None:
    machine = up(a.plan(timing=Timing(threshold_cycles=1)))
    machine.cycle(Health.DEAD)
    assert machine.state.active == "20-backup"
