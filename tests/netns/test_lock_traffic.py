"""What must still work under the lock, and what must stop that has been working before it."""

from __future__ import annotations

import select
import socket
import struct
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from sidecar.core.sights import LockStatus
from sidecar.prove.attacks.packets import packet_socket
from tests import policies
from tests.netns.attacks import scene as at
from tests.netns.attacks.scene import POLICY, SO_MARK, Scene, datagram, ipv4, may_be_refused, udp
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.world import Namespace, World

DEADLINE_S = 10.0
ANSWER_S = 0.3
RESOLVER = ("127.0.0.11", 40053)


@pytest.fixture
def scene(world: World) -> Iterator[Scene]:
    made = Scene(world)
    yield made
    made.close()


def outer_socket(scene: Scene, family: int = socket.AF_INET) -> socket.socket:
    """Open a socket such as WireGuard's own: a permitted source port, and the mark."""
    with scene.sidecar.entered():
        opened = socket.socket(family, socket.SOCK_DGRAM)
        opened.bind(("", at.SENTINEL_PORT))
        opened.setsockopt(socket.SOL_SOCKET, SO_MARK, POLICY.fwmark)
    return opened


def listener(namespace: Namespace, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespace.entered():
        opened = socket.socket(family, socket.SOCK_DGRAM)
        opened.bind((address, port))
    return opened


def heard(opened: socket.socket, within_s: float = ANSWER_S) -> bytes | None:
    """Return what arrives in time; None where nothing does."""
    readable, _, _ = select.select([opened], [], [], within_s)
    return opened.recv(2048) if readable else None


@pytest.mark.parametrize(("address", "own"), [(at.ENDPOINT4, at.OWN4), (at.ENDPOINT6, at.OWN6)])
def test_the_outer_flow_passes_both_ways_and_its_neighbours_are_found_under_the_lock(
    scene: Scene, address: str, own: str
) -> None:
    plain = ["nodad"] if ":" in address else []
    scene.router.ip("address", "add", address, "dev", "down0", *plain)
    scene.seal_off()
    # Nothing is known any more, on either side: ARP and neighbour discovery have to pass the lock themselves.
    scene.sidecar.ip("neighbour", "flush", "all", "nud", "all")
    scene.router.ip("neighbour", "flush", "all", "nud", "all")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with listener(scene.router, address, at.ENDPOINT_PORT) as endpoint, outer_socket(scene, family) as tunnel:
        tunnel.sendto(b"question", (address, at.ENDPOINT_PORT))
        assert heard(endpoint, DEADLINE_S) == b"question"
        scene.router.ip("neighbour", "flush", "all", "nud", "all")
        endpoint.sendto(b"answer", (own, at.SENTINEL_PORT))
        assert heard(tunnel, DEADLINE_S) == b"answer"


def test_known_neighbours_are_probed_and_answered_under_the_lock(scene: Scene) -> None:
    scene.seal_off()
    for namespace, device, routers in (
        (scene.sidecar, "eth0", (at.ROUTER4, at.ROUTER6)),
        (scene.router, "down0", (at.OWN4, at.OWN6)),
    ):
        for address in routers:
            lladdr = at.ROUTER_MAC if namespace is scene.sidecar else at.OWN_MAC
            # A probe asks the known address by unicast; only an answer makes the entry reachable.
            namespace.ip("neighbour", "replace", address, "lladdr", lladdr, "dev", device, "nud", "probe")

            def is_reachable(namespace: Namespace = namespace, address: str = address) -> bool:
                return "REACHABLE" in namespace.ip("neighbour", "show", "to", address)

            wait_until(is_reachable, DEADLINE_S, f"{address} to answer")


def test_an_unresolved_next_hop_can_be_resolved_and_nothing_else_leaves(scene: Scene) -> None:
    unresolved = replace(
        POLICY, flows=(), resolutions=tuple(replace(asked, next_hop_mac=None) for asked in POLICY.resolutions)
    )
    with scene.sidecar.entered():
        scene.lock.apply(unresolved)
    scene.sidecar.ip("neighbour", "flush", "all", "nud", "all")
    watch = scene.watches["uplink"]
    for router in (at.ROUTER4, at.ROUTER6):
        scene.sidecar.ip("neighbour", "replace", router, "dev", "eth0", "nud", "none", "use")

        def is_known(router: str = router) -> bool:
            return at.ROUTER_MAC in scene.sidecar.ip("neighbour", "show", "to", router)

        wait_until(is_known, DEADLINE_S, f"the hardware address of {router}")
    assert {frame[12:14].hex() for frame in watch.arrived()} <= {"0806", "86dd"}


def test_an_outer_packet_that_has_lost_its_route_does_not_go_into_the_tunnel_itself(scene: Scene) -> None:
    scene.seal_off()
    with listener(scene.beyond, "10.9.0.1", 7777) as server, outer_socket(scene) as outer:
        with pytest.raises(PermissionError):
            outer.sendto(b"round and round", ("10.9.0.1", 7777))
        outer.setsockopt(socket.SOL_SOCKET, SO_MARK, 0)
        outer.sendto(b"the control", ("10.9.0.1", 7777))
        assert heard(server, DEADLINE_S) == b"the control"


def test_answers_come_back_by_the_tunnel_and_uninvited_packets_do_not(scene: Scene) -> None:
    scene.seal_off()
    with listener(scene.beyond, "10.9.0.1", 7777) as server, listener(scene.sidecar, at.TUNNEL4, 8888) as workload:
        server.sendto(b"uninvited", (at.TUNNEL4, 8888))
        assert heard(workload) is None
        workload.sendto(b"question", ("10.9.0.1", 7777))
        assert heard(server, DEADLINE_S) == b"question"
        server.sendto(b"answer", (at.TUNNEL4, 8888))
        assert heard(workload, DEADLINE_S) == b"answer"
        # The answer that was invited by the tunnel is not one by the uplink: the same packet from there is dropped.
        forged = ipv4(ip_address(at.TUNNEL4), datagram(b"forged", source_port=7777, port=8888), source="10.9.0.1")
        with scene.router.entered(), packet_socket() as raw:
            raw.sendto(at.mac(at.OWN_MAC) + at.mac(at.ROUTER_MAC) + b"\x08\x00" + forged, ("down0", 0x0800))
        assert heard(workload) is None
        scene.open_up()
        scene.sidecar.sysctl("net/ipv4/conf/eth0/accept_local", "1")
        with scene.router.entered(), packet_socket() as raw:
            raw.sendto(at.mac(at.OWN_MAC) + at.mac(at.ROUTER_MAC) + b"\x08\x00" + forged, ("down0", 0x0800))
        assert heard(workload, DEADLINE_S) == b"forged", "the control"


def test_loopback_works_under_the_lock(scene: Scene) -> None:
    scene.seal_off()
    for address in ("127.0.0.1", at.OWN4, "::1"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with listener(scene.sidecar, address, 5555) as server, scene.sidecar.entered(), udp(0, family) as client:
            client.sendto(b"hello", (address, 5555))
            assert heard(server, DEADLINE_S) == b"hello"


@pytest.mark.parametrize("protocol", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_docker_s_resolver_hears_nothing_under_the_lock(scene: Scene, protocol: int) -> None:
    with scene.sidecar.entered(), socket.socket(socket.AF_INET, protocol) as resolver:
        resolver.bind(RESOLVER)
        if protocol == socket.SOCK_STREAM:
            resolver.listen()

        def ask() -> bool:
            with socket.socket(socket.AF_INET, protocol) as client, may_be_refused():
                client.settimeout(ANSWER_S)
                try:
                    client.connect(RESOLVER)
                    client.send(b"where is it?")
                except TimeoutError:
                    return False
            return bool(select.select([resolver], [], [], ANSWER_S)[0])

        assert ask(), "the control"
        if protocol == socket.SOCK_DGRAM:
            resolver.recv(100)
        else:
            resolver.accept()[0].close()
        scene.seal_off()
        assert not ask()


def test_docker_s_resolver_hears_no_frame_that_is_put_on_loopback_either(scene: Scene) -> None:
    question = ipv4(ip_address(RESOLVER[0]), datagram(b"where?", port=RESOLVER[1]), source=str(at.FAR4))
    with scene.sidecar.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        resolver.bind(RESOLVER)

        def put_on_loopback() -> None:
            with packet_socket() as raw:
                raw.sendto(bytes(12) + b"\x08\x00" + question, ("lo", 0x0800))

        scene.sidecar.sysctl("net/ipv4/conf/lo/route_localnet", "1")  # without it the kernel itself drops the frame
        put_on_loopback()
        assert heard(resolver, DEADLINE_S) == b"where?", "the control"
        scene.seal_off()
        put_on_loopback()
        assert heard(resolver) is None


def test_a_connection_from_before_the_lock_does_not_go_on(scene: Scene) -> None:
    """Nor does it where the old connection is in the kernel's table: the uplink asks for no state."""
    scene.sidecar.nft(
        "table inet others { chain c { type filter hook output priority 0; ct state established accept; }; }"
    )
    with listener(scene.router, at.ROUTER4, 6666) as server, scene.sidecar.entered(), udp() as client:
        client.connect((at.ROUTER4, 6666))
        client.send(b"before")
        assert heard(server, DEADLINE_S) == b"before"
        server.sendto(b"answer", client.getsockname())
        assert heard(client, DEADLINE_S) == b"answer"
        own = client.getsockname()
        scene.seal_off()
        with may_be_refused():
            client.send(b"after")
        assert heard(server) is None
        server.sendto(b"late answer", own)
        assert heard(client) is None


def test_a_router_advertisement_makes_no_route(scene: Scene) -> None:
    advertisement = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    packet = struct.pack(">IHBB", 6 << 28, len(advertisement), 58, 255)
    source, everybody = ip_address("fe80::1").packed, ip_address("ff02::1").packed
    total = at.checksum(source + everybody + struct.pack(">II", len(advertisement), 58) + advertisement)
    body = advertisement[:2] + total.to_bytes(2, "big") + advertisement[4:]
    frame = bytes.fromhex("333300000001") + at.mac(at.ROUTER_MAC) + b"\x86\xdd" + packet + source + everybody + body

    def advertise() -> None:
        with scene.router.entered(), packet_socket() as raw:
            raw.sendto(frame, ("down0", 0x86DD))

    def route_is_there() -> bool:
        return "proto ra" in scene.sidecar.ip("-6", "route", "show", "default")

    scene.sidecar.sysctl("net/ipv6/conf/eth0/accept_ra", "2")
    scene.seal_off()
    before = dropped_at_ingress(scene)
    advertise()
    wait_until(lambda: dropped_at_ingress(scene) > before, DEADLINE_S, "the advertisement to be dropped")
    assert not route_is_there()
    scene.open_up()
    advertise()
    wait_until(route_is_there, DEADLINE_S, "the control: a route from the advertisement")


def dropped_at_ingress(scene: Scene) -> int:
    with scene.sidecar.entered():
        return dict(scene.lock.inspect(POLICY).blocked)["ingress eth0"]


def test_the_mark_ends_at_the_egress_hook(scene: Scene) -> None:
    """A tap behind the hook may read a packet's mark (SO_RCVMARK); it must read 0 there."""
    so_rcvmark, mark_at = 75, 36  # Source: <asm-generic/socket.h>; the control message is of type SO_MARK
    scene.seal_off()
    with scene.sidecar.entered(), packet_socket() as tap:
        tap.setsockopt(socket.SOL_SOCKET, so_rcvmark, 1)
        tap.bind(("eth0", at.ETH_P_ALL))

        def mark_seen() -> int:
            with outer_socket(scene) as tunnel:
                tunnel.sendto(b"tapped", (at.ENDPOINT4, at.ENDPOINT_PORT))
            while True:
                assert select.select([tap], [], [], DEADLINE_S)[0]
                frame, control, _, (_, _, direction, *_) = tap.recvmsg(2048, 256)
                if b"tapped" in frame and direction == at.PACKET_OUTGOING:
                    marks = [data for level, kind, data in control if (level, kind) == (socket.SOL_SOCKET, mark_at)]
                    return int(struct.unpack("I", marks[0])[0]) if marks else 0

        assert mark_seen() == 0
        scene.open_up()
        assert mark_seen() == policies.FWMARK, "the control"


def test_the_scene_s_policy_is_in_force_after_all_this(scene: Scene) -> None:
    scene.seal_off()
    with scene.sidecar.entered():
        assert scene.lock.inspect(POLICY).status is LockStatus.INTACT
