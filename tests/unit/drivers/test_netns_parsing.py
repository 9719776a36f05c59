from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from socket import AF_INET, AF_INET6
from typing import Any

import pytest

from sidecar.core.killswitch import Neighbour
from sidecar.core.sights import Route
from sidecar.drivers.netns.parsing import (
    NO_MAC,
    Hop,
    choose_gateways,
    has_carrier,
    is_uplink,
    parse_addresses,
    parse_mac,
    parse_neighbour,
    parse_route,
)

UP, LOOPBACK, LOWER_UP = 0x1, 0x8, 0x10000
ETHERNET, IP_IN_IP = 1, 768
MAIN, LOCAL = 254, 255
UNICAST, BLACKHOLE = 1, 6
KERNEL, STATIC, OURS = 2, 4, 73
DEFAULT, DEFAULT6 = ip_network("0.0.0.0/0"), ip_network("::/0")
HOST = ip_network("203.0.113.9/32")
ONE, TWO, SIX = ip_address("10.0.0.1"), ip_address("10.0.0.2"), ip_address("2001:db8::1")


def link(
    name: str = "eth0", *, flags: int = UP | LOWER_UP, kind: int = ETHERNET, mac: str | None = None
) -> dict[str, Any]:
    attributes = [("IFLA_IFNAME", name), ("IFLA_MTU", 1500)] + ([("IFLA_ADDRESS", mac)] if mac else [])
    return {"index": 2, "flags": flags, "ifi_type": kind, "attrs": attributes}


def route(family: int = AF_INET, **fields: Any) -> dict[str, Any]:
    header = {"family": family, "dst_len": 0, "table": MAIN, "type": UNICAST, "proto": STATIC}
    attributes = [(key, value) for key, value in fields.items() if key.isupper()]
    return {**header, **{key: value for key, value in fields.items() if key.islower()}, "attrs": attributes}


def hop(destination: Any = DEFAULT, gateway: Any = ONE, protocol: int = STATIC, metric: int | None = None) -> Hop:
    return Hop(destination, 2, gateway, protocol, metric)


def test_every_device_but_loopback_and_tunnel_is_an_uplink() -> None:
    assert is_uplink(link("eth0"), "wg0")
    assert is_uplink(link("tunl0", flags=0, kind=IP_IN_IP), "wg0")
    assert not is_uplink(link("wg0"), "wg0")
    assert not is_uplink(link("lo", flags=UP | LOOPBACK), "wg0")


def test_a_device_that_merely_calls_itself_lo_is_an_uplink() -> None:
    assert is_uplink(link("lo", flags=UP), "wg0")


@pytest.mark.parametrize(("flags", "carrier"), [(UP | LOWER_UP, True), (UP, False), (0, False), (LOWER_UP, False)])
def test_a_carrier_needs_both_the_will_and_the_wire(flags: int, *, carrier: bool) -> None:
    assert has_carrier(link(flags=flags)) is carrier


def test_hardware_addresses_are_lower_case_and_only_those_of_ethernet() -> None:
    assert parse_mac(link(mac="02:AB:00:00:00:01")) == "02:ab:00:00:00:01"
    assert parse_mac(link("tunl0", kind=IP_IN_IP, mac="00:00:00:00")) == NO_MAC
    assert parse_mac(link("wg0", kind=65534)) == NO_MAC


def test_addresses_are_those_of_the_link_sorted_and_without_link_local_ipv6() -> None:
    def address(index: int, prefix: int, **attributes: str) -> dict[str, Any]:
        return {"index": index, "prefixlen": prefix, "attrs": list(attributes.items())}

    messages = [
        address(2, 64, IFA_ADDRESS="fe80::1"),
        address(2, 64, IFA_ADDRESS="2001:db8::2"),
        address(3, 24, IFA_ADDRESS="10.9.9.9", IFA_LOCAL="10.9.9.9"),
        address(2, 32, IFA_ADDRESS="10.0.0.9", IFA_LOCAL="10.0.0.2"),
        address(2, 16, IFA_ADDRESS="169.254.0.2", IFA_LOCAL="169.254.0.2"),
    ]
    assert parse_addresses(messages, 2) == (
        ip_interface("10.0.0.2/32"),
        ip_interface("169.254.0.2/16"),
        ip_interface("2001:db8::2/64"),
    )


