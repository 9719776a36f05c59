"""What others can try from outside: make the sidecar answer, or carry a packet through."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tests.netns.attacks import scene as at
from tests.netns.attacks.catalogue import attack, attack_on_tunnel
from tests.netns.attacks.scene import FAR4, FAR_PORT, TOKEN, datagram, ipv4, mac, may_be_refused

if TYPE_CHECKING:
    from tests.netns.attacks.scene import Scene

ECHO_REQUEST = b"\x08\x00"


def frame_from_router(scene: Scene, packet: bytes) -> None:
    """Send a packet to the sidecar's uplink, framed by a host on its network."""

    def send() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as opened:
            opened.sendto(mac(at.OWN_MAC) + mac(at.ROUTER_MAC) + b"\x08\x00" + packet, ("down0", 0x0800))

    scene.send_from(scene.router, send)


def echo(destination: str) -> bytes:
    request = ECHO_REQUEST + b"\0\0\0\1\0\1" + TOKEN
    request = request[:2] + at.checksum(request).to_bytes(2, "big") + request[4:]
    return ipv4(at.ip_address(destination), request, source=at.ROUTER4, protocol=socket.IPPROTO_ICMP)


@attack
def a_neighbour_pings_the_uplink_s_address(scene: Scene) -> None:
    frame_from_router(scene, echo(at.OWN4))


@attack
def a_neighbour_pings_the_tunnel_s_address(scene: Scene) -> None:
    frame_from_router(scene, echo(at.TUNNEL4))


@attack
def a_neighbour_asks_for_a_closed_port(scene: Scene) -> None:
    question = datagram(TOKEN, port=FAR_PORT)
    frame_from_router(scene, ipv4(at.ip_address(at.OWN4), question, source=str(FAR4)))


@attack
def a_packet_from_the_tunnel_is_forwarded_to_the_uplink(scene: Scene) -> None:
    def send() -> None:
        with at.udp() as opened:
            opened.sendto(TOKEN, (str(FAR4), FAR_PORT))

    scene.send_from(scene.beyond, send)


@attack_on_tunnel
def a_packet_from_the_uplink_is_forwarded_to_the_tunnel(scene: Scene) -> None:
    frame_from_router(scene, ipv4(at.ip_address("10.9.0.1"), datagram(TOKEN), source=at.ROUTER4))


@attack
def loopback_that_somebody_translates_to_the_far_side(_: Scene) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened, may_be_refused():
        opened.bind((at.OWN4, 0))
        opened.sendto(TOKEN, (at.DNAT_FROM, FAR_PORT))
