from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from sidecar.core import killswitch, leak
from sidecar.core.killswitch import Neighbour
from sidecar.core.model import MacAddress
from tests import builders as a

if TYPE_CHECKING:
    from sidecar.core.sights import Frame

POLICY = a.permit()
UNRESOLVED = a.permit(a.plan(), a.uplink(neighbours={}))
SERVER_V6 = a.endpoint("10-six", "2001:db8::1")
POLICY_V6 = a.permit(a.plan((SERVER_V6,)), a.uplink_v6())
GROUP = ip_address("ff02::1:ff00:1")
GROUP_MAC = MacAddress("33:33:ff:00:00:01")
ROUTERS_LINK_LOCAL = ip_address("fe80::ff:fe00:61")
REPLY = a.arp_frame(arp_operation=2, destination_mac=a.GATEWAY_MAC, arp_target_mac=a.GATEWAY_MAC)
STILL_THERE = a.arp_frame(destination_mac=a.GATEWAY_MAC)
STRANGER = ip_address("198.51.100.9")
STRANGER_V6 = ip_address("2001:db8:bad::9")


def nd_frame(**changes: object) -> Frame:
    """Return the multicast question for the IPv6 gateway, as Linux sends it."""
    values: dict[str, object] = {
        "ether_type": 0x86DD,
        "destination_mac": GROUP_MAC,
        "source_address": a.OWN_ADDRESS_V6,
        "destination_address": GROUP,
        "protocol": 58,
        "source_port": None,
        "destination_port": None,
        "icmpv6_type": 135,
        "hop_limit": 255,
        "nd_target": a.GATEWAY_V6,
        "length_bytes": 86,
        **changes,
    }
    return a.flow_frame(**values)


FLOW_V6 = a.flow_frame(
    ether_type=0x86DD,
    destination_mac=a.GATEWAY_V6_MAC,
    source_address=a.OWN_ADDRESS_V6,
    destination_address=SERVER_V6.address,
)
UNICAST_SOLICITATION = nd_frame(destination_mac=a.GATEWAY_V6_MAC, destination_address=a.GATEWAY_V6)
ADVERTISEMENT = nd_frame(
    icmpv6_type=136,
    destination_mac=a.GATEWAY_V6_MAC,
    destination_address=a.GATEWAY_V6,
    nd_target=a.OWN_ADDRESS_V6,
    length_bytes=78,
)
LONG_ADVERTISEMENT = replace(ADVERTISEMENT, length_bytes=86)
TO_LINK_LOCAL = replace(LONG_ADVERTISEMENT, destination_address=ROUTERS_LINK_LOCAL)


@pytest.mark.parametrize("frame", [a.flow_frame(), a.arp_frame(), STILL_THERE, REPLY])
def test_what_the_policy_names_is_no_leak(frame: Frame) -> None:
    assert leak.permitted(frame, (POLICY,))
    assert leak.permitted(frame, (None, POLICY))


@pytest.mark.parametrize(
    "frame", [FLOW_V6, nd_frame(), UNICAST_SOLICITATION, ADVERTISEMENT, LONG_ADVERTISEMENT, TO_LINK_LOCAL]
)
def test_what_the_policy_names_in_ipv6_is_no_leak(frame: Frame) -> None:
    assert leak.permitted(frame, (POLICY_V6,))


@pytest.mark.parametrize("frame", [a.flow_frame(), a.arp_frame(), REPLY])
def test_nothing_is_permitted_without_a_policy_or_sealed(frame: Frame) -> None:
    assert not leak.permitted(frame, ())
    assert not leak.permitted(frame, (None, None))
    assert not leak.permitted(frame, (killswitch.sealed(["eth0"]),))


@pytest.mark.parametrize("port", a.LISTEN_PORTS)
@pytest.mark.parametrize("endpoint", a.THREE)
def test_every_endpoint_is_permitted_from_every_source_port(endpoint: a.Endpoint, port: int) -> None:
    frame = a.flow_frame(destination_address=endpoint.address, source_port=port)
    assert leak.permitted(frame, (POLICY,))


WRONG_IN_A_FLOW = {
    "device": "eth1",
    "source_mac": a.STRANGER_MAC,
    "destination_mac": a.STRANGER_MAC,
    "ether_type": 0x8100,
    "source_address": STRANGER,
    "destination_address": STRANGER,
    "protocol": 6,
    "source_port": 20004,
    "destination_port": 51821,
}


@pytest.mark.parametrize("field", WRONG_IN_A_FLOW)
def test_a_flow_with_one_field_wrong_is_a_leak(field: str) -> None:
    for wrong in (WRONG_IN_A_FLOW[field], None):
        assert not leak.permitted(replace(a.flow_frame(), **{field: wrong}), (POLICY,))  # type: ignore[arg-type]


def test_an_ipv6_flow_is_no_ipv4_flow() -> None:
    assert not leak.permitted(replace(FLOW_V6, ether_type=0x0800), (POLICY_V6,))
    assert not leak.permitted(a.flow_frame(ether_type=0x86DD), (POLICY,))


