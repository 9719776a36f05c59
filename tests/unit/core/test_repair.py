from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

import pytest

from sidecar.core import repair
from sidecar.core.killswitch import Neighbour, path_to
from sidecar.core.messages import ConfigurePeer, EnsureDevice, EnsureResolver, EnsureRoutes, Rebind
from sidecar.core.model import Secret
from sidecar.core.sights import LinkSight, Route
from tests import builders as a

if TYPE_CHECKING:
    from sidecar.core.sights import Survey

PLAN = a.plan()
WHOLE = a.survey()
DEVICE = EnsureDevice("wg0", PLAN.addresses, 1420)
PEER = ConfigurePeer("wg0", a.PRIMARY, a.LISTEN_PORTS[0], a.FWMARK)
LINK = LinkSight(up=True, mtu_bytes=1420, addresses=PLAN.addresses)


def faults(survey: Survey) -> tuple[repair.Fault, ...]:
    return repair.faults(PLAN, a.PRIMARY, a.LISTEN_PORTS[0], survey)


def only_fault(survey: Survey) -> repair.Fault:
    found = faults(survey)
    assert len(found) == 1, found
    return found[0]


def test_a_whole_world_has_no_fault() -> None:
    assert faults(WHOLE) == ()
    assert repair.excuse(path_to(a.PRIMARY, WHOLE.uplinks), ()) is None


@pytest.mark.parametrize(
    ("link", "words"),
    [
        (replace(LINK, up=False), "is down"),
        (replace(LINK, mtu_bytes=1500), "MTU 1500 instead of 1420"),
        (replace(LINK, addresses=()), "other addresses"),
        (replace(LINK, addresses=(*PLAN.addresses, ip_interface("10.9.9.9/32"))), "other addresses"),
    ],
)
def test_a_device_that_is_not_as_it_should_be_is_made_so(link: LinkSight, words: str) -> None:
    fault = only_fault(replace(WHOLE, tunnel=a.tunnel(link=link)))
    assert words in fault.text
    assert fault.effect == DEVICE
    assert fault.explains_silence


def test_a_missing_device_is_made_and_given_its_peer() -> None:
    assert [fault.effect for fault in faults(replace(WHOLE, tunnel=None))] == [DEVICE, PEER]


@pytest.mark.parametrize(
    ("wireguard", "words"),
    [
        (a.wireguard(private_key=Secret("another")), "private key"),
        (a.wireguard(private_key=None), "private key"),
        (a.wireguard(fwmark=0), "mark"),
        (a.wireguard(a.BACKUP, private_key=a.PRIMARY.private_key), "10-primary"),
        (replace(a.wireguard(), peer=None), "10-primary"),
        (a.wireguard(counters=a.peer(endpoint_address=a.BACKUP.address)), "another address"),
        (a.wireguard(counters=a.peer(endpoint_port=1)), "another address"),
        (a.wireguard(counters=a.peer(endpoint_address=None, endpoint_port=None)), "another address"),
        (a.wireguard(counters=a.peer(allowed_ips=())), "allowed addresses"),
    ],
)
def test_a_peer_that_is_not_as_it_should_be_is_replaced_in_one_write(wireguard: a.WireGuardSight, words: str) -> None:
    fault = only_fault(replace(WHOLE, tunnel=a.tunnel(wireguard=wireguard)))
    assert words in fault.text
    assert fault.effect == PEER
    assert fault.explains_silence


def test_another_source_port_is_rebound_and_keeps_the_session() -> None:
    fault = only_fault(replace(WHOLE, tunnel=a.tunnel(wireguard=a.wireguard(listen_port=7))))
    assert fault.effect == Rebind("wg0", a.LISTEN_PORTS[0])


def test_no_words_of_a_fault_show_a_key_or_the_mark() -> None:
    secret = Secret("do not show me")
    for wireguard in (a.wireguard(private_key=secret), a.wireguard(fwmark=0x12345678)):
        fault = only_fault(replace(WHOLE, tunnel=a.tunnel(wireguard=wireguard)))
        for text in (repr(fault), repr(wireguard)):
            assert secret.reveal() not in text
            assert a.PRIMARY.private_key.reveal() not in text
            assert str(a.FWMARK) not in text
            assert str(0x12345678) not in text


UNRESOLVED = a.uplink(neighbours={a.GATEWAY: Neighbour(None)})


