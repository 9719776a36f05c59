"""The frames, held against the same frames as scapy builds them: a second hand for every field and checksum."""

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

from sidecar.core.frames import askers, resolution_frames
from sidecar.core.killswitch import Flow, Resolution
from sidecar.core.model import MacAddress
from tests.policies import flow, resolution

if TYPE_CHECKING:
    from scapy.packet import Packet

OWN, NEXT_HOP = "02:00:00:00:00:02", "02:00:00:00:00:01"


OWN_LINK_LOCAL = "fe80::ff:fe00:2"


def frames(permit: Resolution, *flows: Flow) -> list[bytes]:
    return [exact.frame for exact in resolution_frames(permit, flows)]


def arp(to: str, **fields: str | int) -> bytes:
    return bytes(Ether(dst=to, src=OWN) / ARP(hwsrc=OWN, psrc="10.77.0.2", pdst="10.77.0.1", **fields))


def discovery(to: str, destination: str, *message: Packet, source: str = "2001:db8::2") -> bytes:
    packet = Ether(dst=to, src=OWN) / IPv6(src=source, dst=destination, hlim=255)
    for layer in message:
        packet = packet / layer
    return bytes(packet)


def test_an_unknown_ipv4_next_hop_may_be_asked_for_by_broadcast_only() -> None:
    asked = frames(resolution("10.77.0.1", source="10.77.0.2", mac=None))
    assert asked == [arp("ff:ff:ff:ff:ff:ff", op=1, hwdst="00:00:00:00:00:00")]


def test_a_known_ipv4_next_hop_may_also_be_probed_and_answered() -> None:
    assert frames(resolution("10.77.0.1", source="10.77.0.2", mac=NEXT_HOP)) == [
        arp("ff:ff:ff:ff:ff:ff", op=1, hwdst="00:00:00:00:00:00"),
        arp(NEXT_HOP, op=1, hwdst="00:00:00:00:00:00"),
        arp(NEXT_HOP, op=2, hwdst=NEXT_HOP),
    ]


def test_an_unknown_ipv6_next_hop_may_be_asked_for_by_its_multicast_group_only() -> None:
    asked = frames(resolution("2001:db8::12:3456", source="2001:db8::2", mac=None))
    question = ICMPv6ND_NS(tgt="2001:db8::12:3456"), ICMPv6NDOptSrcLLAddr(lladdr=OWN)
    assert asked == [
        discovery("33:33:ff:12:34:56", "ff02::1:ff12:3456", *question, source=source)
        for source in ("2001:db8::2", OWN_LINK_LOCAL)
    ]


def test_a_known_ipv6_next_hop_may_be_probed_and_answered_at_its_global_and_link_local_address() -> None:
    made = frames(resolution("2001:db8::1", source="2001:db8::2", mac=NEXT_HOP))
    question = ICMPv6ND_NS(tgt="2001:db8::1"), ICMPv6NDOptSrcLLAddr(lladdr=OWN)
    long_answer = ICMPv6ND_NA(tgt="2001:db8::2", R=0, S=1, O=1), ICMPv6NDOptDstLLAddr(lladdr=OWN)
    short_answer = ICMPv6ND_NA(tgt="2001:db8::2", R=0, S=1, O=0)
    assert made == [
        discovery("33:33:ff:00:00:01", "ff02::1:ff00:1", *question),
        discovery(NEXT_HOP, "2001:db8::1", *question),
        discovery("33:33:ff:00:00:01", "ff02::1:ff00:1", *question, source=OWN_LINK_LOCAL),
        discovery(NEXT_HOP, "2001:db8::1", *question, source=OWN_LINK_LOCAL),
        discovery(NEXT_HOP, "2001:db8::1", *long_answer),
        discovery(NEXT_HOP, "2001:db8::1", short_answer),
        discovery(NEXT_HOP, "fe80::ff:fe00:1", *long_answer),
        discovery(NEXT_HOP, "fe80::ff:fe00:1", short_answer),
    ]


def test_a_next_hop_that_asks_by_the_address_of_an_endpoint_behind_it_is_answered_there() -> None:
    permit = resolution("10.77.0.1", source="10.77.0.2", mac=NEXT_HOP)
    behind = flow("192.0.2.20", 443, source="10.77.0.2", next_hop_mac=NEXT_HOP)
    assert frames(permit, behind)[2:] == [
        arp(NEXT_HOP, op=2, hwdst=NEXT_HOP),
        bytes(Ether(dst=NEXT_HOP, src=OWN) / ARP(op=2, hwsrc=OWN, psrc="10.77.0.2", hwdst=NEXT_HOP, pdst="192.0.2.20")),
    ]


@pytest.mark.parametrize(("next_hop", "source"), [("10.77.0.1", "2001:db8::2"), ("2001:db8::1", "10.77.0.2")])
def test_families_that_do_not_match_permit_nothing(next_hop: str, source: str) -> None:
    mixed = Resolution("eth0", MacAddress(OWN), ip_address(source), ip_address(next_hop), MacAddress(NEXT_HOP))
    assert frames(mixed) == []


def test_who_else_may_ask_is_every_endpoint_behind_that_next_hop_once_and_no_other() -> None:
    permit = resolution("10.77.0.1", source="10.77.0.2", mac=NEXT_HOP)
    behind = [flow(address, 1, source="10.77.0.2", next_hop_mac=NEXT_HOP) for address in ("10.77.0.1", "192.0.2.20")]
    again = flow("192.0.2.20", 2, source="10.77.0.2", next_hop_mac=NEXT_HOP)
    elsewhere = [
        flow("192.0.2.30", 1, source="10.77.0.2", next_hop_mac="02:00:00:00:00:99"),
        flow("192.0.2.31", 1, source="10.77.0.3", next_hop_mac=NEXT_HOP),
        flow("192.0.2.32", 1, source="10.77.0.2", next_hop_mac=NEXT_HOP, device="eth1"),
    ]
    assert askers(permit, (*behind, again, *elsewhere)) == (ip_address("192.0.2.20"),)


@pytest.mark.parametrize("mac", ["", "02:00:00:00:00", "not a mac", "00:00:00:00:00:00:00:02"])
def test_a_hardware_address_that_is_not_ethernets_permits_nothing(mac: str) -> None:
    permit = resolution("10.77.0.1", source="10.77.0.2", mac=NEXT_HOP)
    assert len(frames(permit)) == 3
    assert frames(replace(permit, source_mac=MacAddress(mac))) == []
    assert frames(replace(permit, next_hop_mac=MacAddress(mac))) == []
