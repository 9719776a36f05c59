"""The policy: what it permits, field by field, and what it never does."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.killswitch import (
    Flow,
    Neighbour,
    Resolution,
    also_lock,
    from_gateways,
    path_to,
    paths,
    permit_tunnel,
    remember,
    sealed,
)
from sidecar.core.model import MacAddress
from tests import builders as a

PEER_MAC = MacAddress("02:00:00:00:00:09")
SECOND_MAC = MacAddress("02:00:00:00:00:03")
LAN = a.uplink("eth1", mac=SECOND_MAC, addresses=(ip_interface("192.0.2.2/24"),), gateways=(), neighbours={})


def test_a_sealed_policy_permits_nothing_and_locks_every_device_once() -> None:
    policy = sealed(["eth1", "eth0", "eth1"])
    assert policy.is_sealed
    assert policy.devices == ("eth0", "eth1")
    assert (policy.flows, policy.resolutions, policy.tunnel_addresses, policy.listen_ports) == ((), (), (), ())
    assert policy.fwmark == 0


def test_every_endpoint_is_permitted_at_all_times_whichever_is_in_use() -> None:
    policy = permit_tunnel(a.plan(), (a.uplink(),))
    assert {flow.endpoint_address for flow in policy.flows} == {each.address for each in a.THREE}
    assert not policy.is_sealed


def test_a_flow_by_the_gateway_is_pinned_field_by_field() -> None:
    policy = permit_tunnel(a.plan((a.PRIMARY,)), (a.uplink(),))
    assert policy.flows == (Flow("eth0", a.OWN_MAC, a.GATEWAY_MAC, a.OWN_ADDRESS, a.PRIMARY.address, a.PRIMARY.port),)
    assert policy.resolutions == (Resolution("eth0", a.OWN_MAC, a.OWN_ADDRESS, a.GATEWAY, a.GATEWAY_MAC),)
    assert (policy.fwmark, policy.listen_ports) == (a.FWMARK, a.LISTEN_PORTS)


def test_an_endpoint_on_link_is_its_own_next_hop() -> None:
    uplink = a.uplink(neighbours={a.GATEWAY: Neighbour(a.GATEWAY_MAC), a.ON_LINK.address: Neighbour(PEER_MAC)})
    path = path_to(a.ON_LINK, (uplink,))
    assert path is not None
    assert path.on_link
    assert (path.next_hop, path.next_hop_mac) == (a.ON_LINK.address, PEER_MAC)


def test_an_endpoint_behind_a_gateway_is_not_on_link() -> None:
    path = path_to(a.PRIMARY, (a.uplink(),))
    assert path is not None
    assert not path.on_link
    assert (path.next_hop, path.source_address) == (a.GATEWAY, a.OWN_ADDRESS)


def test_being_on_link_anywhere_comes_before_any_gateway() -> None:
    neighbour_on_lan = a.endpoint("on-lan", "192.0.2.9")
    path = path_to(neighbour_on_lan, (a.uplink(), LAN))
    assert path is not None
    assert (path.uplink.device, path.on_link) == ("eth1", True)


@pytest.mark.parametrize("neighbour", [Neighbour(None), Neighbour(None, failed=True)])
def test_an_unresolved_next_hop_may_be_asked_for_and_gets_no_flow(neighbour: Neighbour) -> None:
    policy = permit_tunnel(a.plan(), (a.uplink(neighbours={a.GATEWAY: neighbour}),))
    assert policy.flows == ()
    assert policy.resolutions == (Resolution("eth0", a.OWN_MAC, a.OWN_ADDRESS, a.GATEWAY, None),)


def test_endpoints_behind_one_gateway_share_one_resolution() -> None:
    assert len(permit_tunnel(a.plan(), (a.uplink(),)).resolutions) == 1


def test_an_endpoint_without_a_path_is_left_out_and_the_others_are_not() -> None:
    ipv6 = a.endpoint("ipv6", "2001:db8::1")
    policy = permit_tunnel(a.plan((a.PRIMARY, ipv6)), (a.uplink(),))
    assert [flow.endpoint_address for flow in policy.flows] == [a.PRIMARY.address]


def test_families_do_not_lend_each_other_a_gateway() -> None:
    ipv6 = a.endpoint("ipv6", "2001:db8::1")
    assert path_to(ipv6, (a.uplink(),)) is None
    assert path_to(a.PRIMARY, (a.uplink_v6(),)) is None
    path = path_to(ipv6, (a.uplink_v6(),))
    assert path is not None
    assert (path.source_address, path.next_hop) == (a.OWN_ADDRESS_V6, a.GATEWAY_V6)


def test_a_gateway_outside_every_network_of_its_uplink_is_no_next_hop() -> None:
    assert path_to(a.PRIMARY, (a.uplink(gateways=(ip_address("172.16.0.1"),)),)) is None


@pytest.mark.parametrize(
    ("gateway", "own", "far"),
    [("fe80::1", "2001:db8:1::2/64", "2001:db8:2::1"), ("169.254.1.1", "10.0.0.2/32", "203.0.113.1")],
)
def test_packets_by_a_link_local_gateway_carry_the_uplink_s_own_address(gateway: str, own: str, far: str) -> None:
    uplink = a.uplink(
        addresses=(ip_interface("10.9.9.9/32"), ip_interface(own)) if ":" in own else (ip_interface(own),),
        gateways=(ip_address(gateway),),
        neighbours={ip_address(gateway): Neighbour(a.GATEWAY_MAC)},
    )
    path = path_to(a.endpoint("far", far), (uplink,))
    assert path is not None
    assert (path.next_hop, path.source_address) == (ip_address(gateway), ip_interface(own).ip)


def test_every_device_is_locked_also_one_without_any_address() -> None:
    bare = a.uplink("eth9", addresses=(), gateways=(), neighbours={})
    policy = permit_tunnel(a.plan(), (bare, a.uplink()))
    assert policy.devices == ("eth0", "eth9")
    assert {flow.device for flow in policy.flows} == {"eth0"}


def test_the_policy_does_not_depend_on_the_order_of_anything() -> None:
    uplinks = (a.uplink(), LAN)
    forward = permit_tunnel(a.plan(), uplinks)
    backward = permit_tunnel(replace(a.plan(), endpoints=a.THREE[::-1]), uplinks[::-1])
    assert forward == backward


def test_locking_one_device_more_permits_nothing_more() -> None:
    policy = permit_tunnel(a.plan(), (a.uplink(),))
    more = also_lock(policy, (a.uplink(), LAN))
    assert more.devices == ("eth0", "eth1")
    assert replace(more, devices=policy.devices) == policy


def test_paths_come_in_the_endpoints_order() -> None:
    assert [path.endpoint for path in paths(a.THREE, (a.uplink(),))] == list(a.THREE)


def test_neither_mark_nor_ports_are_in_a_policy_s_repr() -> None:
    shown = repr(permit_tunnel(a.plan(), (a.uplink(),)))
    assert str(a.FWMARK) not in shown
    assert all(str(port) not in shown for port in a.LISTEN_PORTS)


def test_a_gateway_and_its_mac_are_remembered_while_the_uplink_is_on_its_network() -> None:
    forgotten = a.uplink(gateways=(), neighbours={})
    assert remember((forgotten,), (a.uplink(),)) == (a.uplink(),)


def test_what_is_seen_now_outweighs_what_was_known() -> None:
    now = a.uplink(gateways=(ip_address("10.0.0.254"),), neighbours={a.GATEWAY: Neighbour(PEER_MAC)})
    assert remember((now,), (a.uplink(),)) == (now,)


def test_a_failed_neighbour_keeps_its_known_mac_and_that_it_failed() -> None:
    now = a.uplink(neighbours={a.GATEWAY: Neighbour(None, failed=True)})
    (kept,) = remember((now,), (a.uplink(),))
    assert kept.neighbours[a.GATEWAY] == Neighbour(a.GATEWAY_MAC, failed=True)


def test_a_gateway_of_a_network_that_the_uplink_has_left_is_forgotten() -> None:
    moved = a.uplink(addresses=(ip_interface("172.20.0.2/16"),), gateways=(), neighbours={})
    assert remember((moved,), (a.uplink(),)) == (moved,)


def test_nothing_is_remembered_of_another_device() -> None:
    bare = a.uplink("eth7", gateways=(), neighbours={})
    assert remember((bare,), (a.uplink(),)) == (bare,)


def test_a_gateway_of_one_family_does_not_replace_that_of_the_other() -> None:
    both = a.uplink(addresses=(*a.uplink().addresses, *a.uplink_v6().addresses), gateways=(a.GATEWAY,))
    known = replace(both, gateways=(a.GATEWAY, a.GATEWAY_V6))
    (kept,) = remember((both,), (known,))
    assert kept.gateways == (a.GATEWAY, a.GATEWAY_V6)


def test_gateways_that_were_saved_are_enough_to_find_the_path_again() -> None:
    forgotten = a.uplink(gateways=())
    known = from_gateways([("eth0", a.GATEWAY), ("eth5", a.GATEWAY)])
    assert path_to(a.PRIMARY, remember((forgotten,), known)) == path_to(a.PRIMARY, (a.uplink(),))


addresses = st.sampled_from(["10.0.0.9", "10.0.0.10", "203.0.113.1", "203.0.113.2", "192.0.2.7", "2001:db8::1"])
uplink_choices = st.lists(
    st.sampled_from([a.uplink(), a.uplink(neighbours={}), LAN, a.uplink_v6("eth2")]),
    max_size=3,
    unique_by=lambda uplink: uplink.device,
)


@given(st.lists(addresses, unique=True), uplink_choices)
def test_no_policy_permits_more_than_one_endpoint_s_packets_by_a_known_next_hop(
    endpoint_addresses: list[str], uplinks: list[object]
) -> None:
    """A second writing of the rule: each flow is for a configured endpoint, and each of its fields is the uplink's."""
    endpoints = [a.endpoint(f"e{number}", address) for number, address in enumerate(endpoint_addresses)]
    seen = {uplink.device: uplink for uplink in uplinks}  # type: ignore[attr-defined]
    policy = permit_tunnel(a.plan(endpoints), tuple(uplinks))  # type: ignore[arg-type]
    configured = {(each.address, each.port) for each in endpoints}
    assert len(policy.flows) <= len(endpoints)
    assert set(policy.devices) == set(seen)
    for flow in policy.flows:
        uplink = seen[flow.device]
        assert (flow.endpoint_address, flow.endpoint_port) in configured
        assert flow.source_mac == uplink.mac
        assert flow.source_address in {interface.ip for interface in uplink.addresses}
        next_hops = {*uplink.gateways, flow.endpoint_address}
        assert flow.next_hop_mac in {uplink.neighbours[hop].mac for hop in next_hops if hop in uplink.neighbours}
    for asked in policy.resolutions:
        assert asked.next_hop in {*seen[asked.device].gateways, *(address for address, _ in configured)}
