"""Did something leave outside the tunnel? A frame is innocent only if the policy names it."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from sidecar.core.killswitch import Flow, Policy, Resolution, solicited_node
from sidecar.core.model import MacAddress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.core.sights import Frame

ETHER_TYPE_IPV4 = 0x0800
ETHER_TYPE_ARP = 0x0806
ETHER_TYPE_IPV6 = 0x86DD
PROTOCOL_UDP = 17
PROTOCOL_ICMPV6 = 58
BROADCAST = MacAddress("ff:ff:ff:ff:ff:ff")
NO_MAC = MacAddress("00:00:00:00:00:00")
ARP_FRAME_BYTES = 42
ARP_REQUEST = 1
ARP_REPLY = 2
ND_HOP_LIMIT = 255
"""Anything else has crossed a router. Source: RFC 4861 section 7.1."""

ND_SOLICITATION = 135
ND_SOLICITATION_BYTES = 86
ND_ADVERTISEMENT = 136
ND_ADVERTISEMENT_BYTES = (78, 86)
"""Without and with our hardware address as its option. Source: RFC 4861 sections 4.3 and 4.4."""


def permitted(frame: Frame, policies: Iterable[Policy | None]) -> bool:
    """Whether any of these policies names this frame.

    The mark is not on the wire; the lock has checked it. What is checked here is everything a tap can see.
    """
    return any(_permits(policy, frame) for policy in policies if policy is not None)


def _permits(policy: Policy, frame: Frame) -> bool:
    if any(_is_flow(flow, policy, frame) for flow in policy.flows):
        return True
    return any(_is_resolution(resolution, frame) for resolution in policy.resolutions)


def _is_flow(flow: Flow, policy: Policy, frame: Frame) -> bool:
    ether_type = ETHER_TYPE_IPV4 if flow.endpoint_address.version == 4 else ETHER_TYPE_IPV6  # noqa: PLR2004 - IP's own
    return (
        frame.device == flow.device
        and frame.ether_type == ether_type
        and frame.source_mac == flow.source_mac
        and frame.destination_mac == flow.next_hop_mac
        and frame.protocol == PROTOCOL_UDP
        and frame.source_address == flow.source_address
        and frame.destination_address == flow.endpoint_address
        and frame.destination_port == flow.endpoint_port
        and frame.source_port in policy.listen_ports
    )


def _is_resolution(resolution: Resolution, frame: Frame) -> bool:
    if frame.device != resolution.device or frame.source_mac != resolution.source_mac:
        return False
    if frame.source_address != resolution.source_address:
        return False
    if isinstance(resolution.next_hop, IPv6Address):
        return _is_neighbour_discovery(resolution, resolution.next_hop, frame)
    return _is_arp(resolution, frame)


def _is_arp(resolution: Resolution, frame: Frame) -> bool:
    """Whether it is the question to all, the question to the known next hop, or the answer to it, as Linux sends them.

    Source: arp_create() in net/ipv4/arp.c: no target hardware address in a question, also to a known neighbour.
    """
    known = resolution.next_hop_mac
    to_all = (frame.arp_operation, frame.destination_mac, frame.arp_target_mac) == (ARP_REQUEST, BROADCAST, NO_MAC)
    to_known = known is not None and (frame.arp_operation, frame.destination_mac, frame.arp_target_mac) in (
        (ARP_REQUEST, known, NO_MAC),
        (ARP_REPLY, known, known),
    )
    return (
        (to_all or to_known)
        and frame.ether_type == ETHER_TYPE_ARP
        and frame.length_bytes == ARP_FRAME_BYTES
        and frame.arp_sender_mac == resolution.source_mac
        and frame.destination_address == resolution.next_hop
    )


def _is_neighbour_discovery(resolution: Resolution, next_hop: IPv6Address, frame: Frame) -> bool:
    return (
        frame.ether_type == ETHER_TYPE_IPV6
        and frame.protocol == PROTOCOL_ICMPV6
        and frame.hop_limit == ND_HOP_LIMIT
        and (_is_solicitation(resolution, next_hop, frame) or _is_advertisement(resolution, next_hop, frame))
    )


def _is_solicitation(resolution: Resolution, next_hop: IPv6Address, frame: Frame) -> bool:
    group, known = solicited_node(next_hop), resolution.next_hop_mac
    destination = (frame.destination_address, frame.destination_mac)
    to_all = destination == (group, _multicast_mac(group))
    to_known = known is not None and destination == (next_hop, known)
    return (
        (to_all or to_known)
        and frame.icmpv6_type == ND_SOLICITATION
        and frame.nd_target == next_hop
        and frame.length_bytes == ND_SOLICITATION_BYTES
    )


def _is_advertisement(resolution: Resolution, next_hop: IPv6Address, frame: Frame) -> bool:
    known = resolution.next_hop_mac
    return (
        known is not None
        and frame.icmpv6_type == ND_ADVERTISEMENT
        and frame.destination_mac == known
        and frame.destination_address in (next_hop, _link_local(known))
        and frame.nd_target == resolution.source_address
        and frame.length_bytes in ND_ADVERTISEMENT_BYTES
    )


def _multicast_mac(group: IPv6Address) -> MacAddress:
    """Return the hardware address of a multicast group. Source: RFC 2464 section 7."""
    return MacAddress("33:33:" + group.packed[-4:].hex(":"))


def _link_local(mac: MacAddress) -> IPv6Address:
    """Return the address that a router asks from: EUI-64 of its MAC. Source: RFC 4291 appendix A."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes((octets[0] ^ 2,)) + octets[1:3] + b"\xff\xfe" + octets[3:])
