"""MLLVD-CR-24-03: the tunnel's address is told to whoever asks for it by ARP.

Linux answers a question for any of its addresses on any device, unless told otherwise (`arp_ignore`). A neighbour asks
for every private address and so learns the tunnel's, which tells that there is a VPN, and often whose, and by which it
knows the machine again.

Source: X41 D-Sec's audit of the Mullvad app, December 2024: "Virtual IP address of tunnel device leaks to network
adjacent participant"; ip-sysctl, arp_ignore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.netns.findings.victim import OWN, OWN_MAC, ROUTER, ROUTER_MAC, TUNNEL

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from tests.netns.findings.victim import Victim

EVERYBODY = b"\xff" * 6
ARP, REQUEST, REPLY = b"\x08\x06", b"\x00\x01", b"\x00\x02"
ETHERNET_IPV4 = bytes.fromhex("0001 0800 06 04")


def question(target: IPv4Address, asker: IPv4Address = ROUTER, to: bytes = EVERYBODY) -> bytes:
    body = ETHERNET_IPV4 + REQUEST + ROUTER_MAC + asker.packed + bytes(6) + target.packed
    return to + ROUTER_MAC + ARP + body


def is_answer_for(target: IPv4Address, frame: bytes) -> bool:
    return frame[12:14] == ARP and frame[20:22] == REPLY and frame[28:32] == target.packed


@pytest.mark.parametrize("to", [EVERYBODY, OWN_MAC], ids=["everybody is asked", "the sidecar is asked"])
def test_nobody_learns_the_tunnel_s_address_by_arp(victim: Victim, to: bytes) -> None:
    victim.stage.sidecar.sysctl("net/ipv4/conf/all/arp_ignore", "0")
    victim.stage.sidecar.sysctl("net/ipv4/conf/eth0/arp_ignore", "0")

    def ask() -> None:
        victim.from_the_lan(question(TUNNEL, to=to))

    victim.require_control(ask, lambda frame: is_answer_for(TUNNEL, frame))
    victim.seal_off()
    assert victim.out_of(ask, lambda frame: is_answer_for(TUNNEL, frame)) == []


def test_the_uplink_s_address_is_told_to_the_next_hop_and_to_nobody_else(victim: Victim) -> None:
    stranger = ROUTER + 41
    victim.require_control(
        lambda: victim.from_the_lan(question(OWN, stranger)), lambda frame: is_answer_for(OWN, frame)
    )
    victim.seal_off()
    assert (
        victim.out_of(lambda: victim.from_the_lan(question(OWN, stranger)), lambda frame: is_answer_for(OWN, frame))
        == []
    )
    assert victim.out_of(lambda: victim.from_the_lan(question(OWN)), lambda frame: is_answer_for(OWN, frame))