WRONG_IN_ARP = {
    "device": "eth1",
    "source_mac": a.STRANGER_MAC,
    "destination_mac": a.STRANGER_MAC,
    "ether_type": 0x8035,
    "source_address": STRANGER,
    "destination_address": STRANGER,
    "arp_operation": 3,
    "arp_sender_mac": a.STRANGER_MAC,
    "arp_target_mac": a.STRANGER_MAC,
    "length_bytes": 60,
}


@pytest.mark.parametrize("frame", [a.arp_frame(), STILL_THERE, REPLY], ids=["to all", "to the known", "answer"])
@pytest.mark.parametrize("field", WRONG_IN_ARP)
def test_arp_with_one_field_wrong_is_a_leak(frame: Frame, field: str) -> None:
    assert not leak.permitted(replace(frame, **{field: WRONG_IN_ARP[field]}), (POLICY,))  # type: ignore[arg-type]


def test_arp_shapes_do_not_mix() -> None:
    assert not leak.permitted(replace(REPLY, destination_mac=a.BROADCAST_MAC), (POLICY,))
    assert not leak.permitted(replace(REPLY, arp_operation=1), (POLICY,))
    assert not leak.permitted(replace(a.arp_frame(), arp_operation=2), (POLICY,))
    assert not leak.permitted(replace(a.arp_frame(), arp_target_mac=a.GATEWAY_MAC), (POLICY,))


def test_before_the_next_hop_is_known_only_the_question_to_all_may_leave() -> None:
    assert leak.permitted(a.arp_frame(), (UNRESOLVED,))
    assert not leak.permitted(STILL_THERE, (UNRESOLVED,))
    assert not leak.permitted(REPLY, (UNRESOLVED,))
    assert not leak.permitted(a.flow_frame(), (UNRESOLVED,))
    nowhere = a.arp_frame(arp_operation=2, destination_mac=None, arp_target_mac=None)
    assert not leak.permitted(nowhere, (UNRESOLVED,))


WRONG_IN_ND = {
    "device": "eth1",
    "source_mac": a.STRANGER_MAC,
    "destination_mac": a.STRANGER_MAC,
    "ether_type": 0x0800,
    "source_address": STRANGER_V6,
    "destination_address": STRANGER_V6,
    "protocol": 17,
    "icmpv6_type": 128,
    "hop_limit": 64,
    "nd_target": STRANGER_V6,
    "length_bytes": 110,
}


@pytest.mark.parametrize("frame", [nd_frame(), UNICAST_SOLICITATION, ADVERTISEMENT, TO_LINK_LOCAL])
@pytest.mark.parametrize("field", WRONG_IN_ND)
def test_neighbour_discovery_with_one_field_wrong_is_a_leak(frame: Frame, field: str) -> None:
    assert not leak.permitted(replace(frame, **{field: WRONG_IN_ND[field]}), (POLICY_V6,))  # type: ignore[arg-type]


def test_before_the_next_hop_is_known_only_the_multicast_solicitation_may_leave() -> None:
    unresolved = a.permit(a.plan((SERVER_V6,)), a.uplink_v6(neighbours={a.GATEWAY_V6: Neighbour(None)}))
    assert leak.permitted(nd_frame(), (unresolved,))
    for frame in (UNICAST_SOLICITATION, ADVERTISEMENT, TO_LINK_LOCAL, FLOW_V6):
        assert not leak.permitted(frame, (unresolved,))
    assert not leak.permitted(replace(UNICAST_SOLICITATION, destination_mac=None), (unresolved,))  # type: ignore[arg-type]


def test_a_frame_may_belong_to_the_policy_before() -> None:
    moved = a.permit(a.plan(), a.uplink(neighbours={a.GATEWAY: Neighbour(a.STRANGER_MAC)}))
    assert not leak.permitted(a.flow_frame(), (moved, None))
    assert leak.permitted(a.flow_frame(), (moved, POLICY))


def test_fields_of_two_flows_do_not_mix() -> None:
    other = a.uplink(
        "eth1",
        mac=MacAddress("02:00:00:00:01:02"),
        addresses=(a.ip_interface("10.9.0.2/24"),),
        gateways=(),
        neighbours={ip_address("10.9.0.7"): Neighbour(MacAddress("02:00:00:00:01:07"))},
    )
    near = a.endpoint("20-near", "10.9.0.7", port=4500)
    both = a.permit(a.plan((a.PRIMARY, near)), a.uplink(), other)
    near_frame = a.flow_frame(
        device="eth1",
        source_mac=other.mac,
        destination_mac=MacAddress("02:00:00:00:01:07"),
        source_address=ip_address("10.9.0.2"),
        destination_address=near.address,
        destination_port=4500,
    )
    assert leak.permitted(a.flow_frame(), (both,))
    assert leak.permitted(near_frame, (both,))
    for field in ("device", "source_mac", "destination_mac", "source_address", "destination_address"):
        assert not leak.permitted(replace(a.flow_frame(), **{field: getattr(near_frame, field)}), (both,))
    assert not leak.permitted(a.flow_frame(destination_port=4500), (both,))
