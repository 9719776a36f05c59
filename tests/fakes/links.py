"""A namespace's links, addresses, routes and neighbours in memory, for tests that need no kernel."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from sidecar.core.killswitch import Neighbour, Uplink
from sidecar.core.model import MacAddress
from sidecar.core.sights import LinkSight, Route
from sidecar.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sidecar.core.killswitch import Path
    from sidecar.core.model import Address, Interface


@dataclass
class FakeDevice:
    """One link. `lo` is never listed. `answers` are the neighbours that would answer if they were asked."""

    name: str
    index: int
    mac: MacAddress
    addresses: tuple[Interface, ...] = ()
    mtu_bytes: int = 1500
    up: bool = True
    carrier: bool = True
    neighbours: dict[Address, Neighbour] = field(default_factory=dict)
    answers: dict[Address, MacAddress] = field(default_factory=dict)


class FakeLinks:
    """`Links` and `Changes` on one imagined namespace.

    A test changes it through `add_device`, `remove_device`, `set_routes` and the devices themselves; set `failing` to
    an error and every method of the port raises it.
    """

    def __init__(self) -> None:
        self.devices: dict[str, FakeDevice] = {}
        self.ours: list[Route] = []
        self.foreign: list[Route] = []
        self.failing: LinkError | None = None
        self._on_change: Callable[[str], None] | None = None

    # --- what a test does to the world

    def add_device(self, name: str, *addresses: Interface, mac: str = "02:00:00:00:00:02") -> FakeDevice:
        made = FakeDevice(name, 2 + len(self.devices), MacAddress(mac), addresses)
        self.devices[name] = made
        self._tell("link")
        return made

    def remove_device(self, name: str) -> None:
        """Remove a device, with its routes and neighbours, as the kernel does."""
        self.devices.pop(name, None)
        self._drop_routes(name)
        self._tell("link")

    def add_foreign_route(self, route: Route) -> None:
        """Add a route that somebody else made, such as Docker's default route."""
        self.foreign.append(route)
        self._tell("route")

    # --- Links

    def uplinks(self, tunnel_device: str, next_hops: Iterable[Address]) -> tuple[Uplink, ...]:
        self._maybe_fail()
        wanted = set(next_hops)
        seen = []
        for device in sorted(self.devices.values(), key=lambda device: device.name):
            if device.name == tunnel_device:
                continue
            gateways = self._gateways(device.name)
            relevant = wanted.union(gateways)
            rows = {address: row for address, row in device.neighbours.items() if address in relevant}
            carrier = device.up and device.carrier
            seen.append(
                Uplink(
                    device.name,
                    device.index,
                    device.mac,
                    _without_link_local(device.addresses),
                    gateways,
                    rows,
                    carrier,
                    device.mtu_bytes,
                )
            )
        return tuple(seen)

    def device(self, device: str) -> LinkSight | None:
        self._maybe_fail()
        found = self.devices.get(device)
        return LinkSight(found.up, found.mtu_bytes, _without_link_local(found.addresses)) if found else None

    def routes(self) -> tuple[Route, ...]:
        self._maybe_fail()
        return (*self.foreign, *self.ours)

    def configure_device(self, device: str, addresses: tuple[Interface, ...], mtu_bytes: int) -> None:
        self._maybe_fail()
        if device not in self.devices:
            raise LinkError(attempted=f"configure {device}", got="no such device", remedy="create the tunnel first")
        found = self.devices[device]
        link_local = tuple(i for i in found.addresses if i not in _without_link_local(found.addresses))
        found.addresses = _ordered((*addresses, *link_local))
        found.mtu_bytes, found.up = mtu_bytes, True
        self._tell("address")

    def ensure_routes(self, routes: tuple[Route, ...], remove: tuple[Route, ...]) -> None:
        self._maybe_fail()
        for route in routes:
            if route.device not in self.devices or not self.devices[route.device].up:
                raise LinkError(attempted=f"set {route}", got="no such device", remedy="create the device first")
        for route in routes:
            self.foreign = [other for other in self.foreign if other.destination != route.destination]
            self.ours = [other for other in self.ours if other.destination != route.destination] + [route]
        self.foreign = [route for route in self.foreign if route not in remove]
        self.ours = [route for route in self.ours if route not in remove]
        self._tell("route")

    def resolve(self, paths: tuple[Path, ...]) -> None:
        self._maybe_fail()
        for path in paths:
            device = self.devices.get(path.uplink.device)
            if device is not None and device.up:
                mac = device.answers.get(path.next_hop)
                device.neighbours[path.next_hop] = Neighbour(mac, failed=mac is None)
                self._tell("neighbour")

    def lower(self, devices: tuple[str, ...]) -> None:
        self._maybe_fail()
        for name in devices:
            if name in self.devices:
                self.devices[name].up = False
                self.devices[name].neighbours.clear()
                self._drop_routes(name)
        self._tell("link")

    def raise_(self, devices: tuple[str, ...]) -> None:
        self._maybe_fail()
        for name in devices:
            if name in self.devices:
                self.devices[name].up = True
        self._tell("link")

    # --- Changes

    def listen(self, on_change: Callable[[str], None]) -> None:
        self._maybe_fail()
        self._on_change = on_change

    def is_alive(self) -> bool:
        return self._on_change is not None

    def close(self) -> None:
        self._on_change = None

    # --- behind the curtain

    def _gateways(self, device: str) -> tuple[Address, ...]:
        chosen: dict[int, Address] = {}
        defaults = [route for route in self.routes() if route.destination.prefixlen == 0]
        host_routes = [route for route in self.ours if route.destination.num_addresses == 1]
        for route in defaults + host_routes:
            if route.device == device and route.gateway is not None:
                chosen.setdefault(route.gateway.version, route.gateway)
        return tuple(chosen[version] for version in sorted(chosen))

    def _drop_routes(self, device: str) -> None:
        self.ours = [route for route in self.ours if route.device != device]
        self.foreign = [route for route in self.foreign if route.device != device]

    def _maybe_fail(self) -> None:
        if self.failing is not None:
            raise self.failing

    def _tell(self, kind: str) -> None:
        if self._on_change is not None:
            self._on_change(kind)


def _without_link_local(addresses: tuple[Interface, ...]) -> tuple[Interface, ...]:
    return _ordered(i for i in addresses if not (isinstance(i.ip, IPv6Address) and i.ip.is_link_local))


def _ordered(addresses: Iterable[Interface]) -> tuple[Interface, ...]:
    return tuple(sorted(addresses, key=lambda i: (i.version, i.packed, i.network.prefixlen)))
