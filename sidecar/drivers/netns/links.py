"""The port `Links`, in the network namespace of the calling thread.

Every call opens a socket of its own (0.5 ms): nothing is shared between threads, and nothing outlives a call.
What is right already is not written again, so that our own work does not come back to us as a notification.
"""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING, Final

from sidecar.core.killswitch import Uplink
from sidecar.core.sights import LinkSight, Route
from sidecar.drivers.netns import addresses as own_addresses
from sidecar.drivers.netns import routes as own_routes
from sidecar.drivers.netns.parsing import (
    IFF_UP,
    attributes,
    choose_gateways,
    has_carrier,
    is_uplink,
    parse_addresses,
    parse_kind,
    parse_mac,
    parse_neighbour,
)
from sidecar.drivers.netns.rtnetlink import GONE, Rtnetlink, try_each

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sidecar.core.killswitch import Path
    from sidecar.core.model import Address, Interface

# Source: <linux/neighbour.h>
_NTF_USE: Final = 0x01
_NUD_NONE: Final = 0x00


class KernelLinks:
    """`Links`, as the kernel has them."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[Interface, ...]] = {}

    def uplinks(self, tunnel_device: str, next_hops: Iterable[Address]) -> tuple[Uplink, ...]:
        """See `Links.uplinks`. Link-local IPv6 addresses are left out: no outer packet leaves from one."""
        with Rtnetlink("look at the uplinks") as netlink:
            links = [link for link in netlink.links() if is_uplink(link, tunnel_device)]
            addresses = netlink.addresses()
            hops = netlink.hops()
            rows = [row for row in map(parse_neighbour, netlink.neighbours()) if row is not None]
        wanted = set(next_hops)
        found = []
        for link in links:
            own, index = attributes(link), link["index"]
            gateways = choose_gateways(hop for hop in hops if hop.index == index)
            relevant = wanted.union(gateways)
            uplink = Uplink(
                device=own["IFLA_IFNAME"],
                index=index,
                mac=parse_mac(link),
                addresses=parse_addresses(addresses, index),
                gateways=gateways,
                neighbours={address: row for at, address, row in rows if at == index and address in relevant},
                carrier=has_carrier(link),
                mtu_bytes=own["IFLA_MTU"],
                kind=parse_kind(link),
            )
            found.append(uplink)
        return tuple(sorted(found, key=lambda uplink: uplink.device))

    def device(self, device: str) -> LinkSight | None:
        """See `Links.device`."""
        with Rtnetlink(f"look at {device}") as netlink:
            link = netlink.link(device)
            if link is None:
                return None
            addresses = parse_addresses(netlink.addresses(), link["index"])
            return LinkSight(bool(link["flags"] & IFF_UP), attributes(link)["IFLA_MTU"], addresses)

    def routes(self) -> tuple[Route, ...]:
        """See `Links.routes`."""
        with Rtnetlink("list the routes") as netlink:
            names = netlink.names()
            return tuple(hop.route(names) for hop in netlink.hops() if hop.index in names)

    def configure_device(self, device: str, addresses: tuple[Interface, ...], mtu_bytes: int) -> None:
        """See `Links.configure_device`."""
        with Rtnetlink(f"configure {device}") as netlink:
            own_addresses.configure(netlink, device, addresses, mtu_bytes)

    def ensure_routes(self, routes: tuple[Route, ...], remove: tuple[Route, ...]) -> None:
        """See `Links.ensure_routes`. Every one is tried. An IPv4 route of metric 0 takes the place of its like."""
        with Rtnetlink("look at the routes") as netlink:
            own_routes.ensure(netlink, routes, remove)

    def resolve(self, paths: tuple[Path, ...]) -> None:
        """See `Links.resolve`. Every one is tried; a device that is gone or down is passed over.

        NTF_USE has the kernel behave as if a packet were waiting for the neighbour: it asks on the link right away,
        also where an earlier question failed. Source: linux net/core/neighbour.c, neigh_add().
        """
        with Rtnetlink("resolve next hops") as netlink:
            indexes = netlink.indexes()
            questions = {(path.uplink.device, path.next_hop) for path in paths if path.uplink.device in indexes}
            try_each(
                partial(_ask, netlink, device, indexes[device], next_hop)
                for device, next_hop in sorted(questions, key=repr)
            )

    def lower(self, devices: tuple[str, ...]) -> None:
        """See `Links.lower`. The IPv6 addresses, which the kernel takes from a link that goes down, are remembered."""
        with Rtnetlink("set links down") as netlink:
            indexes = netlink.indexes()
            addresses = netlink.addresses()
            for device in indexes.keys() & set(devices):
                present = own_addresses.ipv6_of(addresses, indexes[device])
                self._taken[device] = present or self._taken.get(device, ())
            try_each(
                partial(_set_state, netlink, device, indexes[device], "down") for device in _there(devices, indexes)
            )

    def raise_(self, devices: tuple[str, ...]) -> None:
        """See `Links.raise_`. What `lower` remembered comes back, unless this process has been restarted since."""
        with Rtnetlink("set links up") as netlink:
            indexes = netlink.indexes()
            there = _there(devices, indexes)
            changes = [partial(_set_state, netlink, device, indexes[device], "up") for device in there]
            for device in there:
                taken = self._taken.pop(device, ())
                changes += [partial(own_addresses.add, netlink, device, indexes[device], address) for address in taken]
            try_each(changes)


def _there(devices: tuple[str, ...], indexes: Mapping[str, int]) -> list[str]:
    return [device for device in devices if device in indexes]


def _ask(netlink: Rtnetlink, device: str, index: int, next_hop: Address) -> None:
    fields = {"dst": str(next_hop), "ifindex": index, "flags": _NTF_USE, "state": _NUD_NONE}
    fine = frozenset({errno.ENODEV, errno.ENETDOWN})
    netlink.write(f"resolve {next_hop} on {device}", "neigh replace", fields, fine=fine)


def _set_state(netlink: Rtnetlink, device: str, index: int, state: str) -> None:
    netlink.write(f"set {device} {state}", "link set", {"index": index, "state": state}, fine=GONE)
