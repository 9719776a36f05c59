"""A real WireGuard tunnel under the lock, from the sealed start on, with every driver that it takes."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

import pytest

from sidecar.core.killswitch import paths, permit_tunnel, sealed
from sidecar.core.model import Endpoint, Pins, Plan
from sidecar.core.sights import LockStatus
from sidecar.drivers.netns import KernelLinks
from sidecar.drivers.nftables import NftablesLock
from sidecar.drivers.wireguard_userspace import UserspaceTunnel
from tests.netns.attacks.scene import Watch
from tests.netns.peers import ECHO_PORT, FAR_ADDRESS, MockPeer, ask
from tests.netns.supervisor import PopenSupervisor
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.core.killswitch import Policy, Uplink
    from tests.netns.stage import Stage

OWN = "10.64.0.2"
FWMARK, PORTS = 0x5EC2E7AA, (40001, 40002)
DEADLINE_S = 20.0
BULK = 2000
FULL_SIZE = b"\xa5" * 1300


class Client:
    """A sidecar put together from its drivers, as the watchdog does it."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.lock, self.links = stage, NftablesLock(), KernelLinks()
        self.device = stage.world.device_name()
        self.tunnel = UserspaceTunnel(PopenSupervisor(stage.sidecar), DEADLINE_S)
        self.primary = self._endpoint("primary", stage.primary, "203.0.113.10")
        self.backup = self._endpoint("backup", stage.backup, "192.0.2.20")
        endpoints, pins = (self.primary, self.backup), Pins(FWMARK, PORTS)
        self.plan = Plan(endpoints, (ip_interface(f"{OWN}/32"),), (), pins, "", device=self.device)

    def _endpoint(self, name: str, server: MockPeer, address: str) -> Endpoint:
        server.admit(self.stage.keys.public, f"{OWN}/32")
        keys = (server.keys.public, self.stage.keys.private, None)
        return Endpoint(name, ip_address(address), 51820, *keys, None, (ip_network("0.0.0.0/0"),), (), None)

    def uplinks(self) -> tuple[Uplink, ...]:
        return self.links.uplinks(self.device, [ip_address("10.77.0.1")])

    def start(self) -> Policy:
        """Go from sealed to permitted: nothing but the questions for the gateway may leave in between."""
        self.stage.sidecar.ip("neighbour", "flush", "all")
        self.lock.apply(sealed(["eth0"]))
        unresolved = permit_tunnel(self.plan, self.uplinks())
        assert unresolved.flows == ()
        self.lock.apply(unresolved)
        self.links.resolve(paths(self.plan.endpoints, self.uplinks()))
        wait_until(lambda: permit_tunnel(self.plan, self.uplinks()).flows, DEADLINE_S, "the gateway's MAC")
        policy = permit_tunnel(self.plan, self.uplinks())
        self.lock.apply(policy)
        self.tunnel.create(self.device)
        self.tunnel.configure(self.device, self.primary, PORTS[0], FWMARK)
        self.links.configure_device(self.device, self.plan.addresses, 1420)
        self.stage.sidecar.ip("route", "replace", "198.51.100.0/24", "dev", self.device)
        wait_until(lambda: ask(FAR_ADDRESS), DEADLINE_S, "an answer through the tunnel")
        return policy


@pytest.fixture
def client(stage: Stage) -> Iterator[Client]:
    with stage.sidecar.entered():
        yield Client(stage)


def test_a_tunnel_comes_up_from_the_seal_and_the_ruleset_stays_as_it_is(client: Client) -> None:
    policy = client.start()
    assert client.lock.inspect(policy).status is LockStatus.INTACT
    assert {address for address, _ in client.stage.primary.heard()} == {OWN}


def test_a_switch_and_a_rebind_need_no_change_of_the_rules(client: Client) -> None:
    policy = client.start()
    client.tunnel.configure(client.device, client.backup, PORTS[0], FWMARK)
    wait_until(lambda: ask(FAR_ADDRESS), DEADLINE_S, "an answer through the backup")
    assert client.stage.backup.heard()
    client.tunnel.rebind(client.device, PORTS[1])
    wait_until(lambda: ask(FAR_ADDRESS), DEADLINE_S, "an answer from the new source port")
    assert client.lock.inspect(policy).status is LockStatus.INTACT


def test_a_tunnel_with_another_mark_or_port_gets_nowhere(client: Client) -> None:
    client.start()
    client.tunnel.configure(client.device, client.primary, PORTS[0], FWMARK ^ 1)
    assert not ask(FAR_ADDRESS)
    client.tunnel.configure(client.device, client.primary, PORTS[1] + 1, FWMARK)
    assert not ask(FAR_ADDRESS)
    client.tunnel.configure(client.device, client.primary, PORTS[1], FWMARK)
    wait_until(lambda: ask(FAR_ADDRESS), DEADLINE_S, "the control: an answer with mark and port as permitted")


def test_nothing_but_the_outer_flow_and_arp_is_seen_one_hop_away_under_load(client: Client) -> None:
    client.start()
    watch = Watch(client.stage.router, "down0")
    token = os.urandom(8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as workload:
        for _ in range(BULK):
            workload.sendto(token + FULL_SIZE, (FAR_ADDRESS, ECHO_PORT))
    wait_until(lambda: ask(FAR_ADDRESS), DEADLINE_S, "an answer after the load")
    frames = watch.arrived()
    watch.close()
    outer = [frame for frame in frames if frame[12:14] == b"\x08\x00"]
    assert len(outer) > 1
    for frame in outer:
        assert (frame[23], frame[30:34], frame[34:36]) == (
            17,
            client.primary.address.packed,
            PORTS[0].to_bytes(2, "big"),
        )
    assert {frame[12:14].hex() for frame in frames} <= {"0800", "0806"}
    assert not any(token in frame for frame in frames)
