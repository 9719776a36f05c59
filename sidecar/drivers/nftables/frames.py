"""The few frames of ARP and neighbour discovery that may leave, to the last byte.

A question for a next hop holds nothing that its sender chooses, so each one is a constant; the rule that permits it
compares the whole frame. Whatever an ARP or ND frame could be made to carry elsewhere (spare fields, options,
trailers, a wrong checksum) has no place in it.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NamedTuple

from sidecar.core.killswitch import solicited_node
from sidecar.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.core.killswitch import Resolution
    from sidecar.core.model import Address, MacAddress

ETHERNET_HEADER_BYTES = 14
TYPE_ARP = b"\x08\x06"
TYPE_IPV4 = b"\x08\x00"
TYPE_IPV6 = b"\x86\xdd"
_BROADCAST = b"\xff" * 6
_ARP_ETHERNET_IPV4 = bytes.fromhex("0001 0800 06 04")  # hardware and protocol types, address lengths; RFC 826
_ARP_REQUEST, _ARP_REPLY = b"\x00\x01", b"\x00\x02"
_ICMPV6 = 58
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


def resolution_frames(resolution: Resolution, askers: tuple[Address, ...] = ()) -> tuple[Exact, ...]:
    """Return every frame that `resolution` permits to leave: to all, and to the next hop once its MAC is known.

    Args:
        resolution: whose MAC is asked for, and by whom.
        askers: other addresses by which the next hop may ask for us, such as that of an endpoint on the very host
            that is our gateway: a host asks by the source address of the packet that it wants to send.

    Raises:
        LockError: the uplink has no Ethernet address.
    """
    source, next_hop = resolution.source_address, resolution.next_hop
    if isinstance(source, IPv4Address) and isinstance(next_hop, IPv4Address):
        return tuple(_arp(resolution, source, (next_hop, *(a for a in askers if isinstance(a, IPv4Address)))))
    if isinstance(source, IPv6Address) and isinstance(next_hop, IPv6Address):
        return tuple(_discovery(resolution, source, (next_hop, *(a for a in askers if isinstance(a, IPv6Address)))))
    return ()


def mac_bytes(mac: MacAddress, device: str) -> bytes:
    """Return the six octets of `mac`.

    Raises:
        LockError: it is no Ethernet address; outer packets are pinned by theirs, so `device` cannot be an uplink.
    """
    try:
        octets = bytes.fromhex(mac.replace(":", ""))
    except ValueError:
        octets = b""
    if len(octets) != len(_BROADCAST):
        raise LockError(
            attempted=f"pin the outer packets on {device}",
            got=f"{mac!r} is not an Ethernet address",
            remedy="use an Ethernet-like uplink (veth, macvlan, ipvlan, a physical card)",
        )
    return octets


def _arp(resolution: Resolution, source: IPv4Address, askers: tuple[IPv4Address, ...]) -> Iterable[Exact]:
    own = mac_bytes(resolution.source_mac, resolution.device)

    def frame(to: bytes, operation: bytes, target_mac: bytes, target: IPv4Address) -> bytes:
        body = _ARP_ETHERNET_IPV4 + operation + own + source.packed + target_mac + target.packed
        return to + own + TYPE_ARP + body

    next_hop = askers[0]
    # The kernel leaves the target's hardware address of a request zero, also when it asks a known neighbour.
    yield Exact(frame(_BROADCAST, _ARP_REQUEST, bytes(6), next_hop), f"ARP: who has {next_hop}")
    if resolution.next_hop_mac is not None:
        known = mac_bytes(resolution.next_hop_mac, resolution.device)
        yield Exact(frame(known, _ARP_REQUEST, bytes(6), next_hop), f"ARP: still there, {next_hop}")
        for asker in sorted(set(askers)):
            yield Exact(frame(known, _ARP_REPLY, known, asker), f"ARP: {source} is here, to {asker}")


def _discovery(resolution: Resolution, source: IPv6Address, askers: tuple[IPv6Address, ...]) -> Iterable[Exact]:
    own, next_hop = mac_bytes(resolution.source_mac, resolution.device), askers[0]
    known = mac_bytes(resolution.next_hop_mac, resolution.device) if resolution.next_hop_mac is not None else None
    group = solicited_node(next_hop)
    # Source: RFC 2464, section 7: 33:33 and the last four octets of the group.
    questions = [(b"\x33\x33" + group.packed[-4:], group, f"ND: who has {next_hop}")]
    if known is not None:
        questions.append((known, next_hop, f"ND: still there, {next_hop}"))
    # The kernel asks by the address of the packet that waits, and by its link-local one where none does.
    for asking in sorted({source, _link_local(own)}):
        message = _nd_message(_SOLICITATION, 0, next_hop, _OPTION_SOURCE + own)
        for to, destination, meaning in questions:
            yield Exact(to + own + TYPE_IPV6 + _ipv6_packet(asking, destination, message), f"{meaning}, by {asking}")
    if known is not None:
        for asker in sorted({*askers, _link_local(known)}):
            yield from _discovery_answers(known + own, source, asker)


def _discovery_answers(header: bytes, source: IPv6Address, asker: IPv6Address) -> Iterable[Exact]:
    # The kernel answers a multicast question with override flag and option, a unicast one with neither.
    # Source: ndisc_recv_ns() in net/ipv6/ndisc.c.
    for flags, option in ((_SOLICITED_OVERRIDE, _OPTION_TARGET + header[6:]), (_SOLICITED, b"")):
        packet = _ipv6_packet(source, asker, _nd_message(_ADVERTISEMENT, flags, source, option))
        yield Exact(header + TYPE_IPV6 + packet, f"ND: {source} is here, to {asker}")


def _nd_message(kind: int, flags: int, target: IPv6Address, option: bytes) -> bytes:
    return bytes((kind, 0, 0, 0, flags, 0, 0, 0)) + target.packed + option


def _ipv6_packet(source: IPv6Address, destination: IPv6Address, message: bytes) -> bytes:
    length = len(message).to_bytes(2, "big")
    header = b"\x60\0\0\0" + length + bytes((_ICMPV6, _HOP_LIMIT)) + source.packed + destination.packed
    pseudo = source.packed + destination.packed + len(message).to_bytes(4, "big") + bytes((0, 0, 0, _ICMPV6))
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
