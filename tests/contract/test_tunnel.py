"""The port `Tunnel`: on the fake, on wireguard-go, and on the kernel's WireGuard where there is one."""

from __future__ import annotations

import re
import socket
import traceback
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Protocol

import pytest

from sidecar.core.model import Endpoint, PublicKey, Secret
from sidecar.drivers.wireguard_kernel import KernelTunnel, kernel_has_wireguard
from sidecar.drivers.wireguard_userspace import UserspaceTunnel
from sidecar.errors import TunnelError
from tests.fakes.tunnel import FakeServer, FakeTunnel
from tests.netns.peers import FAR_ADDRESS, Keys, MockPeer, ask, generate_preshared_key
from tests.netns.stage import Stage as Scene
from tests.netns.supervisor import PopenSupervisor
from tests.netns.world import World, missing
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.core.sights import PeerSight, WireGuardSight
    from sidecar.ports import Tunnel

PORT, OTHER_PORT, TAKEN_PORT, FWMARK = 40001, 40002, 40003, 0xC0FFEE01
ALLOWED_IPS = (ip_network("0.0.0.0/0"), ip_network("::/0"))


class Stage(Protocol):
    tunnel: Tunnel
    device: str
    primary: Endpoint
    backup: Endpoint

    def bring_up(self) -> None:
        """Give the device its address and route, and set it up, as `Links` does after `create`."""

    def ask(self) -> bool:
        """Ask the far side once, through the tunnel; say whether it answered."""

    def kill(self) -> None: ...
    def take_port(self, port: int) -> None: ...


class FakeStage:
    device = "wg0"

    def __init__(self) -> None:
        self._fake = FakeTunnel()
        self.tunnel: Tunnel = self._fake
        self.primary = an_endpoint("primary", "203.0.113.10", Keys.generate().public)
        self.backup = an_endpoint("backup", "192.0.2.20", Keys.generate().public, generate_preshared_key())
        for endpoint in (self.primary, self.backup):
            server = FakeServer(endpoint.public_key, endpoint.preshared_key)
            self._fake.servers[endpoint.address, endpoint.port] = server

    def bring_up(self) -> None:
        """Nothing to do: a fake device is always up."""

    def ask(self) -> bool:
        return self._fake.send(self.device)

    def kill(self) -> None:
        self._fake.kill(self.device)

    def take_port(self, port: int) -> None:
        self._fake.taken_ports.add(port)


class RealStage:
    """Two mock peers a hop beyond the sidecar; the backup wants a preshared key."""

    def __init__(self, world: World, scene: Scene, kind: str) -> None:
        self.scene = scene
        self.device = world.device_name()
        self.supervisor = PopenSupervisor(scene.sidecar)
        # Not the default patience: a loaded test machine may take its time.
        self.tunnel: Tunnel = KernelTunnel() if kind == "kernel" else UserspaceTunnel(self.supervisor, 15.0)
        self._sockets: list[socket.socket] = []
        self.primary = self._endpoint("primary", scene.primary, "203.0.113.10", None)
        self.backup = self._endpoint("backup", scene.backup, "192.0.2.20", generate_preshared_key())

    def _endpoint(self, name: str, server: MockPeer, address: str, preshared_key: Secret | None) -> Endpoint:
        endpoint = an_endpoint(name, address, server.keys.public, preshared_key)
        server.admit(public_key_of(endpoint.private_key), "10.64.0.2/32", preshared_key=preshared_key)
        return endpoint

    def bring_up(self) -> None:
        self.scene.sidecar.ip("address", "replace", "10.64.0.2/32", "dev", self.device)
        self.scene.sidecar.ip("link", "set", self.device, "up", "mtu", "1420")
        self.scene.sidecar.ip("route", "replace", "198.51.100.0/24", "dev", self.device)

    def ask(self) -> bool:
        return ask(FAR_ADDRESS)

    def kill(self) -> None:
        if self.tunnel.kind == "kernel":
            self.scene.sidecar.ip("link", "delete", self.device)
        else:
            self.supervisor.kill()

    def take_port(self, port: int) -> None:
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        taken.bind(("0.0.0.0", port))  # noqa: S104 - in a namespace of the test's
        self._sockets.append(taken)

    def close(self) -> None:
        for taken in self._sockets:
            taken.close()


