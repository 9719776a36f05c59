"""TunnelCrack, ServerIP: what is sent to the VPN server's address goes around the tunnel.

A client needs a route to its server outside the tunnel. Who can tell it what the server's address is, by a forged
answer of DNS, makes that route lead to whatever address it wants to read the traffic of.

Here the server's address comes from the configuration and never from a name; and the host route alone lets nothing by.

Source: CVE-2023-36673 and CVE-2023-36671; Xue et al., "Bypassing Tunnels", USENIX Security 2023.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from sidecar.prove import wire
from tests.netns.attacks.scene import may_be_refused
from tests.netns.findings.victim import ENDPOINT_PORT, OWN, PRIMARY, is_of, say

if TYPE_CHECKING:
    from tests.netns.findings.victim import Victim

WEB = 443


def test_datagrams_to_the_server_s_address_do_not_take_its_route(victim: Victim) -> None:
    assert "dev eth0" in victim.stage.sidecar.ip("route", "get", str(PRIMARY))
    victim.require_that_only_the_lock_keeps_in(lambda token: say(token, PRIMARY, WEB))


def test_connections_to_the_server_s_address_do_not_take_its_route(victim: Victim) -> None:
    def attempt() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as opened, may_be_refused():
            opened.setblocking(False)  # noqa: FBT003 - socket's own signature
            opened.connect_ex((str(PRIMARY), WEB))

    def is_the_attempt(frame: bytes) -> bool:
        return is_of(frame, socket.IPPROTO_TCP, OWN, PRIMARY)

    victim.require_control(attempt, is_the_attempt)
    victim.seal_off()
    assert victim.out_of(attempt, is_the_attempt) == []


def test_a_ping_to_the_server_s_address_does_not_take_its_route(victim: Victim) -> None:
    def attempt(token: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as opened, may_be_refused():
            opened.sendto(wire.echo_request(token), (str(PRIMARY), 0))

    victim.require_that_only_the_lock_keeps_in(attempt)


def test_the_tunnel_itself_takes_it(victim: Victim) -> None:
    victim.seal_off()

    def is_outer(frame: bytes) -> bool:
        return is_of(frame, socket.IPPROTO_UDP, OWN, PRIMARY) and frame[36:38] == ENDPOINT_PORT.to_bytes(2, "big")

    assert victim.out_of(lambda: None, is_outer)
