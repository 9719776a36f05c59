"""What one endpoint's tunnel can reach, by family: the mix-ups of IPv4 and IPv6, decided here and documented.

WireGuard itself accepts all of these and then loses the packets; a killswitch must say so before.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import TYPE_CHECKING

from sidecar.config.values import LOWEST_IPV6_MTU_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.config.mistakes import Mistakes
    from sidecar.core.model import Address, Interface, Network

IPV6 = 6


@dataclass(frozen=True, slots=True)
class Reach:
    """The parts of one endpoint that must fit each other; `place` says where a key was written."""

    place: Callable[..., str]
    addresses: tuple[Interface, ...]
    allowed_ips: tuple[Network, ...]
    dns: tuple[Address, ...]
    endpoint_address: Address
    mtu_bytes: int | None

    @property
    def families(self) -> set[int]:
        """The families that the tunnel has an address of."""
        return {address.version for address in self.addresses}


def judge_reach(reach: Reach, mistakes: Mistakes, warnings: list[str]) -> tuple[Network, ...]:
    """Return the allowed IPs that the tunnel has an address for; what cannot work goes to `mistakes`."""
    kept = tuple(network for network in reach.allowed_ips if network.version in reach.families)
    _judge_allowed_ips(reach, kept, mistakes, warnings)
    _judge_dns(reach, kept, mistakes)
    if reach.endpoint_address in {address.ip for address in reach.addresses}:
        got = f"the endpoint {reach.endpoint_address} is the tunnel's own address"
        mistakes.add(reach.place("Endpoint", "EndpointAddress"), got, "use the server's public address")
    if reach.mtu_bytes is not None and reach.mtu_bytes < LOWEST_IPV6_MTU_BYTES and IPV6 in reach.families:
        got = f"an MTU of {reach.mtu_bytes} bytes takes IPv6 away from a tunnel with an IPv6 address"
        remedy = f"use at least {LOWEST_IPV6_MTU_BYTES}, or remove the IPv6 address"
        mistakes.add(reach.place("MTU"), got, remedy)
    return kept


def _judge_allowed_ips(reach: Reach, kept: tuple[Network, ...], mistakes: Mistakes, warnings: list[str]) -> None:
    place = reach.place("AllowedIPs")
    if not kept:
        got = f"the tunnel has an {_names(reach.families)} address only, and AllowedIPs has no network of that family"
        mistakes.add(place, got, "give Address and AllowedIPs a family in common")
        return
    for network in reach.allowed_ips:
        if network not in kept:
            name = _names({network.version})
            warnings.append(f"{place}: {network} is left out, the tunnel has no {name} address; {name} is dropped")
    warnings.extend(
        f"{place}: AllowedIPs is not all of {_names({family})}; what is outside it is dropped"
        for family in sorted(reach.families)
        if not _is_everything(kept, family)
    )


def _judge_dns(reach: Reach, kept: tuple[Network, ...], mistakes: Mistakes) -> None:
    place = reach.place("DNS")
    own = {address.ip for address in reach.addresses}
    for address in reach.dns:
        if address.version not in reach.families:
            family = _names({address.version})
            got = f"DNS {address} is {family}, and the tunnel has no {family} address"
            mistakes.add(place, got, f"remove it, or add the {family} Address that your provider gave you")
        elif address in own:
            got = f"DNS {address} is the tunnel's own address, where nothing answers"
            mistakes.add(place, got, "use the resolver that your provider names")
        elif kept and not any(address in network for network in kept):
            got = f"DNS {address} is outside AllowedIPs, so no name would resolve"
            mistakes.add(place, got, f"add {address} to AllowedIPs, or use a resolver within them")


def _is_everything(networks: tuple[Network, ...], family: int) -> bool:
    if family == IPV6:
        six = (network for network in networks if isinstance(network, IPv6Network))
        return list(collapse_addresses(six)) == [IPv6Network("::/0")]
    four = (network for network in networks if isinstance(network, IPv4Network))
    return list(collapse_addresses(four)) == [IPv4Network("0.0.0.0/0")]


def _names(families: set[int]) -> str:
    return " and ".join(f"IPv{family}" for family in sorted(families))
