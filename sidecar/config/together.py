"""Whether the endpoints fit each other and the probe targets: what no single file can be blamed for."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from sidecar.core.model import ProbeKind, ProbeTarget

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.config.draft import Draft
    from sidecar.config.mistakes import Mistakes
    from sidecar.core.model import Address, Interface

FALLBACK_TARGETS = (
    ProbeTarget(ProbeKind.ICMP, IPv4Address("1.1.1.1")),
    ProbeTarget(ProbeKind.ICMP, IPv4Address("9.9.9.9")),
)
"""Asked through the tunnel only, and only where no endpoint names a resolver: public resolvers that answer echoes."""


def judge_together(drafts: tuple[Draft, ...], mistakes: Mistakes) -> None:
    """Require one tunnel address, a server once, and resolvers that are reached through the tunnel."""
    _require_one_tunnel_address(drafts, mistakes)
    _require_distinct_servers(drafts, mistakes)
    servers = {draft.endpoint.address for draft in drafts}
    for draft in drafts:
        for address in draft.endpoint.dns:
            if address in servers:
                got = f"DNS {address} is the address of an endpoint, which is reached outside the tunnel only"
                mistakes.add(draft.fields.place("DNS"), got, "use a resolver behind the tunnel")


def choose_targets(
    drafts: tuple[Draft, ...], written: tuple[ProbeTarget, ...], place: str, mistakes: Mistakes
) -> tuple[ProbeTarget, ...]:
    """Return `written`, or targets made of the endpoints' resolvers; each endpoint must be able to reach one."""
    families: set[int] = {address.version for draft in drafts for address in draft.addresses}
    derived = _from_resolvers(drafts) or tuple(
        target for target in FALLBACK_TARGETS if target.address.version in families
    )
    targets = written or derived
    _judge_written(drafts, written, families, place, mistakes)
    for draft in drafts:
        if not any(_reaches(draft, target.address) for target in targets):
            got = f"no probe target is reached through {draft.endpoint.name}, so nothing could show that it is alive"
            where = place if written else draft.fields.source
            mistakes.add(where, got, "set health.probe_targets to addresses within its AllowedIPs that answer")
    return targets


def _from_resolvers(drafts: Iterable[Draft]) -> tuple[ProbeTarget, ...]:
    addresses = dict.fromkeys(address for draft in drafts for address in draft.endpoint.dns)
    return tuple(ProbeTarget(kind, address) for address in addresses for kind in (ProbeKind.DNS, ProbeKind.ICMP))


def _judge_written(
    drafts: tuple[Draft, ...], written: tuple[ProbeTarget, ...], families: set[int], place: str, mistakes: Mistakes
) -> None:
    servers = {draft.endpoint.address for draft in drafts}
    own = {address.ip for draft in drafts for address in draft.addresses}
    for address in dict.fromkeys(target.address for target in written):
        if address.version not in families:
            got = f"the target {address} is IPv{address.version}, and the tunnel has no IPv{address.version} address"
            mistakes.add(place, got, "use a target of the tunnel's family")
        elif address in servers:
            got = f"the target {address} is the address of an endpoint, which is reached outside the tunnel only"
            mistakes.add(place, got, "use a target behind the tunnel")
        elif address in own:
            mistakes.add(place, f"the target {address} is the tunnel's own address", "use a target behind the tunnel")


def _reaches(draft: Draft, address: Address) -> bool:
    return any(address in network for network in draft.endpoint.allowed_ips)


def _require_one_tunnel_address(drafts: tuple[Draft, ...], mistakes: Mistakes) -> None:
    first = drafts[0]
    for draft in drafts[1:]:
        if set(draft.addresses) != set(first.addresses):
            got = (
                f"{draft.endpoint.name} has the tunnel address {_listed(draft.addresses)}, "
                f"but {first.endpoint.name} has {_listed(first.addresses)}"
            )
            remedy = "give every endpoint the same Address: get the files for one key from one provider"
            mistakes.add(draft.fields.place("Address"), got, remedy)


def _require_distinct_servers(drafts: tuple[Draft, ...], mistakes: Mistakes) -> None:
    seen: dict[tuple[Address, int], Draft] = {}
    for draft in drafts:
        server = (draft.endpoint.address, draft.endpoint.port)
        other = seen.setdefault(server, draft)
        if other is not draft:
            place = draft.fields.place("Endpoint", "EndpointAddress")
            got = f"{draft.endpoint.name} and {other.endpoint.name} have the same address and port, {_server(*server)}"
            mistakes.add(place, got, "use two servers, or remove one of the files: a backup must be another server")


def _listed(addresses: tuple[Interface, ...]) -> str:
    return ", ".join(str(address) for address in addresses)


def _server(address: Address, port: int) -> str:
    return f"{address}:{port}" if isinstance(address, IPv4Address) else f"[{address}]:{port}"
