"""The loop with every edge faked: what it hears, what it does, what it tells."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

import pytest

from sidecar.core.killswitch import Neighbour
from sidecar.core.messages import FrameSeen
from sidecar.core.model import Plan, Timing
from sidecar.core.sights import Latch, Persisted, Route
from sidecar.errors import EXIT_SOFTWARE, EXIT_TEMPFAIL, ConfigError, LockError, StateError
from sidecar.inbox import Crashed, Inbox, Stop
from sidecar.planner import Planner
from sidecar.ports import Drivers
from sidecar.watchdog import Watchdog
from tests import builders
from tests.fakes.capture import FakeCapture, FakeEvidence
from tests.fakes.event_log import FakeEventLog
from tests.fakes.links import FakeLinks
from tests.fakes.lock import FakeLock
from tests.fakes.prober import FakeProber
from tests.fakes.resolver import FakeResolver
from tests.fakes.state_store import FakeStateStore
from tests.fakes.status_board import FakeStatusBoard
from tests.fakes.tunnel import FakeServer, FakeTunnel
from tests.fakes.workloads import FakeWorkloads
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S = 10.0
TIMING = Timing(cycle_s=0.04, probe_timeout_s=0.02)
FAULT = ConfigError(attempted="read 10-primary.conf line 3", got="not base64", remedy="copy it again")
LEAKED = builders.stray_frame()


@dataclass
class FakeConfiguration:
    """Files in memory."""

    plan: Plan | ConfigError
    warnings: tuple[str, ...] = ()
    version: int = 0

    def load(self) -> Plan:
        if isinstance(self.plan, ConfigError):
            raise self.plan
        return self.plan

    def fingerprint(self) -> str:
        return str(self.version)

    def write(self, plan: Plan | ConfigError) -> None:
        self.plan = plan
        self.version += 1


@dataclass
class World:
    """A namespace with one uplink, whose servers all answer."""

    configuration: FakeConfiguration = field(default_factory=lambda: FakeConfiguration(builders.plan(timing=TIMING)))
    links: FakeLinks = field(default_factory=FakeLinks)
    lock: FakeLock = field(default_factory=FakeLock)
    tunnel: FakeTunnel = field(default_factory=FakeTunnel)
    capture: FakeCapture = field(default_factory=FakeCapture)
    evidence: FakeEvidence = field(default_factory=FakeEvidence)
    prober: FakeProber = field(default_factory=FakeProber)
    resolver: FakeResolver = field(default_factory=FakeResolver)
    state_store: FakeStateStore = field(default_factory=FakeStateStore)
    workloads: FakeWorkloads = field(default_factory=FakeWorkloads)
    events: FakeEventLog = field(default_factory=FakeEventLog)
    status: FakeStatusBoard = field(default_factory=FakeStatusBoard)
    inbox: Inbox = field(default_factory=Inbox)
    exit_codes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        uplink = self.links.add_device("eth0", ip_interface("10.0.0.2/24"))
        uplink.answers[builders.GATEWAY] = builders.GATEWAY_MAC
        uplink.neighbours[builders.GATEWAY] = Neighbour(builders.GATEWAY_MAC)
        self.links.add_foreign_route(Route(ip_network("0.0.0.0/0"), "eth0", builders.GATEWAY))
        self.links.add_device("wg0")
        for endpoint in builders.THREE:
            server = FakeServer(endpoint.public_key, endpoint.preshared_key)
            self.tunnel.servers[(endpoint.address, endpoint.port)] = server
        self.answer()

    def answer(self) -> None:
        self.prober.answering = {ip_address("10.64.0.1")}

    def fall_silent(self) -> None:
        self.prober.answering = set()

    def sealed_plan(self, fault: str) -> Plan:
        return builders.plan((), fault=fault, timing=TIMING)

    @contextmanager
    def running(self) -> Iterator[None]:
        drivers = Drivers(
            lock=self.lock,
            links=self.links,
            tunnel=self.tunnel,
            capture=self.capture,
            evidence=self.evidence,
            prober=self.prober,
            resolver=self.resolver,
            state_store=self.state_store,
            workloads=self.workloads,
            events=self.events,
        )
        planner = Planner(self.configuration, self.sealed_plan, self.events)
        watchdog = Watchdog(drivers, planner, self.status, self.inbox, time.monotonic)
        thread = threading.Thread(target=lambda: self.exit_codes.append(watchdog.run()))
        thread.start()
        try:
            yield
        finally:
            self.inbox.post(Stop())
            thread.join(DEADLINE_S)
            assert not thread.is_alive()

    def wait_for_phase(self, phase: str) -> None:
        wait_until(lambda: self.status.published and self.status.latest["phase"] == phase, DEADLINE_S, phase)

    def wait_until_healthy(self) -> None:
        wait_until(lambda: self.status.published and self.status.latest["healthy"], DEADLINE_S, "health")

    def wait_for_event(self, kind: str) -> str:
        def found() -> str | None:
            return next((event.text for event in self.events.announced if event.kind == kind), None)

        text = wait_until(found, DEADLINE_S, f"the event {kind}")
        assert text is not None
        return text


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
