"""Protocols beside UDP and TCP, by sockets of their own and by hand."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from sidecar.prove import wire
from sidecar.prove.attacks.sockets import DISCARD, bind_to, send
from sidecar.prove.catalogue import NET_RAW, attack, note

if TYPE_CHECKING:
    from sidecar.prove.scene import Scene

# Source: <linux/in.h>, <linux/socket.h>; Python does not name these on every version.
IPPROTO_DCCP, IPPROTO_UDPLITE, SOCK_DCCP = 33, 136, 6
SOL_DCCP, DCCP_SOCKOPT_SERVICE = 269, 2


@attack()
def udp_lite(scene: Scene) -> None:
    """UDP-Lite bound to the uplink."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, IPPROTO_UDPLITE) as opened:
        bind_to(opened, scene.device)
        send(opened, scene.token, scene.far4)


@attack()
def a_ping_socket(scene: Scene) -> None:
    """Echo request by a ping socket, which needs no capability."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as opened:
        bind_to(opened, scene.device)
        send(opened, b"\x08\x00\0\0\0\0\0\1" + scene.token, scene.far4, 0)


@attack()
def a_ping_socket_of_ipv6(scene: Scene) -> None:
    """Echo request of IPv6 by a ping socket."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6) as opened:
        bind_to(opened, scene.device)
        send(opened, b"\x80\x00\0\0\0\0\0\1" + scene.token, scene.far6, 0)


@attack()
def sctp(scene: Scene) -> None:
    """SCTP by its own socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_SCTP) as opened:
        bind_to(opened, scene.device)
        note(opened.connect_ex((str(scene.far4), DISCARD)))


@attack()
def dccp(scene: Scene) -> None:
    """DCCP by its own socket."""
    with socket.socket(socket.AF_INET, SOCK_DCCP | socket.SOCK_NONBLOCK, IPPROTO_DCCP) as opened:
        opened.setsockopt(SOL_DCCP, DCCP_SOCKOPT_SERVICE, struct.pack(">I", 1))
        bind_to(opened, scene.device)
        note(opened.connect_ex((str(scene.far4), DISCARD)))


def _protocol(scene: Scene, number: int, payload: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, number) as opened:
        bind_to(opened, scene.device)
        send(opened, payload, scene.far4, 0)


@attack(needs=NET_RAW)
def sctp_by_hand(scene: Scene) -> None:
    """An SCTP packet by a raw socket."""
    _protocol(scene, socket.IPPROTO_SCTP, struct.pack(">HHII", DISCARD, DISCARD, 0, 0) + scene.token)


@attack(needs=NET_RAW)
def dccp_by_hand(scene: Scene) -> None:
    """A DCCP packet by a raw socket."""
    _protocol(scene, IPPROTO_DCCP, struct.pack(">HHBBH", DISCARD, DISCARD, 4, 0, 0) + bytes(8) + scene.token)


@attack(needs=NET_RAW)
def ip_in_ip(scene: Scene) -> None:
    """A packet within an IPIP tunnel."""
    _protocol(scene, socket.IPPROTO_IPIP, wire.packet(scene))


@attack(needs=NET_RAW)
def gre(scene: Scene) -> None:
    """A packet within a GRE tunnel."""
    _protocol(scene, socket.IPPROTO_GRE, b"\0\0" + wire.ether(wire.IPV4) + wire.packet(scene))


@attack(needs=NET_RAW)
def esp(scene: Scene) -> None:
    """A packet that looks like IPsec."""
    _protocol(scene, socket.IPPROTO_ESP, struct.pack(">II", 0x1000, 1) + scene.token * 4)


@attack(needs=NET_RAW)
def an_unknown_ip_protocol(scene: Scene) -> None:
    """An IP protocol for experiments (253)."""
    _protocol(scene, 253, scene.token)  # RFC 3692
