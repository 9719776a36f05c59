"""Packets and frames, made by hand: nothing here is taken from the lock, so that both cannot be wrong together."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from sidecar.prove.scene import Scene

# Source: <linux/if_ether.h>; 0x88B5 is IEEE 802's local experimental type.
IPV4, ARP, VLAN, IPV6, QINQ, EXPERIMENTAL = 0x0800, 0x0806, 0x8100, 0x86DD, 0x88A8, 0x88B5
UDP, ICMPV6 = 17, 58
BROADCAST = b"\xff" * 6
ARP_REQUEST, ARP_REPLY = 1, 2
SOLICITATION, ADVERTISEMENT, ROUTER_ADVERTISEMENT = 135, 136, 134  # RFC 4861
MORE_FRAGMENTS = 0x2000


def ether(kind: int) -> bytes:
    """Return an ether type, or a length in its place."""
    return struct.pack(">H", kind)


def checksum(data: bytes) -> int:
    """Return the Internet checksum, RFC 1071."""
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def datagram(payload: bytes, *, source_port: int, port: int) -> bytes:
    """Return a UDP datagram without a checksum."""
    return struct.pack(">HHHH", source_port, port, 8 + len(payload), 0) + payload


def ipv4(
    source: IPv4Address, destination: IPv4Address, payload: bytes, *, protocol: int = UDP, fragment: int = 0
) -> bytes:
    """Return an IPv4 packet."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, fragment, 64, protocol, 0)
    head += source.packed + destination.packed
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def echo_request(payload: bytes) -> bytes:
    """Return an ICMP echo request."""
    request = b"\x08\x00\0\0\0\1\0\1" + payload
    return request[:2] + struct.pack(">H", checksum(request)) + request[4:]


def to_router(scene: Scene) -> bytes:
    """Return the hardware addresses of a frame to the next hop."""
    return scene.router_mac + scene.own_mac


def packet(scene: Scene) -> bytes:
    """Return a UDP packet to the far side."""
    return ipv4(scene.own4, scene.far4, datagram(scene.token, source_port=scene.source_port, port=9))


def outer_flow(scene: Scene) -> bytes:
    """Return a packet like the tunnel's own outer ones, with a payload of ours."""
    payload = datagram(scene.token, source_port=scene.source_port, port=scene.endpoint_port)
    return ipv4(scene.own4, scene.endpoint4, payload)


def arp_question(scene: Scene) -> bytes:
    """Return the one question that a sidecar may ask all: who has the next hop's address?"""
    return BROADCAST + scene.own_mac + ether(ARP) + _arp(scene, ARP_REQUEST, bytes(6))


def arp_answer(scene: Scene) -> bytes:
    """Return the answer to a next hop that has asked."""
    return to_router(scene) + ether(ARP) + _arp(scene, ARP_REPLY, scene.router_mac)


def _arp(scene: Scene, operation: int, target_mac: bytes) -> bytes:
    head = struct.pack(">HHBBH", 1, IPV4, 6, 4, operation)
    return head + scene.own_mac + scene.own4.packed + target_mac + scene.router4.packed


def nd_question(scene: Scene) -> bytes:
    """Return the neighbour solicitation for the next hop, as the kernel sends it to all."""
    group = IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + scene.router6.packed[-3:])  # RFC 4291, 2.7.1
    message = _nd(SOLICITATION, 0, scene.router6, b"\x01\x01" + scene.own_mac)
    header = b"\x33\x33" + group.packed[-4:] + scene.own_mac + ether(IPV6)
    return header + _ipv6(scene.own6, group, message)


def nd_answer(scene: Scene) -> bytes:
    """Return the neighbour advertisement to a next hop that has asked."""
    message = _nd(ADVERTISEMENT, 0x60, scene.own6, b"\x02\x01" + scene.own_mac)
    return to_router(scene) + ether(IPV6) + _ipv6(scene.own6, scene.router6, message)


def _nd(kind: int, flags: int, target: IPv6Address, option: bytes) -> bytes:
    return bytes((kind, 0, 0, 0, flags, 0, 0, 0)) + target.packed + option


def _ipv6(source: IPv6Address, destination: IPv6Address, message: bytes) -> bytes:
    length = struct.pack(">H", len(message))
    addresses = source.packed + destination.packed
    pseudo = addresses + struct.pack(">II", len(message), ICMPV6)
    summed = message[:2] + struct.pack(">H", checksum(pseudo + message)) + message[4:]
    return b"\x60\0\0\0" + length + bytes((ICMPV6, 255)) + addresses + summed


def changed(frame: bytes, at_byte: int, value: bytes) -> bytes:
    """Return the frame with one place written over."""
    return frame[:at_byte] + value + frame[at_byte + len(value) :]
