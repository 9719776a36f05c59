"""The kernel filter of a tap: outgoing frames, without those that the policy permits.

Written by hand in classic BPF, and not by libpcap's compiler, for one reason above all: a load beyond the frame's end
ends a program with 0, which means "not wanted". `not (udp and dst port 51820)` from a compiler therefore hides every
frame too short to have a port. Here each shape asks for the length first, and what fits no shape is delivered.

Permitted ARP and neighbour discovery are left out as well as the flows: a workload may send them by the thousand, and
the queue they would fill is the one that a leak must pass.

Source: Documentation/networking/filter.rst; the encodings of <linux/filter.h>, <linux/bpf_common.h>.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, NamedTuple

from sidecar.core.killswitch import solicited_node
from sidecar.core.model import MacAddress
from sidecar.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sidecar.core.killswitch import Flow, Policy, Resolution
    from sidecar.core.model import Address

MAXIMUM_INSTRUCTIONS = 4096
"""Source: BPF_MAXINSNS in <linux/bpf_common.h>."""
DELIVER_BYTES = 0x40000
"""As the verdict of a filter: pass the frame, this much of it at most."""

_LOAD = {1: 0x30, 2: 0x28, 4: 0x20}  # BPF_LD | BPF_ABS, by size
_LOAD_LENGTH = 0x80  # BPF_LD | BPF_W | BPF_LEN
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP_IF_EQUAL = 0x15
_JUMP_IF_AT_LEAST = 0x35
_RETURN = 0x06
_ANCILLARY = 0xFFFFF000  # SKF_AD_OFF
_PACKET_TYPE = _ANCILLARY + 4  # SKF_AD_PKTTYPE
_VLAN_TAG_PRESENT = _ANCILLARY + 48  # SKF_AD_VLAN_TAG_PRESENT: a tag beside the frame, not in its bytes
_PACKET_OUTGOING = 4
_LONGEST_JUMP = 255

_BROADCAST = MacAddress("ff:ff:ff:ff:ff:ff")
_NO_MAC = MacAddress("00:00:00:00:00:00")
_ETHERTYPE_IPV4, _ETHERTYPE_ARP, _ETHERTYPE_IPV6 = 0x0800, 0x0806, 0x86DD
_ICMPV6, _UDP = 58, 17


class Instruction(NamedTuple):
    """One classic BPF instruction, as `struct sock_filter` has it."""

    code: int
    jump_true: int
    jump_false: int
    operand: int


@dataclass(frozen=True, slots=True)
class Check:
    """Load something, compare it with values; any of them will do."""

    loads: tuple[Instruction, ...]
    values: tuple[int, ...]
    jump: int = _JUMP_IF_EQUAL


Shape = tuple[Check, ...]
"""A frame has the shape if every check holds."""


def program(policy: Policy, device: str) -> tuple[Instruction, ...]:
    """Return the filter for `device` under `policy`.

    Raises:
        CaptureError: the policy does not fit into a program that the kernel takes.
    """
    code = [
        Instruction(_LOAD[4], 0, 0, _PACKET_TYPE),
        Instruction(_JUMP_IF_EQUAL, 1, 0, _PACKET_OUTGOING),
        Instruction(_RETURN, 0, 0, 0),
        Instruction(_LOAD[4], 0, 0, _VLAN_TAG_PRESENT),
        Instruction(_JUMP_IF_EQUAL, 1, 0, 0),
        Instruction(_RETURN, 0, 0, DELIVER_BYTES),
    ]
    for shape in _shapes(policy, device):
        code += _leave_out(shape, device)
    code.append(Instruction(_RETURN, 0, 0, DELIVER_BYTES))
    if len(code) > MAXIMUM_INSTRUCTIONS:
        raise _too_large(device, f"{len(code)} instructions, and the kernel takes {MAXIMUM_INSTRUCTIONS}")
    return tuple(code)


def encode(code: Iterable[Instruction]) -> bytes:
    """Return the program as an array of `struct sock_filter`."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _leave_out(shape: Shape, device: str) -> list[Instruction]:
    """Return code that ends with 0 for a frame of this shape, and runs on behind itself for every other."""
    size = sum(len(check.loads) + len(check.values) for check in shape) + 1
    if size > _LONGEST_JUMP:
        raise _too_large(device, f"one permitted flow takes {size} instructions, and a jump spans {_LONGEST_JUMP}")
    code: list[Instruction] = []
    for check in shape:
        code += check.loads
        for remaining, value in zip(reversed(range(len(check.values))), check.values, strict=True):
            otherwise = 0 if remaining else size - len(code) - 1
            code.append(Instruction(check.jump, remaining, otherwise, value))
    code.append(Instruction(_RETURN, 0, 0, 0))
    return code


