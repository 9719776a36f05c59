"""wireguard-go: what the contract cannot show on a fake."""

from __future__ import annotations

import os
import signal
import socket
import threading
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.core.model import Endpoint
from sidecar.drivers.netns import KernelLinks
from sidecar.drivers.wireguard_userspace import UserspaceTunnel
from sidecar.errors import TunnelError
from tests.netns.peers import ECHO_PORT, FAR_ADDRESS, MockPeer, ask
from tests.netns.supervisor import PopenSupervisor
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.stage import Stage

PORT, OTHER_PORT, FWMARK = 40001, 40002, 0xC0FFEE01
QUEUED = 50
"""Fewer than wireguard-go keeps for a peer it has no session with. Source: device/queueconstants_default.go: 128."""


class Client:
    """The tunnel under test on the stage, with both servers ready for it. `with` is one's own thread inside."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.device = stage.world.device_name()
        self.supervisor = PopenSupervisor(stage.sidecar)
        self.tunnel = UserspaceTunnel(self.supervisor, 15.0)
        self.primary = self._endpoint("primary", stage.primary, "203.0.113.10")
        self.backup = self._endpoint("backup", stage.backup, "192.0.2.20")

    def _endpoint(self, name: str, server: MockPeer, address: str) -> Endpoint:
        server.admit(self.stage.keys.public, "10.64.0.2/32")
        everything = (ip_network("0.0.0.0/0"),)
        keys = (server.keys.public, self.stage.keys.private, None)
        return Endpoint(name, ip_address(address), 51820, *keys, None, everything, (), None)

    def start(self) -> None:
        self.tunnel.create(self.device)
        self.tunnel.configure(self.device, self.primary, PORT, FWMARK)
        self.stage.sidecar.ip("address", "replace", "10.64.0.2/32", "dev", self.device)
        self.stage.sidecar.ip("link", "set", self.device, "up", "mtu", "1420")
        self.stage.sidecar.ip("route", "replace", "198.51.100.0/24", "dev", self.device)
        wait_until(lambda: ask(FAR_ADDRESS), 20, "an answer through the tunnel")


@pytest.fixture
def client(stage: Stage) -> Iterator[Client]:
    with stage.sidecar.entered():
        yield Client(stage)


def heard(server: MockPeer) -> set[bytes]:
    return {datagram for _, datagram in server.heard()}


def test_a_datagram_sent_after_the_switch_waits_for_the_handshake_and_arrives(client: Client) -> None:
    client.start()
    client.tunnel.configure(client.device, client.backup, PORT, FWMARK)
    sent = {f"after {number}".encode() for number in range(QUEUED)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for datagram in sent:
            sock.sendto(datagram, (FAR_ADDRESS, ECHO_PORT))
    wait_until(lambda: sent <= heard(client.stage.backup), 20, "every datagram at the backup")
    assert not sent & heard(client.stage.primary)


def test_switching_to_and_fro_under_traffic_never_leaves_two_peers_or_none(client: Client) -> None:
    client.start()
    stop = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            while not stop.wait(0.001):
                sock.sendto(b"traffic", (FAR_ADDRESS, ECHO_PORT))

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    try:
        for endpoint in [client.backup, client.primary] * 10:
            client.tunnel.configure(client.device, endpoint, PORT, FWMARK)
            seen = client.tunnel.inspect(client.device)
            assert seen is not None
            assert seen.peer is not None
            assert (seen.peer.public_key, seen.peer.endpoint_address) == (endpoint.public_key, endpoint.address)
    finally:
        stop.set()
        sender.join(10)
    wait_until(lambda: ask(FAR_ADDRESS), 20, "an answer through the tunnel")


def test_the_server_follows_a_rebind_without_another_handshake(client: Client) -> None:
    client.start()
    primary = client.stage.primary
    before = primary.show("latest-handshakes")
    assert f"10.77.0.2:{PORT}" in primary.show("endpoints")
    client.tunnel.rebind(client.device, OTHER_PORT)
    wait_until(lambda: ask(FAR_ADDRESS), 20, "an answer through the tunnel")
    assert f"10.77.0.2:{OTHER_PORT}" in primary.show("endpoints")
    assert primary.show("latest-handshakes") == before


def test_the_outer_packets_bear_the_mark(client: Client) -> None:
    client.stage.sidecar.nft(
        "table inet t { counter marked { }; counter unmarked { }; chain c { type filter hook output priority 0;\n"
        f"udp dport 51820 meta mark {FWMARK} counter name marked\n"
        f"udp dport 51820 meta mark != {FWMARK} counter name unmarked\n}}\n}}\n"
    )
    client.start()
    counters = client.stage.sidecar.run(["nft", "list", "counters"]).stdout
    marked, unmarked = (counters.split(f"counter {name}")[1].split()[2] for name in ("marked", "unmarked"))
    assert int(marked) > 0
    assert int(unmarked) == 0


def test_the_device_goes_with_its_killed_process_and_its_stale_socket_is_no_obstacle(client: Client) -> None:
    client.start()
    links = KernelLinks()
    assert links.device(client.device) is not None
    client.supervisor.kill()
    assert wait_until(lambda: links.device(client.device) is None, 10, "the device to vanish")
    assert Path(f"/var/run/wireguard/{client.device}.sock").exists()
    assert client.tunnel.inspect(client.device) is None
    client.start()
    assert client.supervisor.starts == 2


def test_a_deleted_device_takes_its_process_with_it_and_comes_back(client: Client) -> None:
    client.start()
    client.stage.sidecar.ip("link", "delete", client.device)
    assert wait_until(lambda: client.tunnel.inspect(client.device) is None, 10, "the device to be gone")
    wait_until(client.supervisor.has_ended, 10, "wireguard-go to end by itself")
    client.start()


def test_a_process_that_hangs_is_no_device_and_is_replaced(client: Client) -> None:
    client.start()
    assert client.supervisor.process is not None
    client.supervisor.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, client.supervisor.process.pid, os.WSTOPPED | os.WNOWAIT)  # it may run on for a moment
    assert client.tunnel.inspect(client.device) is None
    with pytest.raises(TunnelError, match="no answer"):
        client.tunnel.rebind(client.device, OTHER_PORT)
    client.start()
    assert client.supervisor.starts == 2


def test_a_supervisor_that_starts_nothing_is_an_error_with_a_remedy() -> None:
    class Idle:
        def start(self, device: str) -> None:
            """Do nothing."""

        restart = start

    with pytest.raises(TunnelError, match=r"start wireguard-go for sc0: nobody listens .* /dev/net/tun"):
        UserspaceTunnel(Idle(), 0.1).create("sc0")
