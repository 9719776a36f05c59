"""Making routes exist and others not, changing only what differs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from sidecar.drivers.netns.parsing import IPV6, OUR_ROUTE_PROTOCOL, RT_TABLE_MAIN, family_of
from sidecar.drivers.netns.rtnetlink import GONE, ipv6_remedy, try_each
from sidecar.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.core.sights import Route
    from sidecar.drivers.netns.parsing import Hop
    from sidecar.drivers.netns.rtnetlink import Rtnetlink

_RT_SCOPE_LINK: Final = 253  # Source: <linux/rtnetlink.h>; what iproute2 gives an IPv4 route without a gateway

DEFAULT_METRIC: Final = 100
"""Of our default routes. At 0, Docker could not connect another network: its own default route would be there already.

Docker's is preferred for the moment until it is removed; the lock does not care where a route leads.
"""


def ensure(netlink: Rtnetlink, wanted: tuple[Route, ...], unwanted: tuple[Route, ...]) -> None:
    """Make `wanted` exist as routes of ours, then remove `unwanted`. Every one is tried. Raises LinkError."""
    names = netlink.names()
    indexes = {name: index for index, name in names.items()}
    hops = netlink.hops()
    ours = {hop.route(names) for hop in hops if hop.protocol == OUR_ROUTE_PROTOCOL}
    changes = [partial(_replace, netlink, route, indexes) for route in wanted if route not in ours]
    changes += [partial(_remove, netlink, hop, hop.route(names)) for hop in hops if hop.route(names) in unwanted]
    try_each(changes)


def describe(route: Route) -> str:
    """Return the route as ip(8) writes it."""
    via = f" via {route.gateway}" if route.gateway is not None else ""
    return f"{route.destination}{via} dev {route.device}"


def _replace(netlink: Rtnetlink, route: Route, indexes: Mapping[str, int]) -> None:
    attempted = f"set the route {describe(route)}"
    if route.device not in indexes:
        raise LinkError(attempted=attempted, got="no such device", remedy="create the device, or wait for it")
    is_ipv6 = route.destination.version == IPV6
    fields: dict[str, object] = {
        "family": family_of(route.destination),
        "dst": str(route.destination),
        "table": RT_TABLE_MAIN,
        "proto": OUR_ROUTE_PROTOCOL,
        "oif": indexes[route.device],
    }
    if route.destination.prefixlen == 0:
        fields["priority"] = DEFAULT_METRIC
    if route.gateway is not None:
        fields["gateway"] = str(route.gateway)
    elif not is_ipv6:
        fields["scope"] = _RT_SCOPE_LINK
    remedy = ipv6_remedy(route.device) if is_ipv6 else None
    netlink.write(attempted, "route replace", fields, remedy=remedy)


def _remove(netlink: Rtnetlink, hop: Hop, route: Route) -> None:
    netlink.write(f"remove the route {describe(route)}", "route del", _selector(hop), fine=GONE)


def _selector(hop: Hop) -> dict[str, object]:
    # The whole row as it was read, so that a route like it but of another metric, gateway or maker stays.
    selector: dict[str, object] = {
        "family": family_of(hop.destination),
        "dst": str(hop.destination),
        "table": RT_TABLE_MAIN,
        "proto": hop.protocol,
        "priority": hop.metric or 0,
    }
    if hop.is_multipath:  # it goes as a whole; the kernel would compare a single hop with the first one only
        return selector
    if hop.gateway is not None and hop.gateway.version == hop.destination.version:
        selector["gateway"] = str(hop.gateway)
    return {**selector, "oif": hop.index}