def test_a_route_by_a_gateway() -> None:
    message = route(RTA_TABLE=MAIN, RTA_OIF=2, RTA_GATEWAY="10.0.0.1", RTA_PRIORITY=50)
    assert list(parse_route(message)) == [Hop(DEFAULT, 2, ONE, STATIC, 50)]


def test_a_route_without_a_gateway_is_on_link() -> None:
    message = route(AF_INET6, dst_len=64, RTA_DST="2001:db8::", RTA_OIF=7)
    assert list(parse_route(message)) == [Hop(ip_network("2001:db8::/64"), 7, None, STATIC, None)]


def test_an_ipv6_default_route_is_for_everything_of_ipv6() -> None:
    assert [found.destination for found in parse_route(route(AF_INET6, RTA_OIF=2))] == [DEFAULT6]


def test_a_multipath_route_is_one_hop_a_path() -> None:
    paths = [{"oif": 2, "attrs": [("RTA_GATEWAY", "10.0.0.1")]}, {"oif": 3, "attrs": [("RTA_GATEWAY", "10.0.0.2")]}]
    hops = list(parse_route(route(RTA_MULTIPATH=paths)))
    assert [(found.index, found.gateway, found.is_multipath) for found in hops] == [(2, ONE, True), (3, TWO, True)]


def test_an_ipv4_route_by_an_ipv6_neighbour_names_it_and_makes_it_no_gateway_of_ipv4() -> None:
    (found,) = parse_route(route(RTA_OIF=2, RTA_VIA={"family": AF_INET6, "addr": "2001:db8::1"}))
    assert found.gateway == SIX
    assert choose_gateways([found]) == ()


@pytest.mark.parametrize(
    "message",
    [
        route(RTA_OIF=2, proto=KERNEL),
        route(RTA_OIF=2, type=BLACKHOLE),
        route(RTA_OIF=2, table=LOCAL),
        route(RTA_OIF=2, table=MAIN, RTA_TABLE=1000),
        route(),
    ],
)
def test_what_is_not_a_unicast_route_of_the_main_table_by_a_device_is_left_out(message: dict[str, Any]) -> None:
    assert list(parse_route(message)) == []


def test_the_gateway_is_that_of_the_best_default_route() -> None:
    assert choose_gateways([hop(gateway=ONE, metric=100), hop(gateway=TWO)]) == (TWO,)


def test_without_a_default_route_the_gateway_is_that_of_our_own_host_routes() -> None:
    assert choose_gateways([hop(HOST, TWO, OURS)]) == (TWO,)
    assert choose_gateways([hop(HOST, TWO, OURS), hop(gateway=ONE)]) == (ONE,)
    assert choose_gateways([hop(HOST, TWO, STATIC)]) == ()
    assert choose_gateways([hop(ip_network("203.0.113.0/24"), TWO, OURS)]) == ()


def test_there_is_one_gateway_a_family() -> None:
    assert choose_gateways([hop(DEFAULT6, SIX), hop(gateway=ONE), hop(gateway=TWO)]) == (ONE, SIX)


def test_a_route_by_a_device_that_vanished_meanwhile_names_its_index() -> None:
    assert hop().route({}) == Route(DEFAULT, "device 2", ONE)


def neighbour(state: int, mac: str | None = "02:00:00:00:00:0A") -> dict[str, Any]:
    attributes = [("NDA_DST", "10.0.0.1")] + ([("NDA_LLADDR", mac)] if mac else [])
    return {"ifindex": 2, "state": state, "attrs": attributes}


@pytest.mark.parametrize("state", [0x02, 0x04, 0x08, 0x10, 0x80])
def test_a_valid_neighbour_has_its_hardware_address(state: int) -> None:
    assert parse_neighbour(neighbour(state)) == (2, ONE, Neighbour("02:00:00:00:00:0a"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("state", "failed"), [(0x00, False), (0x01, False), (0x20, True), (0x40, False)])
def test_any_other_neighbour_has_none(state: int, *, failed: bool) -> None:
    assert parse_neighbour(neighbour(state)) == (2, ONE, Neighbour(None, failed=failed))


def test_a_row_that_is_not_about_an_address_is_none() -> None:
    assert parse_neighbour({"ifindex": 2, "state": 0x80, "attrs": [("NDA_LLADDR", "02:00:00:00:00:0a")]}) is None
