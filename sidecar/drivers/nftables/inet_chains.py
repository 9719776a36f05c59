"""Table `inet sidecar`: what sockets of the namespace may send and hear, and what may pass through it.

Every chain accepts by device and address, and drops the rest. Output stands before connection tracking and address
translation, postrouting after both: what a DNAT of somebody else's sends elsewhere is caught by the second, which
sees the device that the packet really leaves by.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from sidecar.core.frames import ETHERNET_HEADER_BYTES
from sidecar.drivers.nftables import text
from sidecar.drivers.nftables.flows import Group, declarations, groups_by_source
from sidecar.drivers.nftables.frames import exact_frames
from sidecar.drivers.nftables.names import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.core.killswitch import Policy, Resolution
    from sidecar.core.model import Address

EMBEDDED_DNS_COUNTER = "dropped_embedded_dns"
# Priorities: raw (-300) is before connection tracking (-200); 300 is after every address translation (srcnat, 100).
# Source: nft(8), "Standard priority names"; enum nf_ip_hook_priorities in <linux/netfilter_ipv4.h>.
HOOKS = {"prerouting": "raw", "input": "filter", "forward": "filter", "output": "raw", "postrouting": "300"}
# Docker's embedded resolver. It may ask from the host's own namespace, where no rule of ours sees the question.
_EMBEDDED_DNS = f"ip daddr 127.0.0.11 {text.drop_counted(EMBEDDED_DNS_COUNTER)}"
_SOLICITATION, _ADVERTISEMENT = b"\x87\x00", b"\x88\x00"  # ICMPv6 type and code; RFC 4861


def dropped(hook: str) -> str:
    """Return the name of the counter of what the last rule of `hook` dropped."""
    return f"dropped_{hook}"


def inet_blocks(policy: Policy) -> list[str]:
    """Return the counters, sets and chains of the table."""
    groups = groups_by_source(policy.flows)
    bodies = {
        "prerouting": ['iifname "lo" accept', *_from_tunnel(policy, ""), *_inward(policy, groups, "notrack ")],
        "input": ['iifname "lo" accept', *_from_tunnel(policy, _ANSWER), *_inward(policy, groups, "")],
        "forward": [],
        "output": [
            'oifname "lo" accept',
            *_no_loop(policy),
            *_left_out(policy, "notrack "),
            *_outward(policy, groups, "notrack "),
        ],
        "postrouting": ['oifname "lo" accept', *_left_out(policy, ""), *_outward(policy, groups, "")],
    }
    counters = [text.counter(name) for name in (EMBEDDED_DNS_COUNTER, *map(dropped, HOOKS))]
    sets = [*_tunnel_sets(policy), *declarations(groups, policy.listen_ports)]
    return [*counters, *sets, *(_chain(hook, rules) for hook, rules in bodies.items())]


# Only what the workload asked for comes in by the tunnel. Nothing of an uplink is ever in the table of connections.
_ANSWER = "ct state established,related "


def _chain(hook: str, rules: Iterable[str]) -> str:
    return text.chain(hook, hook, HOOKS[hook], [_EMBEDDED_DNS, *rules, text.drop_counted(dropped(hook))])


def _from_tunnel(policy: Policy, condition: str) -> Iterable[str]:
    # A packet for the tunnel's address that comes in by any other device falls through to the drop: CVE-2019-14899.
    if policy.tunnel_device is not None:
        for family, name, _ in _tunnel_families(policy):
            yield f"iifname {quoted(policy.tunnel_device)} {family} daddr @{name} {condition}accept"


def _no_loop(policy: Policy) -> Iterable[str]:
    # While a link is down its host routes are gone, and what the tunnel sends to its peer would enter the tunnel again.
    # wireguard-go wraps it once more, without end: 40 MB a second and a whole processor (measured).
    if policy.tunnel_device is not None and policy.fwmark:
        mark = f"meta mark {policy.fwmark:#010x}"
        yield f"oifname {quoted(policy.tunnel_device)} {mark} {text.drop_counted(dropped('output'))}"


def _left_out(policy: Policy, action: str) -> Iterable[str]:
    # Outward only: nothing comes in from there.
    if policy.proof_device is not None:
        yield f"oifname {quoted(policy.proof_device)} {action}accept"


def _outward(policy: Policy, groups: tuple[Group, ...], action: str) -> Iterable[str]:
    if policy.tunnel_device is not None:
        for family, name, _ in _tunnel_families(policy):
            yield f"oifname {quoted(policy.tunnel_device)} {family} saddr @{name} accept"
    for group in groups:
        device = quoted(group.flow.device)
        yield f"oifname {device} meta mark {policy.fwmark:#010x} {group.outward} {action}accept"
    for resolution in policy.resolutions:
        if isinstance(resolution.source_address, IPv6Address):
            yield from _discovery_outward(policy, resolution)


def _discovery_outward(policy: Policy, resolution: Resolution) -> Iterable[str]:
    for frame, meaning in exact_frames(policy, resolution):
        packet = frame[ETHERNET_HEADER_BYTES:]
        pins = f"meta length {len(packet)} {text.exact_packet(packet)}"
        yield f'oifname {quoted(resolution.device)} {pins} accept comment "{meaning}"'


def _inward(policy: Policy, groups: tuple[Group, ...], action: str) -> Iterable[str]:
    for group in groups:
        yield f"iifname {quoted(group.flow.device)} {group.inward} {action}accept"
    for resolution in policy.resolutions:
        for match in discovery_inward(resolution):
            yield f"iifname {quoted(resolution.device)} {match} accept"


def discovery_inward(resolution: Resolution) -> Iterable[str]:
    """Return what the next hop's questions and answers look like from the network header on; nothing for IPv4.

    Redirects, router advertisements and everything else of ICMPv6 are neither, and are dropped.
    """
    own, next_hop = resolution.source_address, resolution.next_hop
    if isinstance(own, IPv6Address) and isinstance(next_hop, IPv6Address):
        for message, target in ((_SOLICITATION, own), (_ADVERTISEMENT, next_hop)):
            pins = f"{text.raw('nh', 40, message)} {text.raw('nh', 48, target.packed)}"
            yield f"ip6 nexthdr ipv6-icmp ip6 hoplimit 255 {pins}"


def _tunnel_sets(policy: Policy) -> Iterable[str]:
    for family, name, addresses in _tunnel_families(policy):
        kind = "ipv4_addr" if family == "ip" else "ipv6_addr"
        yield text.named_set(name, kind, [str(address) for address in addresses])


def _tunnel_families(policy: Policy) -> Iterable[tuple[str, str, tuple[Address, ...]]]:
    ipv4 = tuple(address for address in policy.tunnel_addresses if isinstance(address, IPv4Address))
    ipv6 = tuple(address for address in policy.tunnel_addresses if isinstance(address, IPv6Address))
    if ipv4:
        yield "ip", "tunnel_ipv4", ipv4
    if ipv6:
        yield "ip6", "tunnel_ipv6", ipv6
