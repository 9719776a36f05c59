from __future__ import annotations

import pytest

from sidecar.core.messages import (
    Announce,
    ApplyPolicy,
    ConfigurePeer,
    EnsureCapture,
    EnsureDevice,
    EnsureRoutes,
    Probe,
    Rebind,
    Replanned,
    ResolveNextHops,
    SaveState,
)
from sidecar.core.model import Health, Timing
from sidecar.core.sights import Latch, Persisted
from sidecar.core.state import Phase
from tests import builders as a
from tests.unit.core.situations import degraded, exhausted, halted, starting, up

DIGEST = a.plan().digest
LATCH = Latch("a frame left outside the tunnel", "the frame")


def kept(
    active: str | None = "20-backup", digest: str = DIGEST, bad_cycles: int = 0, latch: Latch | None = None
) -> Persisted:
    return Persisted(active, digest, bad_cycles, latch)


def kinds(effects: tuple[object, ...]) -> list[type]:
    return [type(effect) for effect in effects if not isinstance(effect, Announce)]


def test_a_first_start_begins_with_the_first_endpoint_and_says_so() -> None:
    machine = starting()
    assert machine.state.active == "10-primary"
    assert [effect.kind for effect in machine.effects if isinstance(effect, Announce)] == ["selected"]


def test_the_first_look_locks_notes_watches_resolves_and_builds_in_this_order() -> None:
    machine = starting()
    unresolved = a.uplink(neighbours={})
    effects = machine.look(
        machine.whole(uplinks=(unresolved,), tunnel=None, routes=(), watched=frozenset(), nameservers=())
    )
    assert kinds(effects)[:4] == [ApplyPolicy, SaveState, EnsureCapture, ResolveNextHops]
    assert EnsureDevice in kinds(effects)
    assert EnsureRoutes in kinds(effects)
    assert ConfigurePeer not in kinds(effects)  # a handshake now would be dropped by the lock
    assert kinds(machine.look(machine.whole(tunnel=None), is_cycle=False)).count(ConfigurePeer) == 1


@pytest.mark.parametrize(
    ("persisted", "active"),
    [
        (None, "10-primary"),
        (kept(), "20-backup"),
        (kept(digest="another list"), "10-primary"),
        (kept(active="99-nowhere"), "10-primary"),
        (kept(active=None), "10-primary"),
        (kept(active="", digest=""), "10-primary"),
    ],
)
def test_a_restart_keeps_the_endpoint_of_the_same_list(persisted: Persisted | None, active: str) -> None:
    assert starting(persisted=persisted).state.active == active


def test_a_restart_beside_a_working_tunnel_changes_nothing_about_it() -> None:
    machine = starting(persisted=kept("10-primary"))
    assert kinds(machine.look()) == [ApplyPolicy, SaveState, EnsureCapture, Probe]


def test_a_restart_keeps_the_source_port_that_the_tunnel_was_moved_to() -> None:
    before = up()
    before.cycles(2, Health.DEAD)
    port = before.only(Rebind).listen_port
    machine = starting(persisted=before.state.persisted())
    effects = machine.look(a.survey(tunnel=a.tunnel(wireguard=a.wireguard(listen_port=port))))
    assert Rebind not in kinds(effects)
    assert machine.state.listen_port(machine.plan) == port


def test_a_source_port_that_is_not_ours_is_not_adopted() -> None:
    machine = starting(persisted=kept("10-primary"))
    machine.look(a.survey(tunnel=a.tunnel(wireguard=a.wireguard(listen_port=51820))))
    assert machine.only(Rebind).listen_port in a.LISTEN_PORTS


@pytest.mark.parametrize("bad_cycles", [2, 3, 1_000])
def test_a_run_of_bad_cycles_survives_a_restart_and_one_more_decides(bad_cycles: int) -> None:
    machine = starting(persisted=kept("10-primary", bad_cycles=bad_cycles))
    machine.cycle(Health.DEAD)
    assert machine.state.active == "20-backup"


def test_a_good_cycle_after_a_restart_ends_the_run() -> None:
    machine = starting(persisted=kept("10-primary", bad_cycles=2))
    machine.cycle(Health.ALIVE)
    machine.cycle(Health.DEAD)
    assert machine.state.active == "10-primary"


def test_a_nonsensical_run_in_the_state_file_buys_no_patience() -> None:
    machine = starting(persisted=kept("10-primary", bad_cycles=-1_000_000))
    machine.cycles(3, Health.DEAD)
    assert machine.state.active == "20-backup"


def test_a_restart_while_exhausted_is_exhausted_again_without_leaving_the_last_endpoint() -> None:
    before = exhausted(a.plan(a.THREE))
    machine = starting(persisted=before.state.persisted())
    assert machine.state.active == "30-reserve"
    machine.cycle(Health.DEAD)
    assert machine.state.phase(machine.plan) is Phase.EXHAUSTED
    assert machine.state.active == "30-reserve"


@pytest.mark.parametrize("digest", [DIGEST, "another list", ""])
def test_the_latch_survives_every_restart(digest: str) -> None:
    machine = starting(persisted=kept("10-primary", digest, latch=LATCH))
    assert machine.state.latch == LATCH
    effects = machine.look()
    assert isinstance(effects[0], ApplyPolicy)
    assert effects[0].policy.is_sealed
    assert machine.state.latch == LATCH


def test_damage_is_said() -> None:
    machine = starting()
    machine.hear(a.started(0.0, None, "the state file was torn; it was set aside"))
    assert "state-damaged" in [effect.kind for effect in machine.effects if isinstance(effect, Announce)]


def test_remembered_gateways_lead_out_after_a_restart_without_a_default_route() -> None:
    persisted = up().state.persisted()
    assert persisted.gateways == (("eth0", a.GATEWAY),)
    machine = starting(persisted=persisted)
    machine.look(machine.whole(uplinks=(a.uplink(gateways=()),)))
    assert machine.state.uplinks[0].gateways == (a.GATEWAY,)
    assert machine.state.policy is not None
    assert len(machine.state.policy.flows) == 3


def test_a_corrected_configuration_is_judged_from_scratch() -> None:
    machine = up()
    whole, machine.plan = machine.plan, a.plan((), digest="")
    machine.look()
    assert machine.state.policy is not None
    assert machine.state.policy.is_sealed
    assert machine.state.health is Health.UNKNOWN
    machine.plan = whole
    machine.hear(Replanned(machine.at_s))
    assert machine.state.phase(machine.plan) is Phase.STARTING
    assert machine.state.active == "10-primary"


def test_a_corrected_configuration_with_the_same_list_is_no_failback() -> None:
    machine = degraded()
    machine.cycles(2, Health.DEAD)
    assert machine.state.active == "20-backup"
    machine.hear(Replanned(machine.at_s))
    assert machine.state.active == "20-backup"


def test_a_changed_list_does_not_unlock() -> None:
    machine = halted()
    machine.plan = a.plan((a.RESERVE,))
    machine.hear(Replanned(machine.at_s))
    effects = machine.look()
    assert machine.state.phase(machine.plan) is Phase.HALTED
    assert not [effect for effect in effects if isinstance(effect, ApplyPolicy) and not effect.policy.is_sealed]


def test_a_threshold_of_one_survives_a_restart() -> None:
    plan = a.plan(timing=Timing(threshold_cycles=1))
    machine = starting(plan, kept("10-primary", plan.digest, bad_cycles=5))
    assert machine.state.run.bad_cycles == 0
