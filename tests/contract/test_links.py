"""The port `Links`, on the fake and on the kernel: one uplink with a gateway, and a bare tunnel."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, Protocol

import pytest

from sidecar.core.killswitch import Neighbour, Path, Uplink
from sidecar.core.model import Endpoint, MacAddress, PublicKey, Secret
from sidecar.core.sights import LinkSight, Route
from sidecar.drivers.netns import KernelLinks
from sidecar.errors import LinkError
from tests.fakes.links import FakeLinks
from tests.netns.world import End, World
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.core.model import Address
    from sidecar.ports import Links

UPLINK_MAC = MacAddress("02:00:00:00:00:02")
GATEWAY_MAC = MacAddress("02:00:00:00:00:01")
GATEWAY, GATEWAY6 = ip_address("10.77.0.1"), ip_address("2001:db8:77::1")
ADDRESS, ADDRESS6 = ip_interface("10.77.0.2/24"), ip_interface("2001:db8:77::2/64")
SILENT = ip_address("10.77.0.99")
ENDPOINT = ip_network("203.0.113.10/32")
EVERYTHING, EVERYTHING6 = ip_network("0.0.0.0/0"), ip_network("::/0")
FOREIGN_DEFAULT = Route(EVERYTHING, "eth0", GATEWAY)
TUNNEL = ip_interface("10.64.0.2/32")
TUNNEL6 = ip_interface("2001:db8:64::2/128")


class Stage(Protocol):
    links: Links

    def pull_cable(self) -> None: ...
    def remove_device(self, name: str) -> None: ...
    def add_device(self, name: str) -> None: ...


class FakeStage:
    def __init__(self) -> None:
        self.links: Links
        self._fake = self.links = FakeLinks()
        uplink = self._fake.add_device("eth0", ADDRESS, ADDRESS6, mac=UPLINK_MAC)
        uplink.answers = {GATEWAY: GATEWAY_MAC, GATEWAY6: GATEWAY_MAC}
        self._fake.add_device("wg0").up = False
        self._fake.add_foreign_route(FOREIGN_DEFAULT)

    def pull_cable(self) -> None:
        self._fake.devices["eth0"].carrier = False

    def remove_device(self, name: str) -> None:
        self._fake.remove_device(name)

    def add_device(self, name: str) -> None:
        self._fake.add_device(name)


class KernelStage:
    def __init__(self, world: World) -> None:
        self._world = world
        self.links: Links = KernelLinks()
        self.inside = world.namespace("inside")
        self._router = world.namespace("router")
        world.veth(
            End(self.inside, "eth0", [str(ADDRESS), str(ADDRESS6)], UPLINK_MAC),
            End(self._router, "down0", [f"{GATEWAY}/24", f"{GATEWAY6}/64"], GATEWAY_MAC),
        )
        # Not WireGuard, and that is the point: `Links` must not care.
        world.veth(End(self.inside, "wg0", up=False), End(self._router, "unused"))
        self.inside.ip("route", "add", "default", "via", str(GATEWAY))

    def pull_cable(self) -> None:
        self._router.ip("link", "set", "down0", "down")

    def remove_device(self, name: str) -> None:
        self.inside.ip("link", "delete", name)

    def add_device(self, name: str) -> None:
        self._world.veth(End(self.inside, name), End(self._router, f"of-{name}"))


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.netns)])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    if request.param == "fake":
        yield FakeStage()
        return
    with World() as world:
        made = KernelStage(world)
        with made.inside.entered():
            yield made


def the_uplink(stage: Stage, *next_hops: Address) -> Uplink:
    (uplink,) = stage.links.uplinks("wg0", next_hops)
    return uplink


def path(next_hop: Address, uplink: Uplink) -> Path:
    endpoint = Endpoint("e", next_hop, 51820, PublicKey(""), Secret(""), None, None, (), (), None)
    return Path(endpoint, uplink, ADDRESS.ip, next_hop)


def test_the_uplink_is_seen_with_all_that_the_lock_pins(stage: Stage) -> None:
    uplink = the_uplink(stage)
    assert (uplink.device, uplink.mac, uplink.mtu_bytes, uplink.carrier) == ("eth0", UPLINK_MAC, 1500, True)
    assert uplink.addresses == (ADDRESS, ADDRESS6)
    assert uplink.gateways == (GATEWAY,)
    assert uplink.neighbours == {}


def test_a_pulled_cable_is_a_lost_carrier(stage: Stage) -> None:
    stage.pull_cable()
    assert wait_until(lambda: not the_uplink(stage).carrier, 5, "the carrier to be gone")


def test_an_uplink_that_is_down_and_without_addresses_is_still_an_uplink(stage: Stage) -> None:
    stage.links.lower(("eth0",))
    stage.add_device("eth1")
    stage.links.lower(("eth1",))
    assert [(uplink.device, uplink.carrier) for uplink in stage.links.uplinks("wg0", ())] == [
        ("eth0", False),
        ("eth1", False),
    ]


def test_the_tunnel_is_an_uplink_to_whoever_names_another_tunnel(stage: Stage) -> None:
    assert [uplink.device for uplink in stage.links.uplinks("other", ())] == ["eth0", "wg0"]


@pytest.mark.parametrize("next_hop", [GATEWAY, GATEWAY6])
def test_a_resolved_next_hop_has_its_hardware_address(stage: Stage, next_hop: Address) -> None:
    stage.links.resolve((path(next_hop, the_uplink(stage)),))
    found = wait_until(
        lambda: the_uplink(stage, next_hop).neighbours.get(next_hop, Neighbour(None)).mac, 10, "an answer"
    )
    assert found == GATEWAY_MAC


def test_a_next_hop_that_nobody_answers_for_is_failed(stage: Stage) -> None:
    stage.links.resolve((path(SILENT, the_uplink(stage)),))
    failed = Neighbour(None, failed=True)
    assert wait_until(lambda: the_uplink(stage, SILENT).neighbours.get(SILENT) == failed, 10, "the kernel to give up")


def test_only_the_next_hops_that_matter_are_listed(stage: Stage) -> None:
    stage.links.resolve((path(SILENT, the_uplink(stage)), path(GATEWAY, the_uplink(stage))))
    assert wait_until(lambda: set(the_uplink(stage).neighbours) == {GATEWAY}, 10, "the gateway")


def test_resolving_on_a_device_that_is_gone_or_down_is_passed_over(stage: Stage) -> None:
    uplink = the_uplink(stage)
    stage.links.lower(("eth0",))
    stage.links.resolve((path(GATEWAY, uplink),))
    stage.remove_device("eth0")
    stage.links.resolve((path(GATEWAY, uplink),))


def test_a_device_that_does_not_exist_is_none(stage: Stage) -> None:
    assert stage.links.device("wg7") is None


def test_a_configured_device_has_exactly_these_addresses_this_mtu_and_is_up(stage: Stage) -> None:
    assert stage.links.device("wg0") == LinkSight(up=False, mtu_bytes=1500, addresses=())
    stage.links.configure_device("wg0", (TUNNEL, TUNNEL6), 1420)
    assert stage.links.device("wg0") == LinkSight(up=True, mtu_bytes=1420, addresses=(TUNNEL, TUNNEL6))
    other = ip_interface("10.64.0.3/24")
    stage.links.configure_device("wg0", (other,), 1300)
    assert stage.links.device("wg0") == LinkSight(up=True, mtu_bytes=1300, addresses=(other,))


def test_configuring_twice_is_configuring_once(stage: Stage) -> None:
    for _ in range(2):
        stage.links.configure_device("wg0", (TUNNEL,), 1420)
    assert stage.links.device("wg0") == LinkSight(up=True, mtu_bytes=1420, addresses=(TUNNEL,))


def test_configuring_a_device_that_is_gone_is_an_error_with_a_remedy(stage: Stage) -> None:
    stage.remove_device("wg0")
    with pytest.raises(LinkError, match="configure wg0: no such device; create the tunnel first"):
        stage.links.configure_device("wg0", (TUNNEL,), 1420)


def test_the_routes_that_the_kernel_makes_for_addresses_are_not_listed(stage: Stage) -> None:
    assert stage.links.routes() == (FOREIGN_DEFAULT,)


def test_the_tunnel_takes_the_default_route_and_the_uplink_keeps_the_endpoints(stage: Stage) -> None:
    stage.links.configure_device("wg0", (TUNNEL, TUNNEL6), 1420)
    routes = (Route(ENDPOINT, "eth0", GATEWAY), Route(EVERYTHING, "wg0", None), Route(EVERYTHING6, "wg0", None))
    for _ in range(2):
        stage.links.ensure_routes(routes, (FOREIGN_DEFAULT,))
        assert set(stage.links.routes()) == set(routes)


def test_the_gateway_is_still_known_from_our_own_host_routes(stage: Stage) -> None:
    stage.links.ensure_routes((Route(ENDPOINT, "eth0", GATEWAY),), (FOREIGN_DEFAULT,))
    assert the_uplink(stage).gateways == (GATEWAY,)
    stage.links.ensure_routes((), (Route(ENDPOINT, "eth0", GATEWAY),))
    assert the_uplink(stage).gateways == ()


def test_removing_a_route_that_is_absent_is_success(stage: Stage) -> None:
    stage.links.ensure_routes((), (Route(ENDPOINT, "eth0", GATEWAY), Route(ENDPOINT, "gone0", None)))
    assert stage.links.routes() == (FOREIGN_DEFAULT,)


def test_an_ipv6_default_route_by_the_uplink_goes_too(stage: Stage) -> None:
    stage.links.configure_device("wg0", (TUNNEL6,), 1420)
    by_uplink, by_tunnel = Route(EVERYTHING6, "eth0", GATEWAY6), Route(EVERYTHING6, "wg0", None)
    stage.links.ensure_routes((by_uplink,), ())
    assert the_uplink(stage).gateways == (GATEWAY, GATEWAY6)
    stage.links.ensure_routes((by_tunnel,), (by_uplink,))
    assert set(stage.links.routes()) == {FOREIGN_DEFAULT, by_tunnel}


def test_routes_come_back_after_their_device_did(stage: Stage) -> None:
    stage.links.configure_device("wg0", (TUNNEL,), 1420)
    route = Route(EVERYTHING, "wg0", None)
    stage.links.ensure_routes((route,), (FOREIGN_DEFAULT,))
    stage.remove_device("wg0")
    assert stage.links.routes() == ()
    stage.add_device("wg0")
    stage.links.configure_device("wg0", (TUNNEL,), 1420)
    stage.links.ensure_routes((route,), (FOREIGN_DEFAULT,))
    assert stage.links.routes() == (route,)


def test_a_route_by_a_device_that_is_gone_is_an_error(stage: Stage) -> None:
    with pytest.raises(LinkError, match="no such device"):
        stage.links.ensure_routes((Route(ENDPOINT, "gone0", None),), ())


def test_lowered_links_carry_nothing_and_raised_ones_do_again(stage: Stage) -> None:
    stage.links.lower(("gone0", "eth0"))
    sight = stage.links.device("eth0")
    assert sight is not None
    assert not sight.up
    assert stage.links.routes() == ()
    stage.links.raise_(("eth0", "gone0"))
    sight = stage.links.device("eth0")
    assert sight is not None
    assert sight.up
    assert wait_until(lambda: the_uplink(stage).carrier, 5, "the carrier")


def test_a_link_that_was_lowered_and_raised_has_all_its_addresses_again(stage: Stage) -> None:
    """The kernel takes IPv6 addresses from a link that goes down."""
    stage.links.lower(("eth0",))
    stage.links.raise_(("eth0",))
    assert the_uplink(stage).addresses == (ADDRESS, ADDRESS6)
