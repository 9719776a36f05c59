"""What a policy permits, as shapes of frames."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from sidecar.core.killswitch import solicited_node
from sidecar.core.model import MacAddress
from sidecar.drivers.capture.instructions import address, at_least, ethernet, field, length, mac

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.core.killswitch import Flow, Policy, Resolution
    from sidecar.core.model import Address
    from sidecar.drivers.capture.instructions import Check, Shape

_BROADCAST = MacAddress("ff:ff:ff:ff:ff:ff")
_NO_MAC = MacAddress("00:00:00:00:00:00")
_ETHERTYPE_IPV4, _ETHERTYPE_ARP, _ETHERTYPE_IPV6 = 0x0800, 0x0806, 0x86DD
_ICMPV6, _UDP = 58, 17


def permitted(policy: Policy, device: str) -> Iterator[Shape]:
    """Yield what `device` may send; the flows first, since nearly every frame is one of theirs.

    A device without Ethernet addresses has no shapes: everything that it sends is delivered.
    """
    for flow in policy.flows:
        if flow.device == device and policy.listen_ports and _are_ethernet(flow.source_mac, flow.next_hop_mac):
            yield _flow(flow, policy.listen_ports)
    for resolution in policy.resolutions:
        if resolution.device == device and _are_ethernet(resolution.source_mac, resolution.next_hop_mac or _BROADCAST):
            yield from _resolution(resolution, _askers(resolution, policy))


def _are_ethernet(*macs: MacAddress) -> bool:
    return all(re.fullmatch("[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac) for mac in macs)


def _flow(flow: Flow, source_ports: tuple[int, ...]) -> Shape:
    """Return the shape of an outer WireGuard packet: UDP, no IP options; a first fragment, since only it has ports."""
    if flow.endpoint_address.version == 4:  # noqa: PLR2004 - IP's own
        return (
            at_least(42),
            field(12, 2, _ETHERTYPE_IPV4),
            *address(30, flow.endpoint_address),
            field(36, 2, flow.endpoint_port),
            field(34, 2, *source_ports),
            *address(26, flow.source_address),
            *ethernet(flow.source_mac, flow.next_hop_mac),
            field(14, 1, 0x45),
            field(20, 2, 0, mask=0x1FFF),
            field(23, 1, _UDP),
        )
    return (
        at_least(62),
        field(12, 2, _ETHERTYPE_IPV6),
        *address(38, flow.endpoint_address),
        field(56, 2, flow.endpoint_port),
        field(54, 2, *source_ports),
        *address(22, flow.source_address),
        *ethernet(flow.source_mac, flow.next_hop_mac),
        field(14, 1, 0x60, mask=0xF0),
        field(20, 1, _UDP),
    )


def _askers(resolution: Resolution, policy: Policy) -> list[Address]:
    """Return by which addresses the next hop may ask for us: its own, and those of endpoints behind its MAC.

    A host asks by the source address of the packet that it wants to send, and an endpoint may live on the very host
    that is the next hop, with an address of another network.
    """
    behind = {
        flow.endpoint_address
        for flow in policy.flows
        if (flow.device, flow.next_hop_mac, flow.source_address)
        == (resolution.device, resolution.next_hop_mac, resolution.source_address)
    }
    return sorted({resolution.next_hop, *behind}, key=int)


def _resolution(resolution: Resolution, askers: list[Address]) -> Iterator[Shape]:
    next_hop, next_hop_mac = resolution.next_hop, resolution.next_hop_mac
    if isinstance(next_hop, IPv6Address):
        yield from _discovery(resolution, next_hop, [asker for asker in askers if isinstance(asker, IPv6Address)])
        return
    yield _arp(resolution, 1, _BROADCAST, _NO_MAC, next_hop)
    if next_hop_mac is not None:
        yield _arp(resolution, 1, next_hop_mac, _NO_MAC, next_hop)
        yield _arp(resolution, 2, next_hop_mac, next_hop_mac, *askers)


def _discovery(resolution: Resolution, next_hop: IPv6Address, askers: list[IPv6Address]) -> Iterator[Shape]:
    group, next_hop_mac = solicited_node(next_hop), resolution.next_hop_mac
    # The kernel asks by the address of the packet that waits, and by its link-local one where none does.
    for source in sorted({resolution.source_address, _link_local(resolution.source_mac)}, key=int):
        yield _solicitation(resolution, source, group, _multicast_mac(group))
        if next_hop_mac is not None:
            yield _solicitation(resolution, source, next_hop, next_hop_mac)
    if next_hop_mac is not None:
        option = field(78, 2, 0x0201), *mac(80, resolution.source_mac)
        for asker in sorted({*askers, _link_local(next_hop_mac)}):
            yield _advertisement(resolution, asker, next_hop_mac, 78)
            yield _advertisement(resolution, asker, next_hop_mac, 86, *option)


def _arp(
    resolution: Resolution, operation: int, destination: MacAddress, target_mac: MacAddress, *targets: Address
) -> Shape:
    """Return ARP as Linux sends it: no padding, and no target hardware address in a question.

    Source: RFC 826; arp_create() in net/ipv4/arp.c.
    """
    return (
        length(42),
        field(12, 2, _ETHERTYPE_ARP),
        *ethernet(resolution.source_mac, destination),
        field(14, 4, 0x00010800),
        field(18, 2, 0x0604),
        field(20, 2, operation),
        *mac(22, resolution.source_mac),
        *address(28, resolution.source_address),
        *mac(32, target_mac),
        field(38, 4, *(int(target) for target in targets)),
    )


def _solicitation(
    resolution: Resolution, source: Address, destination: IPv6Address, destination_mac: MacAddress
) -> Shape:
    """Return a neighbour solicitation with our hardware address as its one option. Source: RFC 4861 section 4.3."""
    return (
        *_neighbour_discovery(135, 86, source, destination),
        *ethernet(resolution.source_mac, destination_mac),
        field(58, 4, 0),
        *address(62, resolution.next_hop),
        field(78, 2, 0x0101),
        *mac(80, resolution.source_mac),
    )


def _advertisement(
    resolution: Resolution, asker: IPv6Address, next_hop_mac: MacAddress, length_bytes: int, *option: Check
) -> Shape:
    """Return our answer to the next hop's question. Source: RFC 4861 section 4.4 (three flags, then reserved bits)."""
    return (
        *_neighbour_discovery(136, length_bytes, resolution.source_address, asker),
        *ethernet(resolution.source_mac, next_hop_mac),
        field(58, 4, 0, mask=0x1FFFFFFF),
        *address(62, resolution.source_address),
        *option,
    )


def _neighbour_discovery(message: int, length_bytes: int, source: Address, destination: IPv6Address) -> Iterator[Check]:
    yield length(length_bytes)
    yield field(12, 2, _ETHERTYPE_IPV6)
    yield field(14, 4, 0x60000000)
    yield field(18, 2, length_bytes - 54)
    yield field(20, 1, _ICMPV6)
    yield field(21, 1, 255)
    yield from address(22, source)
    yield from address(38, destination)
    yield field(54, 2, message << 8)


def _multicast_mac(group: IPv6Address) -> MacAddress:
    """Return the hardware address of a multicast group. Source: RFC 2464 section 7."""
    return MacAddress("33:33:" + group.packed[-4:].hex(":"))


def _link_local(mac: MacAddress) -> IPv6Address:
    """Return the link-local address that a router makes of its MAC. Source: RFC 4291 appendix A."""
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 0x02
    return IPv6Address(b"\xfe\x80" + bytes(6) + octets[:3] + b"\xff\xfe" + octets[3:])
