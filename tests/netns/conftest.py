"""Fixtures of the tests that run in namespaces. The mark and the `world` fixture come from tests/conftest.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.netns.peers import Keys, MockPeer
from tests.netns.world import End

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.world import Namespace, World


class Stage:
    """A sidecar, its gateway, and two WireGuard servers a hop beyond it.

    sidecar eth0 10.77.0.2 ── 10.77.0.1 router 203.0.113.1 ── 203.0.113.10 primary
                                               192.0.2.1   ── 192.0.2.20   backup

    The sidecar has its default route by the router, as Docker gives one. Both servers have the far side 198.51.100.10.
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


@pytest.fixture
def stage(world: World) -> Iterator[Stage]:
    made = Stage(world)
    with made.primary, made.backup:
        yield made
