"""TunnelVision by router advertisement: IPv6 needs no DHCP server to be told routes.

Any host on the link may advertise itself as a router, hand out a prefix to make an address from, and name networks that
are reached through it (RFC 4191). Those routes are more particular than the tunnel's. Where the tunnel carries IPv4
only, the mere address is enough: IPv6 then has a way around it.

Source: RFC 4861, section 4.2; RFC 4862; RFC 4191, section 2.3 (route information option).
"""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

import pytest

from sidecar.prove import wire
from tests.netns.attacks.scene import may_be_refused
from tests.netns.findings.victim import DEADLINE_S, ROUTER_MAC
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.netns.findings.victim import Victim

PREFIX, PUSHED, TARGET = IPv6Address("2001:db8:66::"), IPv6Address("2001:db8:77::"), IPv6Address("2001:db8:77::7")
SOURCE, EVERY_NODE = IPv6Address("fe80::ff:fe00:1"), IPv6Address("ff02::1")
ICMPV6, ADVERTISEMENT = 58, 134
AN_HOUR_S = 3600


def advertisement() -> bytes:
    """Return a frame that advertises a default router, a prefix and a route."""
    message = struct.pack(">BBHBBHII", ADVERTISEMENT, 0, 0, 64, 0, AN_HOUR_S, 0, 0)
    message += b"\x01\x01" + ROUTER_MAC
    message += struct.pack(">BBBBIII16s", 3, 4, 64, 0xC0, AN_HOUR_S, AN_HOUR_S, 0, PREFIX.packed)
    message += struct.pack(">BBBBI8s", 24, 2, 48, 0x08, AN_HOUR_S, PUSHED.packed[:8])
    pseudo = SOURCE.packed + EVERY_NODE.packed + struct.pack(">II", len(message), ICMPV6)
    message = message[:2] + wire.checksum(pseudo + message).to_bytes(2, "big") + message[4:]
    header = struct.pack(">IHBB", 6 << 28, len(message), ICMPV6, 255) + SOURCE.packed + EVERY_NODE.packed
    return bytes.fromhex("333300000001") + ROUTER_MAC + b"\x86\xdd" + header + message


@pytest.fixture
def credulous(victim: Victim) -> Victim:
    """The victim, believing whatever it is advertised."""
    settings = {"accept_ra": "2", "accept_ra_rt_info_max_plen": "64", "autoconf": "1", "accept_dad": "0"}
    for name, value in settings.items():
        victim.stage.sidecar.sysctl(f"net/ipv6/conf/eth0/{name}", value)
    return victim


def learned(victim: Victim) -> list[str]:
    """Return what the kernel has made of advertisements: addresses and routes."""
    routes = [line for line in victim.stage.sidecar.ip("-6", "route", "show").splitlines() if "proto ra" in line]
    shown = victim.stage.sidecar.ip("-6", "address", "show", "dev", "eth0").splitlines()
    return routes + [line.strip() for line in shown if "2001:db8:66:" in line]


def test_no_address_and_no_route_comes_of_an_advertisement(credulous: Victim) -> None:
    credulous.seal_off()
    before = credulous.dropped_at_ingress()
    credulous.from_the_lan(advertisement())
    wait_until(lambda: credulous.dropped_at_ingress() > before, DEADLINE_S, "the advertisement to be dropped")
    assert learned(credulous) == []
    credulous.open_up()
    credulous.from_the_lan(advertisement())
    # A default route, the pushed network, and an address of the prefix.
    wait_until(lambda: len(learned(credulous)) >= 3, DEADLINE_S, "the control: what is advertised is believed")


def test_nothing_leaves_by_what_was_learned_before_the_lock(credulous: Victim) -> None:
    credulous.from_the_lan(advertisement())
    wait_until(lambda: len(learned(credulous)) >= 3, DEADLINE_S, "the advertisement to be believed")
    credulous.stage.sidecar.ip(
        "neighbour", "replace", str(SOURCE), "lladdr", "02:00:00:00:00:01", "dev", "eth0", "nud", "permanent"
    )

    def say(token: bytes) -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as opened, may_be_refused():
            opened.sendto(token, (str(TARGET), 9))

    credulous.require_that_only_the_lock_keeps_in(say)
