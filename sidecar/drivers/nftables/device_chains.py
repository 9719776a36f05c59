"""Table `netdev sidecar`: every frame of every uplink, both ways, whoever made it.

Only the egress hook sees what an AF_PACKET socket sends (kernel 5.16 or later). Such a sender chooses what the kernel
believes the frame to be (`meta protocol`), so nothing here relies on that: the link header is compared byte by byte,
and so are the frames of ARP and neighbour discovery, whole.

No rule logs: CVE-2026-52942 is in the logging of this family.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.frames import (
    ETHER_TYPE_ARP,
    ETHER_TYPE_IPV4,
    ETHER_TYPE_IPV6,
    ETHERNET_HEADER_BYTES,
    askers,
)
from sidecar.drivers.nftables import text
from sidecar.drivers.nftables.flows import Group, declarations, groups_by_link
from sidecar.drivers.nftables.frames import exact_frames, mac_bytes
from sidecar.drivers.nftables.inet_chains import discovery_inward
from sidecar.drivers.nftables.names import identifier, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.core.killswitch import Flow, Policy, Resolution

_IPV4 = 4
_TYPE_AT_BYTE = 12


def accepted(device: str) -> str:
    """Return the name of the counter of every frame that may leave by `device`."""
    return f"accepted_{identifier(device)}"


def dropped(direction: str, device: str) -> str:
    """Return the name of the counter of what the last rule of "egress" or "ingress" dropped on `device`."""
    return f"dropped_{direction}_{identifier(device)}"


def device_blocks(policy: Policy) -> list[str]:
    """Return the counters, sets and chains of the table."""
    groups = groups_by_link(policy.flows)
    names = [name for device in policy.devices for name in counters(device)]
    chains = [chain for device in policy.devices for chain in _chains(policy, groups, device)]
    return [*map(text.counter, names), *declarations(groups, policy.listen_ports), *chains]


def counters(device: str) -> tuple[str, str, str]:
    """Return the names of a device's counters."""
    return accepted(device), dropped("egress", device), dropped("ingress", device)


def _chains(policy: Policy, groups: tuple[Group, ...], device: str) -> Iterable[str]:
    own_groups = [group for group in groups if group.flow.device == device]
    resolutions = [resolution for resolution in policy.resolutions if resolution.device == device]
    yield _chain("ingress", device, [*map(_inward, own_groups), *_answers(policy, resolutions)])
    outward = [_outward(group, policy.fwmark) for group in own_groups]
    yield _chain("egress", device, [*outward, *_questions(policy, resolutions)])


def _chain(direction: str, device: str, rules: list[str]) -> str:
    name, hook = f"{direction}_{identifier(device)}", f"{direction} device {quoted(device)}"
    return text.chain(name, hook, "filter", [*rules, text.drop_counted(dropped(direction, device))])


def _outward(group: Group, fwmark: int) -> str:
    # The mark ends here: a tap behind this hook could read it (SO_RCVMARK) and forge it (SO_MARK).
    pins = f"meta mark {fwmark:#010x} {text.raw('ll', 0, _link_header(group.flow))} {group.outward}"
    return f"{pins} meta mark set 0x00000000 {text.accept_counted(accepted(group.flow.device))}"


def _link_header(flow: Flow) -> bytes:
    own, next_hop = mac_bytes(flow.source_mac, flow.device), mac_bytes(flow.next_hop_mac, flow.device)
    return next_hop + own + _ether_type(flow).to_bytes(2, "big")


def _ether_type(flow: Flow) -> int:
    return ETHER_TYPE_IPV4 if flow.endpoint_address.version == _IPV4 else ETHER_TYPE_IPV6


def _is_of(ether_type: int) -> str:
    return text.raw("ll", _TYPE_AT_BYTE, ether_type.to_bytes(2, "big"))


def _inward(group: Group) -> str:
    # Not pinned: the sender's MAC. Where two routers share a virtual one, they answer by their own.
    own = text.raw("ll", 0, mac_bytes(group.flow.source_mac, group.flow.device))
    return f"{own} {_is_of(_ether_type(group.flow))} {group.inward} accept"


def _questions(policy: Policy, resolutions: Iterable[Resolution]) -> Iterable[str]:
    for resolution in resolutions:
        for frame, meaning in exact_frames(policy, resolution):
            header, packet = frame[:ETHERNET_HEADER_BYTES], frame[ETHERNET_HEADER_BYTES:]
            pins = f"meta length {len(frame)} {text.raw('ll', 0, header)} {text.exact_packet(packet)}"
            yield f'{pins} {text.accept_counted(accepted(resolution.device))} comment "{meaning}"'


def _answers(policy: Policy, resolutions: Iterable[Resolution]) -> Iterable[str]:
    # Not pinned: the sender's MAC, because a new one is what we want to learn.
    for resolution in resolutions:
        own, next_hop = resolution.source_address, resolution.next_hop
        if own.version == _IPV4:
            asking = [("request", asker) for asker in (next_hop, *askers(resolution, policy.flows))]
            for operation, sender in [*asking, ("reply", next_hop)]:
                shape = f"arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp operation {operation}"
                pins = f"{_is_of(ETHER_TYPE_ARP)} {shape}"
                yield f"{pins} arp saddr ip {sender} arp daddr ip {own} accept"
        for match in discovery_inward(resolution):
            yield f"{_is_of(ETHER_TYPE_IPV6)} {match} accept"
