"""What `sidecar run` is made of: settings → drivers → watchdog; signals; exit codes. Nothing is decided here."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from sidecar.config import FileConfiguration, Implementation
from sidecar.core.killswitch import AWAITED_DEVICES
from sidecar.core.model import Plan
from sidecar.drivers import pins as pins_driver
from sidecar.drivers.accounting import KernelAccounting
from sidecar.drivers.capture.capture import ScapyCapture
from sidecar.drivers.capture.evidence import PcapEvidence
from sidecar.drivers.changes import KernelChanges
from sidecar.drivers.control.event_file import EventFile
from sidecar.drivers.control.logs import LoggedEvents, configure_logging
from sidecar.drivers.control.paths import RuntimePaths
from sidecar.drivers.control.protocol import Request, Response
from sidecar.drivers.control.server import ControlServer
from sidecar.drivers.control.status_file import StatusFile
from sidecar.drivers.dns import ResolvConf
from sidecar.drivers.docker import DockerWorkloads
from sidecar.drivers.netns.links import KernelLinks
from sidecar.drivers.nftables import device_chains
from sidecar.drivers.nftables.driver import NftablesLock
from sidecar.drivers.nftables.render import TABLE
from sidecar.drivers.probe import SocketProber
from sidecar.drivers.state.store import JsonStateStore
from sidecar.drivers.wireguard_kernel import KernelTunnel, kernel_has_wireguard
from sidecar.drivers.wireguard_userspace import S6Supervisor, UserspaceTunnel
from sidecar.drivers.xdp import KernelXdpHold, Shelf
from sidecar.errors import SidecarError
from sidecar.inbox import Crashed, Inbox, Stop
from sidecar.joiners import JoinerWatch
from sidecar.planner import Planner
from sidecar.ports import Drivers
from sidecar.watchdog import Watchdog

if TYPE_CHECKING:
    from sidecar.config import Process
    from sidecar.core.model import Pins
    from sidecar.ports import Tunnel

WIREGUARD_SERVICE = Path("/run/s6/wireguard-go")
"""The supervised directory of wireguard-go, laid out by the entrypoint."""


def run() -> int:
    """Run the watchdog in this network namespace until it is told to stop; return the exit code.

    The entrypoint has sealed the namespace before. Whatever fails here ends the process, never the seal.
    """
    paths = RuntimePaths()
    try:
        pins = pins_driver.load_or_draw(paths.directory / "pins.json")
        configuration = FileConfiguration(pins=pins, environ=os.environ)
        process = configuration.process_or_defaults()
        configure_logging(process.log_format, process.log_level)
        return _watch(paths, configuration, process, pins)
    except SidecarError as error:
        logger.bind(kind="failed").error("{}", error)
        return error.exit_code


def _watch(paths: RuntimePaths, configuration: FileConfiguration, process: Process, pins: Pins) -> int:
    inbox = Inbox()
    drivers = _drivers(paths, process)
    planner = Planner(configuration, lambda fault: _sealed_plan(pins, fault), drivers.events)
    watchdog = Watchdog(drivers, planner, StatusFile(paths.status), inbox, _clock)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: inbox.post(Stop()))
    changes = KernelChanges()
    changes.listen(inbox.wake)
    server = ControlServer(paths.socket, lambda request: _respond(inbox, request))
    joiners = JoinerWatch(drivers.workloads, inbox.post, lambda error: inbox.post(Crashed(error)))
    try:
        return watchdog.run()
    finally:
        joiners.close()
        server.close()
        changes.close()
        drivers.capture.close()


def _drivers(paths: RuntimePaths, process: Process) -> Drivers:
    evidence = PcapEvidence()
    return Drivers(
        lock=NftablesLock(AWAITED_DEVICES),
        links=KernelLinks(),
        tunnel=_tunnel(process.implementation),
        capture=ScapyCapture(evidence),
        xdp_hold=KernelXdpHold(Shelf.inherited(os.environ)),
        accounting=KernelAccounting(TABLE, device_chains.accepted),
        evidence=evidence,
        prober=SocketProber(),
        resolver=ResolvConf(),
        state_store=JsonStateStore(beside=paths.directory),
        workloads=DockerWorkloads(process.docker_socket),
        events=LoggedEvents(EventFile(paths.events)),
    )


def _tunnel(implementation: Implementation) -> Tunnel:
    wants_kernel = implementation is Implementation.KERNEL
    if wants_kernel or (implementation is Implementation.AUTO and kernel_has_wireguard()):
        return KernelTunnel()
    return UserspaceTunnel(S6Supervisor(WIREGUARD_SERVICE))


def _sealed_plan(pins: Pins, fault: str) -> Plan:
    return Plan(endpoints=(), addresses=(), probe_targets=(), pins=pins, digest="", fault=fault)


def _respond(inbox: Inbox, request: Request) -> Response:
    answer = inbox.ask(request.command.value, request.name)
    return Response(answer.accepted, answer.text, answer.exit_code, answer.data)


def _clock() -> float:
    """Seconds since boot, suspends included; nobody sets it. Source: clock_gettime(2), CLOCK_BOOTTIME."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