def an_endpoint(name: str, address: str, public_key: PublicKey, preshared_key: Secret | None = None) -> Endpoint:
    private_key = Keys.generate().private
    return Endpoint(
        name, ip_address(address), 51820, public_key, private_key, preshared_key, None, ALLOWED_IPS, (), None
    )


def public_key_of(private_key: Secret) -> PublicKey:
    return Keys.of(private_key).public


def has_kernel() -> bool:
    return missing() is None and kernel_has_wireguard()


KINDS = ["fake", pytest.param("userspace", marks=pytest.mark.netns)]
if has_kernel():
    KINDS.append(pytest.param("kernel", marks=pytest.mark.netns))


@pytest.fixture(params=KINDS)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    if request.param == "fake":
        yield FakeStage()
        return
    with World() as world, Scene(world) as scene, scene.sidecar.entered():
        made = RealStage(world, scene, request.param)
        yield made
        made.close()


def sight(stage: Stage) -> WireGuardSight:
    found = stage.tunnel.inspect(stage.device)
    assert found is not None
    return found


def peer(stage: Stage) -> PeerSight:
    found = sight(stage).peer
    assert found is not None
    return found


def start(stage: Stage, endpoint: Endpoint) -> None:
    stage.tunnel.create(stage.device)
    stage.bring_up()
    stage.tunnel.configure(stage.device, endpoint, PORT, FWMARK)


def expect_answer(stage: Stage) -> None:
    wait_until(stage.ask, 20, "an answer through the tunnel")


@pytest.mark.netns
@pytest.mark.skipif(not has_kernel(), reason="this kernel has no WireGuard: the suite ran without KernelTunnel")
def test_the_kernels_wireguard_takes_part_where_there_is_one() -> None:
    assert len(KINDS) == 3


def test_a_device_that_does_not_exist_is_none(stage: Stage) -> None:
    assert stage.tunnel.inspect(stage.device) is None


def test_creating_makes_a_device_without_key_or_peer_and_again_changes_nothing(stage: Stage) -> None:
    stage.tunnel.create(stage.device)
    fresh = sight(stage)
    assert (fresh.private_key, fresh.fwmark, fresh.peer) == (None, 0, None)
    stage.bring_up()
    stage.tunnel.configure(stage.device, stage.primary, PORT, FWMARK)
    before = sight(stage)
    stage.tunnel.create(stage.device)
    assert sight(stage) == before


def test_what_was_configured_is_what_is_seen(stage: Stage) -> None:
    start(stage, stage.primary)
    seen = sight(stage)
    assert (seen.private_key, seen.listen_port, seen.fwmark) == (stage.primary.private_key, PORT, FWMARK)
    assert seen.peer is not None
    assert seen.peer.public_key == stage.primary.public_key
    assert (seen.peer.endpoint_address, seen.peer.endpoint_port) == (stage.primary.address, stage.primary.port)
    assert set(seen.peer.allowed_ips) == set(ALLOWED_IPS)
    assert (seen.peer.rx_bytes, seen.peer.latest_handshake_age_s) == (0, None)


def test_an_ipv6_endpoint_is_seen_as_it_was_configured(stage: Stage) -> None:
    address = ip_address("2001:db8:203::10")
    start(stage, replace(stage.primary, address=address))
    assert (peer(stage).endpoint_address, peer(stage).endpoint_port) == (address, stage.primary.port)


def test_configuring_a_device_that_does_not_exist_is_an_error(stage: Stage) -> None:
    with pytest.raises(TunnelError):
        stage.tunnel.configure(stage.device, stage.primary, PORT, FWMARK)
    with pytest.raises(TunnelError):
        stage.tunnel.rebind(stage.device, PORT)


def test_traffic_shows_as_a_handshake_and_as_bytes_both_ways(stage: Stage) -> None:
    start(stage, stage.primary)
    expect_answer(stage)
    age_s = peer(stage).latest_handshake_age_s
    assert age_s is not None
    assert 0 <= age_s < 60
    assert peer(stage).rx_bytes > 0
    assert peer(stage).tx_bytes > 0


