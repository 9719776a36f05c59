"""Did something leave outside the tunnel? A frame is innocent only if the policy names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.frames import ETHER_TYPE_IPV4, ETHER_TYPE_IPV6, PROTOCOL_UDP, resolution_frames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.core.killswitch import Flow, Policy
    from sidecar.core.sights import Frame

LOCK_FAILURES_TO_HALT = 2
"""A lock that is gone may fail to come back once, because a device vanished between looking and locking; not twice."""


def permitted(frame: Frame, policies: Iterable[Policy | None]) -> bool:
    """Whether any of these policies names this frame.

    The mark is not on the wire; the lock has checked it. What is checked here is everything a tap can see.
    """
    return any(_permits(policy, frame) for policy in policies if policy is not None)


def _permits(policy: Policy, frame: Frame) -> bool:
    if any(_is_flow(flow, policy, frame) for flow in policy.flows):
        return True
    return _is_resolution(policy, frame)


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


def _is_resolution(policy: Policy, frame: Frame) -> bool:
    """Whether it is one of the frames by which next hops are found, to the last byte."""
    is_whole = len(frame.data) == frame.length_bytes
    return is_whole and any(
        frame.data == exact.frame
        for resolution in policy.resolutions
        if resolution.device == frame.device
        for exact in resolution_frames(resolution, policy.flows)
    )
