"""From bytes to a `Frame`, for every string of bytes there is.

Not by scapy's dissectors: they give a field that is missing from a truncated frame a default, and their defaults for
the sender of an ARP frame are this machine's own addresses, which is what a permitted ARP frame has.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from sidecar.core.frames import (
    ETHER_TYPE_ARP,
    ETHER_TYPE_IPV4,
    ETHER_TYPE_IPV6,
    ETHERNET_HEADER_BYTES,
    PROTOCOL_ICMPV6,
    PROTOCOL_UDP,
)
from sidecar.core.model import MacAddress
from sidecar.core.sights import FRAME_DATA_BYTES, Frame

if TYPE_CHECKING:
    from sidecar.core.model import Address

SNAPSHOT_BYTES = 2048
"""What is kept of a frame: every header, and a whole frame of the usual MTU."""
SMALLEST_ETHERTYPE = 0x0600
"""Source: IEEE 802.3 section 3.2.6: below it stands a length."""
_IPV4_HEADER_BYTES, _IPV6_HEADER_BYTES, _ARP_BYTES = 20, 40, 28
_ARP_OF_IPV4_OVER_ETHERNET = (1, ETHER_TYPE_IPV4, 6, 4)
_WITH_PORTS = {6: "TCP", PROTOCOL_UDP: "UDP", 33: "DCCP", 132: "SCTP", 136: "UDP-Lite"}
_PROTOCOLS = {1: "ICMP", 2: "IGMP", 44: "fragment", 47: "GRE", 50: "ESP", PROTOCOL_ICMPV6: "ICMPv6", **_WITH_PORTS}
_TAGS = {0x8100: "802.1Q", 0x88A8: "802.1ad"}
_ARP_OPERATIONS = {1: "ARP request", 2: "ARP reply"}
_MALFORMED = {
    ETHER_TYPE_IPV4: "malformed IPv4",
    ETHER_TYPE_IPV6: "malformed IPv6",
    ETHER_TYPE_ARP: "malformed ARP",
}


def parse(device: str, data: bytes, length_bytes: int) -> Frame:
    """Return what can be told of a frame that starts with `data` and was `length_bytes` long. Never raises.

    A header that is cut short, or whose version is not what its EtherType says, yields None for its fields.
    """
    header = data[:ETHERNET_HEADER_BYTES].ljust(ETHERNET_HEADER_BYTES, b"\0")
    (ether_type,) = struct.unpack_from("!H", header, 12)
    frame = Frame(
        device=device,
        source_mac=_mac(header[6:12]),
        destination_mac=_mac(header[:6]),
        ether_type=ether_type if ether_type >= SMALLEST_ETHERTYPE else None,
        source_address=None,
        destination_address=None,
        protocol=None,
        source_port=None,
        destination_port=None,
        length_bytes=length_bytes,
        summary="",
        data=data[:FRAME_DATA_BYTES],
    )
    payload = data[ETHERNET_HEADER_BYTES:]
    if ether_type == ETHER_TYPE_IPV4:
        frame = _with_ipv4(frame, payload)
    elif ether_type == ETHER_TYPE_IPV6:
        frame = _with_ipv6(frame, payload)
    elif ether_type == ETHER_TYPE_ARP:
        frame = _with_arp(frame, payload)
    return replace(frame, summary=f"{_describe(frame, payload)}, {length_bytes} bytes")


def _with_ipv4(frame: Frame, packet: bytes) -> Frame:
    if len(packet) < _IPV4_HEADER_BYTES:
        return frame
    version, header_bytes = packet[0] >> 4, (packet[0] & 0x0F) * 4
    if version != 4 or header_bytes < _IPV4_HEADER_BYTES:  # noqa: PLR2004 - IP's own
        return frame
    (fragment,) = struct.unpack_from("!H", packet, 6)
    transport = packet[header_bytes:] if fragment & 0x1FFF == 0 else b""
    frame = replace(
        frame,
        source_address=IPv4Address(packet[12:16]),
        destination_address=IPv4Address(packet[16:20]),
        protocol=packet[9],
    )
    return _with_ports(frame, transport)


def _with_ipv6(frame: Frame, packet: bytes) -> Frame:
    """Read the fixed header only: before an extension header, `protocol` is that header's number, and no ports are."""
    if len(packet) < _IPV6_HEADER_BYTES or packet[0] >> 4 != 6:  # noqa: PLR2004 - IP's own
        return frame
    frame = replace(
        frame,
        source_address=IPv6Address(packet[8:24]),
        destination_address=IPv6Address(packet[24:40]),
        protocol=packet[6],
    )
    return _with_ports(frame, packet[_IPV6_HEADER_BYTES:])


def _with_ports(frame: Frame, transport: bytes) -> Frame:
    if frame.protocol not in _WITH_PORTS or len(transport) < 4:  # noqa: PLR2004 - two ports of two bytes
        return frame
    source, destination = struct.unpack_from("!HH", transport)
    return replace(frame, source_port=source, destination_port=destination)


def _with_arp(frame: Frame, packet: bytes) -> Frame:
    if len(packet) < _ARP_BYTES or struct.unpack_from("!HHBB", packet) != _ARP_OF_IPV4_OVER_ETHERNET:
        return frame
    return replace(frame, source_address=IPv4Address(packet[14:18]), destination_address=IPv4Address(packet[24:28]))


def _describe(frame: Frame, payload: bytes) -> str:
    between = f"{frame.source_mac} > {frame.destination_mac}"
    if frame.source_address is not None and frame.destination_address is not None:
        if frame.protocol is not None:
            return _describe_ip(frame, frame.source_address, frame.destination_address, frame.protocol, payload)
        (operation,) = struct.unpack_from("!H", payload, 6)
        word = _ARP_OPERATIONS.get(operation, f"ARP operation {operation}")
        return f"{word} from {frame.source_address} about {frame.destination_address}, {between}"
    if frame.ether_type is None:
        return f"802.3 {between}"
    if frame.ether_type in _TAGS and len(payload) >= 2:  # noqa: PLR2004 - the tag's control word
        (tag,) = struct.unpack_from("!H", payload)
        return f"{_TAGS[frame.ether_type]} VLAN {tag & 0x0FFF} {between}"
    return f"{_MALFORMED.get(frame.ether_type, f'EtherType 0x{frame.ether_type:04x}')} {between}"


def _describe_ip(frame: Frame, source: Address, destination: Address, protocol: int, packet: bytes) -> str:
    name = _PROTOCOLS.get(protocol, f"protocol {protocol}")
    has_type = frame.ether_type == ETHER_TYPE_IPV6 and protocol == PROTOCOL_ICMPV6 and len(packet) > _IPV6_HEADER_BYTES
    kind = f" type {packet[_IPV6_HEADER_BYTES]}" if has_type else ""
    one, other = _socket_name(source, frame.source_port), _socket_name(destination, frame.destination_port)
    return f"IPv{source.version} {one} > {other} {name}{kind}"


def _socket_name(address: Address, port: int | None) -> str:
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"  # noqa: PLR2004 - IP's own


def _mac(octets: bytes) -> MacAddress:
    return MacAddress(octets.hex(":"))