def _too_large(device: str, got: str) -> CaptureError:
    return CaptureError(
        attempted=f"make the capture filter for {device}", got=got, remedy="configure fewer endpoints or source ports"
    )


def _shapes(policy: Policy, device: str) -> Iterator[Shape]:
    """Yield what `device` may send; the flows first, since nearly every frame is one of theirs.

    A device without Ethernet addresses has no shapes: everything that it sends is delivered.
    """
    for flow in policy.flows:
        if flow.device == device and policy.listen_ports and _are_ethernet(flow.source_mac, flow.next_hop_mac):
            yield _flow(flow, policy.listen_ports)
    for resolution in policy.resolutions:
        if resolution.device == device and _are_ethernet(resolution.source_mac, resolution.next_hop_mac or _BROADCAST):
            yield from _resolution(resolution)


def _are_ethernet(*macs: MacAddress) -> bool:
    return all(re.fullmatch("[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac) for mac in macs)


def _flow(flow: Flow, source_ports: tuple[int, ...]) -> Shape:
    """Return the shape of an outer WireGuard packet: UDP, no IP options; a first fragment, since only it has ports."""
    if flow.endpoint_address.version == 4:  # noqa: PLR2004 - IP's own
        return (
            _at_least(42),
            _field(12, 2, _ETHERTYPE_IPV4),
            *_address(30, flow.endpoint_address),
            _field(36, 2, flow.endpoint_port),
            _field(34, 2, *source_ports),
            *_address(26, flow.source_address),
            *_ethernet(flow.source_mac, flow.next_hop_mac),
            _field(14, 1, 0x45),
            _field(20, 2, 0, mask=0x1FFF),
            _field(23, 1, _UDP),
        )
    return (
        _at_least(62),
        _field(12, 2, _ETHERTYPE_IPV6),
        *_address(38, flow.endpoint_address),
        _field(56, 2, flow.endpoint_port),
        _field(54, 2, *source_ports),
        *_address(22, flow.source_address),
        *_ethernet(flow.source_mac, flow.next_hop_mac),
        _field(14, 1, 0x60, mask=0xF0),
        _field(20, 1, _UDP),
    )


def _resolution(resolution: Resolution) -> Iterator[Shape]:
    next_hop, next_hop_mac = resolution.next_hop, resolution.next_hop_mac
    if isinstance(next_hop, IPv6Address):
        group = solicited_node(next_hop)
        yield _solicitation(resolution, group, _multicast_mac(group))
        if next_hop_mac is not None:
            yield _solicitation(resolution, next_hop, next_hop_mac)
            option = _field(78, 2, 0x0201), *_mac(80, resolution.source_mac)
            for asker in (next_hop, _link_local(next_hop_mac)):
                yield _advertisement(resolution, asker, next_hop_mac, 78)
                yield _advertisement(resolution, asker, next_hop_mac, 86, *option)
        return
    yield _arp(resolution, 1, _BROADCAST, _NO_MAC)
    if next_hop_mac is not None:
        yield _arp(resolution, 1, next_hop_mac, _NO_MAC)
        yield _arp(resolution, 2, next_hop_mac, next_hop_mac)


def _arp(resolution: Resolution, operation: int, destination: MacAddress, target: MacAddress) -> Shape:
    """Return ARP as Linux sends it: no padding, and no target hardware address in a question.

    Source: RFC 826; arp_create() in net/ipv4/arp.c.
    """
    return (
        _length(42),
        _field(12, 2, _ETHERTYPE_ARP),
        *_ethernet(resolution.source_mac, destination),
        _field(14, 4, 0x00010800),
        _field(18, 2, 0x0604),
        _field(20, 2, operation),
        *_mac(22, resolution.source_mac),
        *_address(28, resolution.source_address),
        *_mac(32, target),
        *_address(38, resolution.next_hop),
    )


def _solicitation(resolution: Resolution, destination: IPv6Address, destination_mac: MacAddress) -> Shape:
    """Return a neighbour solicitation with our hardware address as its one option. Source: RFC 4861 section 4.3."""
    return (
        *_neighbour_discovery(resolution, destination, destination_mac, 135, 86),
        _field(58, 4, 0),
        *_address(62, resolution.next_hop),
        _field(78, 2, 0x0101),
        *_mac(80, resolution.source_mac),
    )


def _advertisement(
    resolution: Resolution, asker: IPv6Address, next_hop_mac: MacAddress, length_bytes: int, *option: Check
) -> Shape:
    """Return our answer to the next hop's question. Source: RFC 4861 section 4.4 (three flags, then reserved bits)."""
    return (
        *_neighbour_discovery(resolution, asker, next_hop_mac, 136, length_bytes),
        _field(58, 4, 0, mask=0x1FFFFFFF),
        *_address(62, resolution.source_address),
        *option,
    )


def _neighbour_discovery(
    resolution: Resolution, destination: IPv6Address, destination_mac: MacAddress, message: int, length_bytes: int
) -> Iterator[Check]:
    yield _length(length_bytes)
    yield _field(12, 2, _ETHERTYPE_IPV6)
    yield from _ethernet(resolution.source_mac, destination_mac)
    yield _field(14, 4, 0x60000000)
    yield _field(18, 2, length_bytes - 54)
    yield _field(20, 1, _ICMPV6)
    yield _field(21, 1, 255)
    yield from _address(22, resolution.source_address)
    yield from _address(38, destination)
    yield _field(54, 2, message << 8)


def _length(length_bytes: int) -> Check:
    return Check((Instruction(_LOAD_LENGTH, 0, 0, 0),), (length_bytes,))


def _at_least(length_bytes: int) -> Check:
    return Check((Instruction(_LOAD_LENGTH, 0, 0, 0),), (length_bytes,), _JUMP_IF_AT_LEAST)


def _field(offset: int, size: int, *values: int, mask: int | None = None) -> Check:
    load = Instruction(_LOAD[size], 0, 0, offset)
    return Check((load,) if mask is None else (load, Instruction(_AND, 0, 0, mask)), values)


def _ethernet(source: MacAddress, destination: MacAddress) -> tuple[Check, ...]:
    return *_mac(0, destination), *_mac(6, source)


def _mac(offset: int, mac: MacAddress) -> tuple[Check, Check]:
    octets = bytes.fromhex(mac.replace(":", ""))
    high, low = struct.unpack("!IH", octets)
    return _field(offset, 4, high), _field(offset + 4, 2, low)


def _address(offset: int, address: Address) -> tuple[Check, ...]:
    words = struct.iter_unpack("!I", address.packed)
    return tuple(_field(offset + 4 * index, 4, word) for index, (word,) in enumerate(words))


def _multicast_mac(group: IPv6Address) -> MacAddress:
    """Return the hardware address of a multicast group. Source: RFC 2464 section 7."""
    return MacAddress("33:33:" + group.packed[-4:].hex(":"))


def _link_local(mac: MacAddress) -> IPv6Address:
    """Return the link-local address that a router makes of its MAC. Source: RFC 4291 appendix A."""
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 0x02
    return IPv6Address(b"\xfe\x80" + bytes(6) + octets[:3] + b"\xff\xfe" + octets[3:])
