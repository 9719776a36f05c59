"""What CAP_NET_RAW adds to sockets: headers of one's own, any source address, and marks."""

from __future__ import annotations

import secrets
import socket
import struct
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from sidecar.prove import wire
from sidecar.prove.attacks.sockets import DISCARD, bind_to, send, udp
from sidecar.prove.catalogue import NET_RAW, attack, may_be_refused

if TYPE_CHECKING:
    from sidecar.prove.scene import Scene

SO_MARK = 36  # Source: <asm-generic/socket.h>; Python names it on no version that we support
IP_TRANSPARENT = 19  # Source: <linux/in.h>
GUESSED_MARKS = (0, 1, 51820, 0xCA6C, *(1 << bit for bit in range(8, 32, 8)))
"""None, one, and what wg-quick and others are known to use."""

RANDOM_GUESSES = 25
FALSE_SOURCE = IPv4Address("192.0.2.99")


def set_mark(opened: socket.socket, mark: int) -> None:
    """Mark what the socket sends. CAP_NET_RAW suffices since Linux 5.17."""
    opened.setsockopt(socket.SOL_SOCKET, SO_MARK, mark - (1 << 32) if mark >> 31 else mark)


@attack(needs=NET_RAW)
def icmp_echo(scene: Scene) -> None:
    """Echo request by a raw socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as opened:
        bind_to(opened, scene.device)
        send(opened, wire.echo_request(scene.token), scene.far4, 0)


@attack(needs=NET_RAW)
def icmp_echo_of_ipv6(scene: Scene) -> None:
    """Echo request of IPv6 by a raw socket."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as opened:
        bind_to(opened, scene.device)
        send(opened, b"\x80\x00\0\0\0\1\0\1" + scene.token, scene.far6, 0)


@attack(needs=NET_RAW)
def a_router_advertisement(scene: Scene) -> None:
    """A router advertisement to every host on the link."""
    advertisement = struct.pack(">BBHBBHII", wire.ROUTER_ADVERTISEMENT, 0, 0, 64, 0, 0, 0, 0)
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as opened:
        bind_to(opened, scene.device)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        send(opened, advertisement + b"\x01\x01" + scene.token, "ff02::1", 0)


@attack(needs=NET_RAW)
def a_whole_packet(scene: Scene) -> None:
    """A whole IP packet of one's own, honest (IP_HDRINCL)."""
    _whole(scene, wire.packet(scene), scene.far4)


@attack(needs=NET_RAW)
def a_whole_packet_from_elsewhere(scene: Scene) -> None:
    """A whole IP packet with a forged source."""
    payload = wire.datagram(scene.token, source_port=DISCARD, port=DISCARD)
    _whole(scene, wire.ipv4(FALSE_SOURCE, scene.far4, payload), scene.far4)


@attack(needs=NET_RAW)
def a_whole_packet_like_the_outer_flow(scene: Scene) -> None:
    """A whole IP packet like the tunnel's own, to the VPN server."""
    _whole(scene, wire.outer_flow(scene), scene.endpoint4)


@attack(needs=NET_RAW)
def a_packet_cut_by_hand(scene: Scene) -> None:
    """A packet to the VPN server, cut by hand into fragments."""
    # Both halves: connection tracking, where there is any, keeps a lone one for itself.
    payload = wire.datagram(scene.token * 4, source_port=scene.source_port, port=scene.endpoint_port)
    for fragment, part in ((wire.MORE_FRAGMENTS, payload[:16]), (16 // 8, payload[16:])):
        _whole(scene, wire.ipv4(scene.own4, scene.endpoint4, part, fragment=fragment), scene.endpoint4)


def _whole(scene: Scene, packet: bytes, to: IPv4Address) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as opened:
        bind_to(opened, scene.device)
        send(opened, packet, to, 0)


@attack(needs=NET_RAW)
def udp_from_an_address_of_somebody_elses(scene: Scene) -> None:
    """UDP from an address that is not ours (IP_TRANSPARENT)."""
    with udp(scene) as opened:
        opened.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
        opened.bind((str(FALSE_SOURCE), 0))
        send(opened, scene.token, scene.far4)


@attack(needs=NET_RAW)
def udp_to_the_endpoint_with_guessed_marks(scene: Scene) -> None:
    """UDP to the VPN server from the tunnel's port, with guessed marks."""
    guesses = {*GUESSED_MARKS, *(secrets.randbits(32) for _ in range(RANDOM_GUESSES))} - {scene.fwmark}
    with udp(scene, source_port=scene.source_port) as opened:
        for guess in sorted(guesses):
            set_mark(opened, guess)
            send(opened, scene.token, scene.endpoint4, scene.endpoint_port)


@attack(needs=NET_RAW)
def the_right_mark_to_another_destination(scene: Scene) -> None:
    """UDP with the tunnel's own mark, had it been betrayed, to elsewhere."""
    _marked(scene, scene.source_port, scene.far4, scene.endpoint_port)


@attack(needs=NET_RAW)
def the_right_mark_to_another_port(scene: Scene) -> None:
    """UDP with the right mark to another port of the VPN server."""
    _marked(scene, scene.source_port, scene.endpoint4, scene.endpoint_port ^ 1)


@attack(needs=NET_RAW)
def the_right_mark_from_another_port(scene: Scene) -> None:
    """UDP with the right mark to the VPN server from a port that is not the tunnel's."""
    _marked(scene, 0, scene.endpoint4, scene.endpoint_port)


def _marked(scene: Scene, source_port: int, to: IPv4Address, port: int) -> None:
    with udp(scene, source_port=source_port) as opened:
        set_mark(opened, scene.fwmark)
        with may_be_refused():
            opened.sendto(scene.token, (str(to), port))
