"""MUL-02-002: a firewall that lets anybody send to the VPN server shows who is behind it.

The rule for the tunnel's own packets named the server's address and port, and so let every program's plain packets
there through as well. An eavesdropper reads them, and learns what the tunnel was to hide.

Source: the finding's title and the changes for it in the Mullvad app ("Firewall allows deanonymization by
eavesdropper").
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.netns.attacks.scene import may_be_refused
from tests.netns.findings.victim import (
    ENDPOINT_PORT,
    FWMARK,
    OWN,
    OWN_MAC,
    PORTS,
    PRIMARY,
    ROUTER_MAC,
    SO_MARK,
    datagram,
    say,
    udp,
)

if TYPE_CHECKING:
    from tests.netns.findings.victim import Victim

UNUSED_PORT = PORTS[1]
KNOWN_MARKS = (51820, 1)  # wg-quick's, and a short one


def test_plain_datagrams_to_the_server_s_own_port_stay_inside(victim: Victim) -> None:
    victim.require_that_only_the_lock_keeps_in(lambda token: say(token, PRIMARY, ENDPOINT_PORT))


def test_plain_datagrams_from_a_port_of_the_tunnel_s_stay_inside(victim: Victim) -> None:
    def attempt(token: bytes) -> None:
        with udp(UNUSED_PORT) as opened, may_be_refused():
            opened.sendto(token, (str(PRIMARY), ENDPOINT_PORT))

    victim.require_that_only_the_lock_keeps_in(attempt)


@pytest.mark.parametrize("mark", [*KNOWN_MARKS, FWMARK ^ 1])
def test_plain_datagrams_with_a_guessed_mark_stay_inside(victim: Victim, mark: int) -> None:
    def attempt(token: bytes) -> None:
        with udp(UNUSED_PORT) as opened, may_be_refused():
            opened.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
            opened.sendto(token, (str(PRIMARY), ENDPOINT_PORT))

    victim.require_that_only_the_lock_keeps_in(attempt)


def test_a_frame_like_the_tunnel_s_own_in_every_field_stays_inside(victim: Victim) -> None:
    def attempt(token: bytes) -> None:
        packet = datagram((OWN, UNUSED_PORT), (PRIMARY, ENDPOINT_PORT), token)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw, may_be_refused():
            raw.sendto(ROUTER_MAC + OWN_MAC + b"\x08\x00" + packet, ("eth0", 0x0800))

    victim.require_that_only_the_lock_keeps_in(attempt)
