"""TunnelVision, CVE-2024-3661: routes that DHCP brings are more particular than the tunnel's.

A DHCP server on the LAN hands out classless static routes (option 121). A longer prefix wins over the tunnel's route,
and what it covers is sent to a host of the attacker's in the clear, while the tunnel stays up.

Docker's networks have no DHCP; the lock does not rely on that. It drops the server's offers, and where such routes are,
for whatever reason, nothing leaves by them.

Source: CVE-2024-3661; RFC 3442 (option 121); RFC 2131.
"""

from __future__ import annotations

import select
import socket
import struct
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from tests.netns.attacks.scene import may_be_refused
from tests.netns.findings.victim import DEADLINE_S, FAR, OWN_MAC, ROUTER, ROUTER_MAC, datagram, new_token, say
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.netns.findings.victim import Victim

TARGET = IPv4Address("198.51.100.77")
PUSHED = ("198.51.100.64/26", "198.51.100.77/32")
BROADCAST, EVERYBODY = IPv4Address("255.255.255.255"), b"\xff" * 6
SERVER_PORT, CLIENT_PORT = 67, 68
MAGIC = bytes.fromhex("63825363")
NOT_COMING_S = 0.3


def acknowledgement(offered: IPv4Address, token: bytes) -> bytes:
    """Return a DHCPACK with a route to the target's network by the router; the token is its transaction."""
    fixed = struct.pack(">BBBB4sHH", 2, 1, 6, 0, token[:4], 0, 0x8000) + bytes(4) + offered.packed + bytes(8)
    hardware = token.ljust(16, b"\0") + bytes(192)
    route = bytes((26,)) + TARGET.packed + ROUTER.packed
    return fixed + hardware + MAGIC + b"\x35\x01\x05" + b"\x79" + bytes((len(route),)) + route + b"\xff"


@pytest.mark.parametrize("network", PUSHED)
def test_nothing_leaves_by_a_route_that_dhcp_has_pushed(victim: Victim, network: str) -> None:
    victim.stage.sidecar.ip("route", "add", network, "via", str(ROUTER), "dev", "eth0")
    victim.require_that_only_the_lock_keeps_in(lambda token: say(token, TARGET, 9))


def test_nothing_leaves_when_both_halves_of_the_world_have_been_pushed(victim: Victim) -> None:
    def push(token: bytes) -> None:
        for half in ("0.0.0.0/1", "128.0.0.0/1"):
            victim.stage.sidecar.ip("route", "add", half, "via", str(ROUTER), "dev", "eth0")
        say(token, FAR, 9)
        for half in ("0.0.0.0/1", "128.0.0.0/1"):
            victim.stage.sidecar.ip("route", "del", half, "via", str(ROUTER), "dev", "eth0")

    victim.require_that_only_the_lock_keeps_in(push)


def test_a_dhcp_client_would_hear_nothing_of_a_server_on_the_lan(victim: Victim) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        client.bind(("", CLIENT_PORT))

        def hears_an_offer() -> bool:
            token = new_token()
            message = acknowledgement(IPv4Address("10.77.0.99"), token)
            packet = datagram((ROUTER, SERVER_PORT), (BROADCAST, CLIENT_PORT), message)
            victim.from_the_lan(EVERYBODY + ROUTER_MAC + b"\x08\x00" + packet)
            readable, _, _ = select.select([client], [], [], NOT_COMING_S)
            return bool(readable) and token[:4] in client.recv(1000)

        wait_until(hears_an_offer, DEADLINE_S, "the control: the client hears the server")
        victim.seal_off()
        before = victim.dropped_at_ingress()
        assert not hears_an_offer()
        assert victim.dropped_at_ingress() > before


def test_a_dhcp_client_could_not_ask_either(victim: Victim) -> None:
    def ask(token: bytes) -> None:
        packet = datagram((IPv4Address(0), CLIENT_PORT), (BROADCAST, SERVER_PORT), token)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw, may_be_refused():
            raw.sendto(EVERYBODY + OWN_MAC + b"\x08\x00" + packet, ("eth0", 0x0800))

    victim.require_that_only_the_lock_keeps_in(ask)