def test_a_server_with_another_key_never_shakes_hands(stage: Stage) -> None:
    start(stage, replace(stage.primary, public_key=Keys.generate().public))
    assert not stage.ask()
    assert (peer(stage).latest_handshake_age_s, peer(stage).rx_bytes) == (None, 0)
    stage.tunnel.configure(stage.device, stage.primary, PORT, FWMARK)
    expect_answer(stage)


def test_a_wrong_preshared_key_never_shakes_hands(stage: Stage) -> None:
    start(stage, replace(stage.backup, preshared_key=generate_preshared_key()))
    assert not stage.ask()
    assert peer(stage).latest_handshake_age_s is None
    stage.tunnel.configure(stage.device, stage.backup, PORT, FWMARK)
    expect_answer(stage)


def test_a_switch_replaces_the_peer_and_its_counters(stage: Stage) -> None:
    start(stage, stage.primary)
    expect_answer(stage)
    stage.tunnel.configure(stage.device, stage.backup, OTHER_PORT, FWMARK)
    seen = sight(stage)
    assert (seen.private_key, seen.listen_port, seen.fwmark) == (stage.backup.private_key, OTHER_PORT, FWMARK)
    assert peer(stage).public_key == stage.backup.public_key
    assert peer(stage).rx_bytes == 0
    expect_answer(stage)


def test_a_switch_forgets_the_preshared_key_of_before(stage: Stage) -> None:
    start(stage, stage.backup)
    expect_answer(stage)
    stage.tunnel.configure(stage.device, stage.primary, PORT, FWMARK)
    expect_answer(stage)


def test_a_rebind_keeps_key_peer_and_session(stage: Stage) -> None:
    start(stage, stage.primary)
    expect_answer(stage)
    before = peer(stage)
    stage.tunnel.rebind(stage.device, OTHER_PORT)
    seen = sight(stage)
    assert (seen.private_key, seen.listen_port, seen.fwmark) == (stage.primary.private_key, OTHER_PORT, FWMARK)
    assert peer(stage).public_key == before.public_key
    assert peer(stage).rx_bytes >= before.rx_bytes > 0
    assert peer(stage).latest_handshake_age_s is not None
    assert stage.ask()


def test_a_taken_port_is_an_error_and_changes_nothing(stage: Stage) -> None:
    start(stage, stage.primary)
    expect_answer(stage)
    stage.take_port(TAKEN_PORT)
    with pytest.raises(TunnelError, match="in use"):
        stage.tunnel.configure(stage.device, stage.backup, TAKEN_PORT, FWMARK)
    with pytest.raises(TunnelError, match="in use"):
        stage.tunnel.rebind(stage.device, TAKEN_PORT)
    seen = sight(stage)
    assert (seen.private_key, seen.listen_port, peer(stage).public_key) == (
        stage.primary.private_key,
        PORT,
        stage.primary.public_key,
    )
    expect_answer(stage)


def test_a_killed_device_is_none_and_can_be_made_again(stage: Stage) -> None:
    start(stage, stage.primary)
    expect_answer(stage)
    stage.kill()
    assert wait_until(lambda: stage.tunnel.inspect(stage.device) is None, 10, "the device to be gone")
    start(stage, stage.backup)
    expect_answer(stage)


def test_no_error_shows_a_key(stage: Stage) -> None:
    with pytest.raises(TunnelError) as caught:
        stage.tunnel.configure(stage.device, stage.backup, PORT, FWMARK)
    start(stage, stage.primary)
    stage.take_port(TAKEN_PORT)
    with pytest.raises(TunnelError) as also_caught:
        stage.tunnel.configure(stage.device, stage.backup, TAKEN_PORT, FWMARK)
    shown = "".join(text for error in (caught, also_caught) for text in traceback.format_exception(error.value))
    shown += repr(sight(stage))
    assert stage.backup.preshared_key is not None
    for secret in (stage.backup.private_key, stage.backup.preshared_key, stage.primary.private_key):
        assert secret.reveal() not in shown
    # Neither do the fake's or WireGuard's own words hold 32 bytes in hexadecimal.
    assert not re.search(r"[0-9a-f]{64}", shown)
