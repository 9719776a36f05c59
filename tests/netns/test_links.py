"""The kernel's own ways with links, addresses and routes, which a fake does not have."""

from __future__ import annotations

import os
import queue
import threading
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.core.sights import Route
from sidecar.drivers.changes import KernelChanges
from sidecar.drivers.netns import NO_MAC, KernelLinks
from sidecar.errors import LinkError
from tests.netns.world import End

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.world import Namespace, World

GATEWAY, OTHER_GATEWAY, GATEWAY6 = ip_address("10.77.0.1"), ip_address("10.77.0.254"), ip_address("2001:db8:77::1")
EVERYTHING, EVERYTHING6 = ip_network("0.0.0.0/0"), ip_network("::/0")
TUNNEL, TUNNEL6 = ip_interface("10.64.0.2/32"), ip_interface("2001:db8:64::2/128")


@pytest.fixture
def inside(world: World) -> Iterator[Namespace]:
    inside, router = world.namespace("inside"), world.namespace("router")
    uplink = End(inside, "eth0", ["10.77.0.2/24", "2001:db8:77::2/64"])
    world.veth(uplink, End(router, "down0", [f"{GATEWAY}/24", f"{GATEWAY6}/64"]))
    world.veth(End(inside, "wg0", up=False), End(router, "unused"))
    with inside.entered():
        yield inside


@pytest.fixture
def links() -> KernelLinks:
    return KernelLinks()


def test_where_ipv6_is_disabled_the_error_names_the_sysctl(inside: Namespace, links: KernelLinks) -> None:
    inside.sysctl("net/ipv6/conf/wg0/disable_ipv6", "1")
    with pytest.raises(LinkError, match=r"2001:db8:64::2/128 to wg0: .*net\.ipv6\.conf\.default\.disable_ipv6"):
        links.configure_device("wg0", (TUNNEL, TUNNEL6), 1420)
    with pytest.raises(LinkError, match=r"::/0 dev wg0: .*net\.ipv6\.conf\.default\.disable_ipv6"):
        links.ensure_routes((Route(EVERYTHING6, "wg0", None),), ())


def test_an_mtu_too_small_for_ipv6_is_an_error_that_says_so(inside: Namespace, links: KernelLinks) -> None:
    assert inside.role == "inside"
    with pytest.raises(LinkError, match="IPv6 needs an MTU of 1280 bytes or more"):
        links.configure_device("wg0", (TUNNEL6,), 1200)


def test_one_route_that_fails_does_not_keep_the_others_from_being_set_and_removed(
    inside: Namespace, links: KernelLinks
) -> None:
    inside.ip("route", "add", "default", "via", str(GATEWAY))
    good = Route(ip_network("203.0.113.9/32"), "eth0", GATEWAY)
    bad = Route(ip_network("203.0.113.8/32"), "eth0", ip_address("192.0.2.77"))
    with pytest.raises(LinkError, match=r"203\.0\.113\.8/32 via 192\.0\.2\.77 dev eth0: Network is unreachable"):
        links.ensure_routes((bad, good), (Route(EVERYTHING, "eth0", GATEWAY),))
    assert links.routes() == (good,)


def test_our_routes_bear_our_mark(inside: Namespace, links: KernelLinks) -> None:
    links.configure_device("wg0", (TUNNEL, TUNNEL6), 1420)
    links.ensure_routes((Route(EVERYTHING, "wg0", None), Route(EVERYTHING6, "wg0", None)), ())
    assert inside.ip("route", "show", "proto", "73").strip() == "default dev wg0 scope link metric 100"
    assert inside.ip("-6", "route", "show", "proto", "73").split()[:3] == ["default", "dev", "wg0"]


def test_a_route_is_removed_whatever_its_metric_and_its_like_by_another_gateway_stays(
    inside: Namespace, links: KernelLinks
) -> None:
    for gateway, metric in ((GATEWAY, 100), (GATEWAY, 200), (OTHER_GATEWAY, 300)):
        inside.ip("route", "add", "default", "via", str(gateway), "metric", str(metric))
    links.ensure_routes((), (Route(EVERYTHING, "eth0", GATEWAY),))
    assert links.routes() == (Route(EVERYTHING, "eth0", OTHER_GATEWAY),)


