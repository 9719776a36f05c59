"""The few frames of ARP and neighbour discovery that may leave, to the last byte.

A question for a next hop holds nothing that its sender chooses, so each one is a constant; the rule that permits it
compares the whole frame. Whatever an ARP or ND frame could be made to carry elsewhere (spare fields, options,
trailers, a wrong checksum) has no place in it.

The lock, the taps' filters and the judge of what a tap saw all take the frames from here, and so cannot disagree.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.core.killswitch import Flow, Resolution
    from sidecar.core.model import Address, MacAddress

ETHERNET_HEADER_BYTES = 14
ETHER_TYPE_IPV4, ETHER_TYPE_ARP, ETHER_TYPE_IPV6 = 0x0800, 0x0806, 0x86DD
"""Source: IANA, "IEEE 802 Numbers"."""

PROTOCOL_UDP, PROTOCOL_ICMPV6 = 17, 58
"""Source: IANA, "Assigned Internet Protocol Numbers"."""

_MAC_BYTES = 6
_BROADCAST = b"\xff" * _MAC_BYTES
_ARP_ETHERNET_IPV4 = bytes.fromhex("0001 0800 06 04")  # hardware and protocol types, address lengths; RFC 826
_ARP_REQUEST, _ARP_REPLY = b"\x00\x01", b"\x00\x02"
_HOP_LIMIT = 255  # RFC 4861, sections 4.3 and 4.4: anything else has passed a router and is discarded
_SOLICITATION, _ADVERTISEMENT = 135, 136
_OPTION_SOURCE, _OPTION_TARGET = b"\x01\x01", b"\x02\x01"  # link-layer address, one unit of eight bytes
_SOLICITED, _SOLICITED_OVERRIDE = 0x40, 0x60
_LINK_LOCAL = bytes.fromhex("fe80 0000 0000 0000")
_UNIVERSAL_BIT = 0x02


class Exact(NamedTuple):
    """A whole frame, and what it is in words for those who read the ruleset."""

    frame: bytes
    meaning: str


def resolution_frames(resolution: Resolution, flows: Iterable[Flow]) -> tuple[Exact, ...]:
    """Return every frame that `resolution` permits to leave: to all, and to the next hop once its MAC is known.

    None where a hardware address is not an Ethernet one: what such a frame looks like is not known here.

    Args:
        resolution: whose MAC is asked for, and by whom.
        flows: those of the same policy; they say by which other addresses the next hop may ask for us.
    """
    source, next_hop = resolution.source_address, resolution.next_hop
    own = ethernet_octets(resolution.source_mac)
    known = ethernet_octets(resolution.next_hop_mac) if resolution.next_hop_mac is not None else None
    if own is None or (known is None) != (resolution.next_hop_mac is None):
        return ()
    others = askers(resolution, flows)
    if isinstance(source, IPv4Address) and isinstance(next_hop, IPv4Address):
        asking = {next_hop, *(other for other in others if isinstance(other, IPv4Address))}
        return tuple(_arp(own, source, known, next_hop, sorted(asking)))
    if isinstance(source, IPv6Address) and isinstance(next_hop, IPv6Address):
        asking_v6 = {next_hop, *(other for other in others if isinstance(other, IPv6Address))}
        return tuple(_discovery(own, source, known, next_hop, asking_v6))
    return ()


def askers(resolution: Resolution, flows: Iterable[Flow]) -> tuple[Address, ...]:
    """Return the addresses, beside its own, by which the next hop may ask for us: those of endpoints behind it.

    A host asks by the source address of the packet that it wants to send. That matters where an endpoint is the next
    hop's host itself, with an address of another network.
    """
    behind = (
        flow.endpoint_address
        for flow in flows
        if (flow.device, flow.next_hop_mac, flow.source_address)
        == (resolution.device, resolution.next_hop_mac, resolution.source_address)
    )
    return tuple(address for address in dict.fromkeys(behind) if address != resolution.next_hop)


def ethernet_octets(mac: MacAddress) -> bytes | None:
    """Return the six octets of `mac`; None where it is not an Ethernet address."""
    try:
        octets = bytes.fromhex(mac.replace(":", ""))
    except ValueError:
        return None
    return octets if len(octets) == _MAC_BYTES else None


def _arp(
    own: bytes, source: IPv4Address, known: bytes | None, next_hop: IPv4Address, asking: Iterable[IPv4Address]
) -> Iterable[Exact]:
    def frame(to: bytes, operation: bytes, target_mac: bytes, target: IPv4Address) -> bytes:
        body = _ARP_ETHERNET_IPV4 + operation + own + source.packed + target_mac + target.packed
        return to + own + _ether_type(ETHER_TYPE_ARP) + body

    # The kernel leaves the target's hardware address of a request zero, also when it asks a known neighbour.
    # Source: arp_create() in net/ipv4/arp.c.
    yield Exact(frame(_BROADCAST, _ARP_REQUEST, bytes(_MAC_BYTES), next_hop), f"ARP: who has {next_hop}")
    if known is not None:
        yield Exact(frame(known, _ARP_REQUEST, bytes(_MAC_BYTES), next_hop), f"ARP: still there, {next_hop}")
        for asker in asking:
            yield Exact(frame(known, _ARP_REPLY, known, asker), f"ARP: {source} is here, to {asker}")


def _discovery(
    own: bytes, source: IPv6Address, known: bytes | None, next_hop: IPv6Address, asking: Iterable[IPv6Address]
) -> Iterable[Exact]:
    group = _solicited_node(next_hop)
    # Source: RFC 2464, section 7: 33:33 and the last four octets of the group.
    questions = [(b"\x33\x33" + group.packed[-4:], group, f"ND: who has {next_hop}")]
    if known is not None:
        questions.append((known, next_hop, f"ND: still there, {next_hop}"))
    # The kernel asks by the address of the packet that waits, and by its link-local one where none does.
    for asker in sorted({source, _link_local(own)}):
        message = _nd_message(_SOLICITATION, 0, next_hop, _OPTION_SOURCE + own)
        for to, destination, meaning in questions:
            packet = _ipv6_packet(asker, destination, message)
            yield Exact(to + own + _ether_type(ETHER_TYPE_IPV6) + packet, f"{meaning}, by {asker}")
    if known is not None:
        for asker in sorted({*asking, _link_local(known)}):
            yield from _discovery_answers(known, own, source, asker)


def _discovery_answers(known: bytes, own: bytes, source: IPv6Address, asker: IPv6Address) -> Iterable[Exact]:
    # The kernel answers a multicast question with override flag and option, a unicast one with neither.
    # Source: ndisc_recv_ns() in net/ipv6/ndisc.c.
    for flags, option in ((_SOLICITED_OVERRIDE, _OPTION_TARGET + own), (_SOLICITED, b"")):
        packet = _ipv6_packet(source, asker, _nd_message(_ADVERTISEMENT, flags, source, option))
        yield Exact(known + own + _ether_type(ETHER_TYPE_IPV6) + packet, f"ND: {source} is here, to {asker}")


def _ether_type(value: int) -> bytes:
    return value.to_bytes(2, "big")


def _nd_message(kind: int, flags: int, target: IPv6Address, option: bytes) -> bytes:
    return bytes((kind, 0, 0, 0, flags, 0, 0, 0)) + target.packed + option


def _ipv6_packet(source: IPv6Address, destination: IPv6Address, message: bytes) -> bytes:
    length = len(message).to_bytes(2, "big")
    header = b"\x60\0\0\0" + length + bytes((PROTOCOL_ICMPV6, _HOP_LIMIT)) + source.packed + destination.packed
    pseudo = source.packed + destination.packed + len(message).to_bytes(4, "big") + bytes((0, 0, 0, PROTOCOL_ICMPV6))
    return header + message[:2] + _checksum(pseudo + message) + message[4:]


def _checksum(data: bytes) -> bytes:
    """Return the Internet checksum (RFC 1071) of an even number of bytes."""
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total > 0xFFFF:  # noqa: PLR2004 - sixteen bits
        total = (total & 0xFFFF) + (total >> 16)
    return (total ^ 0xFFFF).to_bytes(2, "big")


def _link_local(mac: bytes) -> IPv6Address:
    """Return the address that EUI-64 makes of a MAC (RFC 4291, appendix A); the kernel's choice unless told otherwise.

    Source: addr_gen_mode in the kernel's networking/ip-sysctl.
    """
    return IPv6Address(_LINK_LOCAL + bytes((mac[0] ^ _UNIVERSAL_BIT,)) + mac[1:3] + b"\xff\xfe" + mac[3:])


def _solicited_node(address: IPv6Address) -> IPv6Address:
    """Return the multicast group that a neighbour solicitation for `address` is sent to.

    Source: RFC 4291 section 2.7.1.
    """
    return IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | (int(address) & 0xFFFFFF))
