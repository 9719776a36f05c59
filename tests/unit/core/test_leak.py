from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether

from sidecar.core import killswitch, leak
from sidecar.core.killswitch import Neighbour
from sidecar.core.model import MacAddress
from tests import builders as a

if TYPE_CHECKING:
    from sidecar.core.sights import Frame

POLICY = a.permit()
SERVER_V6 = a.endpoint("10-six", "2001:db8::1")
POLICY_V6 = a.permit(a.plan((SERVER_V6,)), a.uplink_v6())
GROUP = ip_address("ff02::1:ff00:1")
GROUP_MAC = MacAddress("33:33:ff:00:00:01")
OWN_LINK_LOCAL = ip_address("fe80::ff:fe00:2")
ROUTERS_LINK_LOCAL = ip_address("fe80::ff:fe00:61")
STRANGER = ip_address("198.51.100.9")


def question(to: str = "ff:ff:ff:ff:ff:ff") -> Frame:
    return built(Ether(src=a.OWN_MAC, dst=to) / ARP(op=1, **OWN, hwdst="00:00:00:00:00:00", pdst=str(a.GATEWAY)))


def reply(asker: object = a.GATEWAY) -> Frame:
    return built(Ether(src=a.OWN_MAC, dst=a.GATEWAY_MAC) / ARP(op=2, **OWN, hwdst=a.GATEWAY_MAC, pdst=str(asker)))


def solicitation(to: str, destination: object, source: object = a.OWN_ADDRESS_V6) -> Frame:
    ip = IPv6(src=str(source), dst=str(destination), hlim=255)
    return built(Ether(src=a.OWN_MAC, dst=to) / ip / ICMPv6ND_NS(tgt=str(a.GATEWAY_V6)) / SOURCE)


def advertisement(destination: object, *, short: bool = False) -> Frame:
    ip = IPv6(src=str(a.OWN_ADDRESS_V6), dst=str(destination), hlim=255)
    message = ICMPv6ND_NA(tgt=str(a.OWN_ADDRESS_V6), R=0, S=1, O=0 if short else 1)
    return built(Ether(src=a.OWN_MAC, dst=a.GATEWAY_V6_MAC) / ip / (message if short else message / TARGET))


def built(packet: object) -> Frame:
    """Return what a tap tells of a packet, built by scapy and not by us."""
    return a.raw_frame(bytes(packet))  # type: ignore[call-overload]


OWN = {"hwsrc": a.OWN_MAC, "psrc": str(a.OWN_ADDRESS)}
SOURCE, TARGET = ICMPv6NDOptSrcLLAddr(lladdr=a.OWN_MAC), ICMPv6NDOptDstLLAddr(lladdr=a.OWN_MAC)
FLOW_V6 = a.flow_frame(
    ether_type=0x86DD,
    destination_mac=a.GATEWAY_V6_MAC,
    source_address=a.OWN_ADDRESS_V6,
    destination_address=SERVER_V6.address,
)
TO_ALL = {
    "ARP question": (question(), POLICY),
    "solicitation": (solicitation(GROUP_MAC, GROUP), POLICY_V6),
    "solicitation by our link-local address": (solicitation(GROUP_MAC, GROUP, OWN_LINK_LOCAL), POLICY_V6),
}
TO_THE_KNOWN = {
    "ARP question": (question(a.GATEWAY_MAC), POLICY),
    "ARP answer": (reply(), POLICY),
    "ARP answer to an endpoint behind the gateway": (reply(a.PRIMARY.address), POLICY),
    "solicitation": (solicitation(a.GATEWAY_V6_MAC, a.GATEWAY_V6), POLICY_V6),
    "advertisement": (advertisement(a.GATEWAY_V6), POLICY_V6),
    "short advertisement": (advertisement(a.GATEWAY_V6, short=True), POLICY_V6),
    "advertisement to an endpoint behind the gateway": (advertisement(SERVER_V6.address), POLICY_V6),
    "advertisement to a link-local address": (advertisement(ROUTERS_LINK_LOCAL), POLICY_V6),
}
RESOLUTION = [
    *(pytest.param(*pair, id=f"{name} to all") for name, pair in TO_ALL.items()),
    *(pytest.param(*pair, id=name) for name, pair in TO_THE_KNOWN.items()),
]


@pytest.mark.parametrize(("frame", "policy"), [(a.flow_frame(), POLICY), (FLOW_V6, POLICY_V6), *RESOLUTION])
def test_what_the_policy_names_is_no_leak(frame: Frame, policy: killswitch.Policy) -> None:
    assert leak.permitted(frame, (policy,))
    assert leak.permitted(frame, (None, policy))


@pytest.mark.parametrize("frame", [a.flow_frame(), question(), reply()])
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


@pytest.mark.parametrize(("frame", "policy"), RESOLUTION)
def test_resolution_with_any_one_byte_wrong_is_a_leak(frame: Frame, policy: killswitch.Policy) -> None:
    for at in range(len(frame.data)):
        wrong = bytearray(frame.data)
        wrong[at] ^= 1
        assert not leak.permitted(a.raw_frame(bytes(wrong)), (policy,)), f"byte {at}"


@pytest.mark.parametrize(("frame", "policy"), RESOLUTION)
def test_resolution_by_another_device_or_of_another_length_is_a_leak(frame: Frame, policy: killswitch.Policy) -> None:
    assert not leak.permitted(replace(frame, device="eth1"), (policy,))
    assert not leak.permitted(a.raw_frame(frame.data + b"\0"), (policy,))
    assert not leak.permitted(a.raw_frame(frame.data[:-1]), (policy,))
    assert not leak.permitted(replace(frame, length_bytes=frame.length_bytes + 1), (policy,))
    assert not leak.permitted(replace(frame, data=b""), (policy,))


def test_before_the_next_hop_is_known_only_the_question_to_all_may_leave() -> None:
    unresolved = (
        a.permit(a.plan(), a.uplink(neighbours={})),
        a.permit(a.plan((SERVER_V6,)), a.uplink_v6(neighbours={a.GATEWAY_V6: Neighbour(None)})),
    )
    for frame, _ in TO_ALL.values():
        assert leak.permitted(frame, unresolved)
    for frame, _ in TO_THE_KNOWN.values():
        assert not leak.permitted(frame, unresolved)
    assert not leak.permitted(a.flow_frame(), unresolved)
    assert not leak.permitted(FLOW_V6, unresolved)


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