def test_removing_a_route_without_a_gateway_leaves_the_one_with_a_gateway(
    inside: Namespace, links: KernelLinks
) -> None:
    inside.ip("route", "add", "default", "via", str(GATEWAY))
    links.ensure_routes((), (Route(EVERYTHING, "eth0", None),))
    assert links.routes() == (Route(EVERYTHING, "eth0", GATEWAY),)


def test_a_multipath_route_is_seen_hop_by_hop_and_removed_as_a_whole(inside: Namespace, links: KernelLinks) -> None:
    hops = [word for gateway in (GATEWAY, OTHER_GATEWAY) for word in ("nexthop", "via", str(gateway), "dev", "eth0")]
    inside.ip("route", "add", "default", *hops)
    both = (Route(EVERYTHING, "eth0", GATEWAY), Route(EVERYTHING, "eth0", OTHER_GATEWAY))
    assert links.routes() == both
    links.ensure_routes((), (both[1],))
    assert links.routes() == ()


def test_a_link_without_ethernet_addresses_is_an_uplink_like_any_other(inside: Namespace, links: KernelLinks) -> None:
    inside.ip("tuntap", "add", "mode", "tun", "name", "idle0")
    idle = next(uplink for uplink in links.uplinks("wg0", ()) if uplink.device == "idle0")
    assert (idle.mac, idle.addresses, idle.gateways, idle.carrier) == (NO_MAC, (), (), False)


def drain(told: queue.SimpleQueue[str], quiet_s: float) -> list[str]:
    """Return what was told until nothing more was for `quiet_s`."""
    heard = []
    try:
        while True:
            heard.append(told.get(timeout=quiet_s))
    except queue.Empty:
        return heard


def test_what_is_right_already_is_not_written_again(inside: Namespace, links: KernelLinks) -> None:
    """Else our own work would come back as a notification, and the watchdog would never rest."""
    assert inside.role == "inside"
    routes = (Route(EVERYTHING, "wg0", None), Route(EVERYTHING6, "wg0", None))

    def converge() -> None:
        links.configure_device("wg0", (TUNNEL, TUNNEL6), 1420)
        links.ensure_routes(routes, (Route(EVERYTHING, "eth0", GATEWAY),))

    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    changes = KernelChanges()
    changes.listen(told.put)
    converge()
    assert told.get(timeout=10)  # the listener hears what is written
    drain(told, 3)  # link-local addresses appear by themselves, within two seconds
    converge()
    assert drain(told, 1) == []
    changes.close()


def test_calls_from_several_threads_do_not_disturb_each_other_and_leave_nothing_open(
    inside: Namespace, links: KernelLinks
) -> None:
    assert inside.role == "inside"
    expected = links.uplinks("wg0", ())
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    answers: list[object] = []

    def look() -> None:
        answers.extend(links.uplinks("wg0", ()) for _ in range(20))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [expected] * 80
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_without_the_privilege_the_error_names_it(inside: Namespace, links: KernelLinks) -> None:
    """A child gives up NET_ADMIN and reports; the parent must keep it."""
    assert inside.role == "inside"
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.setresuid(65534, 65534, 65534)
        try:
            links.lower(("eth0",))
            os.write(write_end, b"it worked")
        except LinkError as error:
            os.write(write_end, str(error).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as report:
        assert report.read() == (
            "set eth0 down: Operation not permitted (EPERM); give the container NET_ADMIN (cap_add)"
        )
    os.waitpid(child, 0)


def test_docker_can_add_a_default_route_of_its_own_beside_ours_and_it_is_removed(
    inside: Namespace, links: KernelLinks
) -> None:
    wanted = (Route(EVERYTHING, "wg0", None),)
    links.configure_device("wg0", (TUNNEL, TUNNEL6), 1420)
    links.ensure_routes(wanted, ())
    inside.ip("route", "add", "default", "via", str(GATEWAY))  # what `docker network connect` does; it must not fail
    foreign = tuple(route for route in links.routes() if route not in wanted)
    assert foreign
    links.ensure_routes(wanted, foreign)
    assert links.routes() == wanted
