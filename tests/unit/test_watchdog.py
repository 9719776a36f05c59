"""The loop with every edge faked: what it hears, what it does, what it tells."""

from __future__ import annotations

import time

import pytest

from sidecar.core.messages import FrameSeen
from sidecar.core.model import Timing
from sidecar.core.sights import Latch, Persisted
from sidecar.errors import EXIT_SOFTWARE, EXIT_TEMPFAIL, ConfigError, LinkError, LockError, StateError
from sidecar.inbox import Crashed
from tests import builders
from tests.unit.watchdog_world import DEADLINE_S, FAULT, LEAKED, TIMING, World
from tests.waiting import wait_until


@pytest.fixture
def world() -> World:
    return World()


def test_it_comes_up_from_nothing_and_stops_with_the_lock_in_force(world: World) -> None:
    with world.running():
        world.wait_until_healthy()
    assert world.exit_codes == [0]
    assert world.tunnel.writes == ["10-primary"]
    assert not world.lock.applied[-1].is_sealed
    assert world.status.latest["endpoint"]["name"] == "10-primary"


def test_a_silent_endpoint_is_left_for_the_next_one_and_that_is_saved(world: World) -> None:
    with world.running():
        world.wait_until_healthy()
        world.fall_silent()
        wait_until(lambda: "20-backup" in world.tunnel.writes, DEADLINE_S, "the switch")
        world.answer()
        world.wait_until_healthy()
    assert world.state_store.persisted is not None
    assert world.state_store.persisted.active == "20-backup"
    assert world.tunnel.writes[:3] == ["10-primary", "rebind", "20-backup"]


def test_source_ports_that_somebody_else_has_taken_hold_up_no_failover(world: World) -> None:
    with world.running():
        world.wait_until_healthy()
        in_use = world.tunnel.devices["wg0"].listen_port
        world.tunnel.taken_ports = set(builders.plan().pins.listen_ports) - {in_use}
        world.fall_silent()
        wait_until(lambda: "20-backup" in world.tunnel.writes, DEADLINE_S, "the switch")
        world.answer()
        world.wait_until_healthy()


def test_a_frame_outside_the_tunnel_halts_keeps_evidence_and_lowers_the_links(world: World) -> None:
    with world.running():
        world.wait_until_healthy()
        world.inbox.post(FrameSeen(time.monotonic(), LEAKED))
        world.wait_for_phase("halted")
    assert world.lock.applied[-1].is_sealed
    assert not world.links.devices["eth0"].up
    assert world.evidence.saved
    assert world.workloads.told
    assert world.state_store.persisted is not None
    assert world.state_store.persisted.latch is not None
    assert LEAKED.summary in world.state_store.persisted.latch.evidence


def test_a_hard_stop_does_every_part_although_others_fail(world: World) -> None:
    with world.running():
        world.wait_until_healthy()
        world.lock.failing = LockError(attempted="load", got="no memory", remedy="free some")
        world.state_store.fault = StateError(attempted="save", got="disk full", remedy="make room")
        world.inbox.post(FrameSeen(time.monotonic(), LEAKED))
        failed = world.wait_for_event("failed")
        world.wait_for_phase("halted")
    assert "no memory" in failed
    assert "disk full" in failed
    assert not world.links.devices["eth0"].up
    assert world.evidence.saved
    assert world.workloads.told


def test_a_hard_stop_does_every_part_although_one_ends_in_a_mistake_of_ours(world: World) -> None:
    with world.running():
        world.wait_until_healthy()
        world.lock.mistake = AssertionError("a policy that cannot be written")
        world.inbox.post(FrameSeen(time.monotonic(), LEAKED))
        world.wait_for_phase("halted")
    assert "a policy that cannot be written" in world.wait_for_event("failed")
    assert not world.links.devices["eth0"].up
    assert world.state_store.persisted is not None
    assert world.state_store.persisted.latch is not None
    assert world.evidence.saved
    assert world.workloads.told


def test_looks_that_take_longer_than_a_cycle_hold_up_no_message(world: World) -> None:
    with world.running():
        world.wait_until_healthy()
        world.tunnel.delay_s = 2 * TIMING.cycle_s
        slow_from = len(world.status.published)
        wait_until(lambda: len(world.status.published) > slow_from + 2, DEADLINE_S, "slow looks")
        world.inbox.post(FrameSeen(time.monotonic(), LEAKED))
        world.wait_for_phase("halted")


def test_a_halt_survives_a_restart_and_ends_by_unlock(world: World) -> None:
    plan = builders.plan(timing=TIMING)
    world.state_store.persisted = Persisted("20-backup", plan.digest, 0, Latch("a leak", "a frame"))
    with world.running():
        wait_until(lambda: not world.links.devices["eth0"].up, DEADLINE_S, "the links to be lowered")
        assert world.status.latest["phase"] == "halted"
        assert world.inbox.ask("switch", "10-primary").exit_code == EXIT_TEMPFAIL
        assert not world.tunnel.writes
        answer = wait_until(lambda: _accepted(world), DEADLINE_S, "the unlock")
        assert answer
        world.wait_until_healthy()
    assert world.tunnel.writes == ["20-backup"]
    assert world.state_store.persisted.latch is None


