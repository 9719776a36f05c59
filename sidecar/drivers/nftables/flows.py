"""The outer flows of a policy, gathered so that one rule and one set serve every endpoint behind the same next hop."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, groupby
from typing import TYPE_CHECKING

from sidecar.drivers.nftables import text
from sidecar.drivers.nftables.names import identifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sidecar.core.killswitch import Flow

LISTEN_PORTS = "listen_ports"


@dataclass(frozen=True, slots=True)
class Group:
    """Flows that differ in nothing but the endpoint. `flow` is any one of them, for what they share."""

    flow: Flow
    set_name: str
    endpoints: tuple[str, ...]

    @property
    def declaration(self) -> str:
        """The set of the group's endpoints, address and port."""
        kind = f"ipv{self.flow.endpoint_address.version}_addr . inet_service"
        return text.named_set(self.set_name, kind, self.endpoints)

    @property
    def outward(self) -> str:
        """What a datagram to the endpoints looks like, beside mark and link header."""
        family, source = text.family_of(self.flow.source_address), self.flow.source_address
        return f"{family} saddr {source} {family} daddr . udp dport @{self.set_name} udp sport @{LISTEN_PORTS}"

    @property
    def inward(self) -> str:
        """What a datagram from the endpoints looks like, beside the link header. No state is asked: this is all."""
        family, source = text.family_of(self.flow.source_address), self.flow.source_address
        return f"{family} saddr . udp sport @{self.set_name} {family} daddr {source} udp dport @{LISTEN_PORTS}"


def groups_by_source(flows: Iterable[Flow]) -> tuple[Group, ...]:
    """Return the groups that the inet hooks can tell apart: device and source address."""
    return _groups(flows, lambda flow: (flow.device, str(flow.source_address)))


def groups_by_link(flows: Iterable[Flow]) -> tuple[Group, ...]:
    """Return the groups that a device's own hooks can tell apart: the link header as well."""
    return _groups(flows, lambda flow: (flow.device, flow.source_mac, flow.next_hop_mac, str(flow.source_address)))


def declarations(groups: tuple[Group, ...], listen_ports: tuple[int, ...]) -> list[str]:
    """Return the sets that rules on `groups` refer to; none where there is no group."""
    if not groups:
        return []
    ports = text.named_set(LISTEN_PORTS, "inet_service", [str(port) for port in sorted(set(listen_ports))])
    return [ports, *(group.declaration for group in groups)]


def _groups(flows: Iterable[Flow], key: Callable[[Flow], tuple[str, ...]]) -> tuple[Group, ...]:
    numbers = count(1)
    ordered = sorted(flows, key=key)
    return tuple(_group(tuple(members), next(numbers)) for _, members in groupby(ordered, key))


def _group(flows: tuple[Flow, ...], number: int) -> Group:
    endpoints = sorted({(int(flow.endpoint_address), flow.endpoint_port, flow.endpoint_address) for flow in flows})
    elements = tuple(f"{address} . {port}" for _, port, address in endpoints)
    return Group(flows[0], f"endpoints_{identifier(flows[0].device)}_{number}", elements)
