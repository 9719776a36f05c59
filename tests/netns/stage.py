"""The usual scene: a sidecar, its gateway, and two WireGuard servers beyond it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from tests.netns.peers import Keys, MockPeer
from tests.netns.world import End

if TYPE_CHECKING:
    from tests.netns.world import Namespace, World


class Stage:
    """A sidecar, its gateway, and two WireGuard servers a hop beyond it.

    sidecar eth0 10.77.0.2 ── 10.77.0.1 router 203.0.113.1 ── 203.0.113.10 primary
                                               192.0.2.1   ── 192.0.2.20   backup

    The servers run within the `with` block; both have the far side 198.51.100.10. The sidecar has its default route by
    the router, as Docker gives one.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.keys = Keys.generate()
        self.sidecar = world.namespace("sidecar")
        self.router = world.namespace("router")
        world.veth(
            End(self.sidecar, "eth0", ["10.77.0.2/24"], "02:00:00:00:00:02"),
            End(self.router, "down0", ["10.77.0.1/24"], "02:00:00:00:00:01"),
        )
        self.sidecar.ip("route", "add", "default", "via", "10.77.0.1")
        self.router.sysctl("net/ipv4/ip_forward", "1")
        self.primary = self._peer("primary", "203.0.113.10", "203.0.113.1", "up1")
        self.backup = self._peer("backup", "192.0.2.20", "192.0.2.1", "up2")

    def _peer(self, role: str, address: str, router_address: str, router_device: str) -> MockPeer:
        namespace: Namespace = self.world.namespace(role)
        self.world.veth(
            End(namespace, "eth0", [f"{address}/24"]), End(self.router, router_device, [f"{router_address}/24"])
        )
        namespace.ip("route", "add", "default", "via", router_address)
        return MockPeer(self.world, namespace)

    def __enter__(self) -> Self:
        self._servers = ExitStack()
        for server in (self.primary, self.backup):
            self._servers.enter_context(server)
        return self

    def __exit__(self, *_: object) -> None:
        self._servers.close()
