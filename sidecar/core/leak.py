"""Did something leave outside the tunnel? A frame is innocent only if the policy names it."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from sidecar.core.killswitch import Flow, Policy, Resolution, solicited_node

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.core.sights import Frame

ETHER_TYPE_IPV4 = 0x0800
ETHER_TYPE_ARP = 0x0806
ETHER_TYPE_IPV6 = 0x86DD
PROTOCOL_UDP = 17
PROTOCOL_ICMPV6 = 58
ARP_FRAME_BYTES = 42
ARP_REQUEST = 1
ARP_REPLY = 2


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
    if isinstance(resolution.next_hop, IPv6Address):
        return _is_neighbour_discovery(resolution, resolution.next_hop, frame)
    return (
        frame.ether_type == ETHER_TYPE_ARP
        and frame.arp_operation in (ARP_REQUEST, ARP_REPLY)
        and frame.length_bytes == ARP_FRAME_BYTES
        and frame.source_address == resolution.source_address
        and frame.destination_address == resolution.next_hop
    )


def _is_neighbour_discovery(resolution: Resolution, next_hop: IPv6Address, frame: Frame) -> bool:
    return (
        frame.ether_type == ETHER_TYPE_IPV6
        and frame.protocol == PROTOCOL_ICMPV6
        and frame.source_address == resolution.source_address
        and frame.destination_address in (next_hop, solicited_node(next_hop))
    )