def _accepted(world: World) -> bool:
    return world.inbox.ask("unlock").accepted


def test_a_broken_configuration_seals_and_a_corrected_one_is_taken_up(world: World) -> None:
    world.configuration.write(FAULT)
    with world.running():
        world.wait_for_phase("sealed")
        assert "copy it again" in world.status.latest["reasons"][0]
        assert all(policy.is_sealed for policy in world.lock.applied)
        world.configuration.write(builders.plan(timing=TIMING))
        world.wait_until_healthy()


def test_converge_refuses_a_broken_configuration_and_the_running_one_stays(world: World) -> None:
    with world.running():
        world.wait_until_healthy()
        world.configuration.write(FAULT)
        answer = world.inbox.ask("converge")
        assert answer.exit_code == ConfigError.exit_code
        assert "copy it again" in answer.text
        world.wait_until_healthy()
        assert world.status.latest["config"]["fault"] is None


def test_converge_goes_back_to_the_first_endpoint(world: World) -> None:
    plan = builders.plan(timing=TIMING)
    world.state_store.persisted = Persisted("30-reserve", plan.digest, 0, None)
    with world.running():
        world.wait_until_healthy()
        assert world.status.latest["endpoint"]["name"] == "30-reserve"
        assert world.inbox.ask("converge").accepted
        world.wait_until_healthy()
        assert world.status.latest["endpoint"]["name"] == "10-primary"


def test_a_flushed_ruleset_is_restored_when_the_kernel_says_so(world: World) -> None:
    world.configuration.plan = builders.plan(timing=Timing(cycle_s=60.0))
    with world.running():
        wait_until(lambda: world.tunnel.writes, DEADLINE_S, "the tunnel")
        before = len(world.lock.applied)
        world.lock.flush()
        world.inbox.wake("nftables")
        wait_until(lambda: len(world.lock.applied) > before, DEADLINE_S, "the lock to come back")
        world.wait_for_event("lock-restored")


def test_a_move_whose_lock_fails_is_not_made_and_the_operator_hears_it(world: World) -> None:
    with world.running():
        world.wait_until_healthy()
        world.lock.failing = LockError(attempted="load", got="no memory", remedy="free some")
        answer = world.inbox.ask("switch", "30-reserve")
        assert not answer.accepted
        assert "no memory" in answer.text
        assert "30-reserve" not in world.tunnel.writes


def test_a_thread_that_dies_ends_the_process_sealed_and_latched(world: World) -> None:
    with world.running():
        world.wait_until_healthy()
        world.inbox.post(Crashed(RuntimeError("a bug in a tap")))
        wait_until(lambda: world.exit_codes, DEADLINE_S, "the end")
    assert world.exit_codes == [EXIT_SOFTWARE]
    assert world.lock.applied[-1].is_sealed
    assert world.state_store.persisted is not None
    assert world.state_store.persisted.latch is not None


def test_a_status_board_that_fails_is_said_once_and_stops_nothing(world: World) -> None:
    world.status.broken = True
    with world.running():
        wait_until(lambda: len(world.prober.asked) > 2, DEADLINE_S, "some cycles")
    assert world.events.kinds.count("status-lost") == 1
    assert world.exit_codes == [0]


def test_it_holds_every_queue_before_it_permits_anything_for_long(world: World) -> None:
    with world.running():
        world.wait_until_healthy()
    assert not world.xdp_hold.somebody_binds("eth0", 0)


def test_a_queue_that_is_somebody_elses_seals_until_it_is_ours(world: World) -> None:
    assert world.xdp_hold.somebody_binds("eth0", 0)
    with world.running():
        assert "AF_XDP" in world.wait_for_event("failed")
        wait_until(lambda: world.lock.applied and world.lock.applied[-1].is_sealed, DEADLINE_S, "the seal")
        wait_until(lambda: world.status.published, DEADLINE_S, "a status")
        assert not world.status.latest["healthy"]
        world.xdp_hold.somebody_ends("eth0", 0)
        world.wait_until_healthy()


def test_a_kernel_without_af_xdp_needs_no_hold(world: World) -> None:
    world.xdp_hold.supported = False
    with world.running():
        world.wait_until_healthy()


def test_a_frame_that_no_tap_saw_is_found_by_the_accounts_and_halts(world: World) -> None:
    with world.running():
        world.wait_until_healthy()
        world.accounting.send("eth0", 1000)
        world.accounting.leak("eth0", 1)
        world.wait_for_phase("halted")
    assert "1 frame" in world.status.latest["latch"]["evidence"]


def test_accounts_that_cannot_be_read_are_unknown_and_stop_nothing(world: World) -> None:
    world.accounting.failing = LinkError(attempted="read the counters", got="no memory", remedy="free some")
    with world.running():
        world.wait_until_healthy()
        assert world.status.latest["leak"]["accounting"][0][1] == "unknown"
