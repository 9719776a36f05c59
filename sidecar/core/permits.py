"""What a policy permits, in rows for people: the specification's table, made from the value that the lock is made from.

A row says nothing that must not be shown: mark and source ports are named, and not told.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from sidecar.core.frames import askers, resolution_frames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.core.killswitch import Flow, Policy, Resolution

LOOPBACK = "lo"
_IPV4 = 4


@dataclass(frozen=True, slots=True)
class Permit:
    """One kind of packet that passes.

    Attributes:
        who: whose packet it is.
        way: "out" or "in", as the namespace sees it.
        device: the one device that it passes by.
        what: the packet.
        pinned_by: everything that is compared before it passes.
    """

    who: str
    way: str
    device: str
    what: str
    pinned_by: str


def permits(policy: Policy) -> tuple[Permit, ...]:
    """Return everything that passes under `policy`, loopback first. What has no row is dropped.

    There is a row for each flow each way, and for each frame of ARP and neighbour discovery that may leave.
    """
    return (*_loopback(), *_tunnel(policy), *_proof(policy), *_flows(policy), *_resolutions(policy))


def _loopback() -> Iterable[Permit]:
    for way in ("out", "in"):
        yield Permit("everybody inside", way, LOOPBACK, "everything", "device; not for 127.0.0.11, Docker's resolver")


def _tunnel(policy: Policy) -> Iterable[Permit]:
    if policy.tunnel_device is None:
        return
    for _, same_family in groupby(policy.tunnel_addresses, key=lambda address: address.version):
        own = ", ".join(map(str, same_family))
        yield Permit("workloads", "out", policy.tunnel_device, "everything", f"device, source address {own}")
        yield Permit(
            "the far side",
            "in",
            policy.tunnel_device,
            "answers to what a workload began",
            f"device, destination address {own}, a connection that the kernel knows",
        )


def _proof(policy: Policy) -> Iterable[Permit]:
    if policy.proof_device is not None:
        pins = "device, which leads into the proof's own process and nowhere else; for a minute at most"
        yield Permit("a running proof", "out", policy.proof_device, "everything", pins)


def _flows(policy: Policy) -> Iterable[Permit]:
    for flow in policy.flows:
        far = f"{flow.endpoint_address} port {flow.endpoint_port}"
        yield Permit("WireGuard", "out", flow.device, f"UDP to {far}", f"{_link(flow)}, {_network(flow)}, secret mark")
    for flow in policy.flows:
        far = f"{flow.endpoint_address} port {flow.endpoint_port}"
        pins = f"own MAC {flow.source_mac}, ether type, {_network(flow)}"
        yield Permit("the VPN server", "in", flow.device, f"UDP from {far}", pins)


def _link(flow: Flow) -> str:
    return f"MACs {flow.source_mac} to {flow.next_hop_mac}, ether type"


def _network(flow: Flow) -> str:
    return f"own address {flow.source_address}, endpoint's address and port, own port of those drawn at random"


def _resolutions(policy: Policy) -> Iterable[Permit]:
    for resolution in policy.resolutions:
        for frame, meaning in resolution_frames(resolution, policy.flows):
            pins = f"all {len(frame)} bytes of the frame"
            yield Permit("the kernel", "out", resolution.device, meaning, pins)
    for resolution in policy.resolutions:
        yield from _answers(policy, resolution)


def _answers(policy: Policy, resolution: Resolution) -> Iterable[Permit]:
    own, next_hop, device = resolution.source_address, resolution.next_hop, resolution.device
    if own.version != _IPV4:
        for message, target in (("question", own), ("answer", next_hop)):
            what = f"ND {message} for {target}"
            yield Permit("the next hop", "in", device, what, "hop limit 255, type and code, target address")
        return
    pins = f"ARP for IPv4 on Ethernet, operation, sender's address, own address {own}"
    for asker in (next_hop, *askers(resolution, policy.flows)):
        yield Permit("the next hop", "in", device, f"ARP question from {asker}", pins)
    yield Permit("the next hop", "in", device, f"ARP answer from {next_hop}", pins)