def test_the_first_peer_waits_until_the_way_to_it_is_resolved() -> None:
    bare = a.survey(uplinks=(UNRESOLVED,), tunnel=a.tunnel(wireguard=replace(a.wireguard(), peer=None)))
    assert faults(bare) == ()
    assert [fault.effect for fault in faults(replace(bare, tunnel=None))] == [DEVICE]


def test_a_wrong_peer_never_waits() -> None:
    left = a.survey(uplinks=(UNRESOLVED,), tunnel=a.tunnel(a.BACKUP))
    assert only_fault(left).effect == PEER


def test_missing_routes_are_made_and_foreign_ones_removed() -> None:
    foreign = Route(ip_network("0.0.0.0/0"), "eth0", a.GATEWAY)
    wanted = repair.wanted_routes(PLAN, a.PRIMARY, WHOLE.uplinks)
    assert only_fault(replace(WHOLE, routes=wanted[1:])).effect == EnsureRoutes(wanted, ())
    assert only_fault(replace(WHOLE, routes=(*wanted, foreign))).effect == EnsureRoutes(wanted, (foreign,))
    assert only_fault(replace(WHOLE, routes=())).effect == EnsureRoutes(wanted, ())


def test_the_wanted_routes_are_a_host_route_to_every_endpoint_and_the_tunnels_networks() -> None:
    assert set(repair.wanted_routes(PLAN, a.PRIMARY, WHOLE.uplinks)) == {
        Route(ip_network("203.0.113.1/32"), "eth0", a.GATEWAY),
        Route(ip_network("203.0.113.2/32"), "eth0", a.GATEWAY),
        Route(ip_network("203.0.113.3/32"), "eth0", a.GATEWAY),
        Route(ip_network("0.0.0.0/0"), "wg0", None),
    }


def test_networks_of_a_family_the_tunnel_has_no_address_of_get_no_route() -> None:
    both = a.endpoint(allowed_ips=(ip_network("0.0.0.0/0"), ip_network("::/0")))
    routes = repair.wanted_routes(PLAN, both, WHOLE.uplinks)
    assert Route(ip_network("::/0"), "wg0", None) not in routes


def test_an_on_link_endpoint_gets_a_host_route_without_a_gateway() -> None:
    plan = a.plan((a.ON_LINK,))
    route = Route(ip_network("10.0.0.9/32"), "eth0", None)
    assert route in repair.wanted_routes(plan, a.ON_LINK, WHOLE.uplinks)


def test_routes_by_a_link_without_carrier_are_not_missed() -> None:
    cut = a.survey(uplinks=(a.uplink(carrier=False),), routes=(Route(ip_network("0.0.0.0/0"), "wg0", None),))
    assert faults(cut) == ()
    effect = only_fault(replace(cut, routes=())).effect
    assert effect == EnsureRoutes((Route(ip_network("0.0.0.0/0"), "wg0", None),))


def test_other_name_servers_are_a_fault_that_explains_no_silence() -> None:
    fault = only_fault(replace(WHOLE, nameservers=(ip_address("127.0.0.11"),)))
    assert fault.effect == EnsureResolver(a.PRIMARY.dns)
    assert not fault.explains_silence
    assert repair.excuse(path_to(a.PRIMARY, WHOLE.uplinks), (fault,)) is None


def test_an_endpoint_without_name_servers_leaves_resolv_conf_alone() -> None:
    mute = a.endpoint(dns=())
    found = repair.faults(
        a.plan((mute,)), mute, a.LISTEN_PORTS[0], a.survey(mute, within=a.plan((mute,)), nameservers=())
    )
    assert found == ()


def test_an_excuse_is_the_uplinks_fault_or_ours() -> None:
    found = faults(replace(WHOLE, tunnel=None))
    assert repair.excuse(path_to(a.PRIMARY, WHOLE.uplinks), found) == "wg0 is missing; wg0 has no peer"
    assert "no uplink" in (repair.excuse(None, ()) or "")


@pytest.mark.parametrize(
    ("wanted", "uplink_bytes", "expected"),
    [
        (None, 1500, 1420),
        (None, 9000, 1420),
        (1380, 1500, 1380),
        (1500, 1500, 1420),
        (None, 1400, 1320),
        (None, 1000, 1280),
    ],
)
def test_the_tunnels_mtu_fits_into_the_uplinks(wanted: int | None, uplink_bytes: int, expected: int) -> None:
    endpoint = a.endpoint(mtu_bytes=wanted)
    path = path_to(endpoint, (a.uplink(mtu_bytes=uplink_bytes),))
    assert repair.mtu_bytes(endpoint, path) == expected
    assert repair.mtu_bytes(endpoint, None) == (wanted or 1420)
