"""A watchdog with every edge faked, running in a thread of its own."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

from sidecar.core.killswitch import Neighbour
from sidecar.core.model import Plan, Timing
from sidecar.core.sights import Route
from sidecar.errors import ConfigError
from sidecar.inbox import Inbox, Stop
from sidecar.planner import Planner
from sidecar.ports import Drivers
from sidecar.watchdog import Watchdog
from tests import builders
from tests.fakes.accounting import FakeAccounting
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
from tests.fakes.xdp_hold import FakeXdpHold
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
    xdp_hold: FakeXdpHold = field(default_factory=FakeXdpHold)
    accounting: FakeAccounting = field(default_factory=FakeAccounting)
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
        self.xdp_hold.add_device("eth0")
        self.accounting.add_device("eth0")
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
            xdp_hold=self.xdp_hold,
            accounting=self.accounting,
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
