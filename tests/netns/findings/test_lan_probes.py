"""What a neighbour learns by knocking: nothing. To the LAN, a locked sidecar is an address that nobody has.

Beside the findings of others: a lock that looks at the way out alone leaves the way in open, and every answer is a
packet outside the tunnel.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from sidecar.prove import wire
from tests.netns.attacks.scene import Watch
from tests.netns.findings.victim import (
    DEADLINE_S,
    FAR,
    OWN,
    PRIMARY,
    ROUTER,
    TUNNEL,
    datagram,
    is_of,
    new_token,
    segment,
    to_sidecar,
)
from tests.netns.peers import ECHO_PORT
from tests.waiting import wait_until

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from tests.netns.findings.victim import Victim

CLOSED, OPEN = 40999, 40998
SYN, ACK = 0x02, 0x10
NEIGHBOUR = (ROUTER, 45000)
REDIRECT_HOST, ECHO_REPLY = b"\x05\x01", bytes(8)  # Source: RFC 792


@pytest.mark.parametrize("address", [OWN, TUNNEL], ids=["uplink", "tunnel"])
def test_a_ping_is_not_answered(victim: Victim, address: IPv4Address) -> None:
    def ping() -> None:
        packet = wire.ipv4(ROUTER, address, wire.echo_request(new_token()), protocol=socket.IPPROTO_ICMP)
        victim.from_the_lan(to_sidecar(packet))

    def is_answer(frame: bytes) -> bool:
        return is_of(frame, socket.IPPROTO_ICMP, address, ROUTER)

    victim.require_control(ping, is_answer)
    victim.seal_off()
    assert victim.out_of(ping, is_answer) == []


@pytest.mark.parametrize("flags", [SYN, ACK], ids=["SYN", "ACK"])
@pytest.mark.parametrize("port", [CLOSED, OPEN])
def test_neither_a_closed_nor_an_open_tcp_port_answers(victim: Victim, port: int, flags: int) -> None:
    with socket.create_server((str(OWN), OPEN)):

        def knock() -> None:
            victim.from_the_lan(to_sidecar(segment(NEIGHBOUR, (OWN, port), flags)))

        def is_answer(frame: bytes) -> bool:
            return is_of(frame, socket.IPPROTO_TCP, OWN, ROUTER)

        victim.require_control(knock, is_answer)
        victim.seal_off()
        assert victim.out_of(knock, is_answer) == []


def test_a_closed_udp_port_is_not_said_to_be_closed(victim: Victim) -> None:
    def knock() -> None:
        victim.from_the_lan(to_sidecar(datagram(NEIGHBOUR, (OWN, CLOSED), new_token())))

    def is_answer(frame: bytes) -> bool:
        return frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_ICMP

    victim.require_control(knock, is_answer)
    victim.seal_off()
    assert victim.out_of(knock, is_answer) == []


def test_the_tunnel_is_not_to_be_used_by_the_neighbours(victim: Victim) -> None:
    """A host of the LAN takes the sidecar for its router: nothing that it sends reaches the far side."""
    victim.stage.sidecar.sysctl("net/ipv4/ip_forward", "1")
    beyond = Watch(victim.stage.primary.namespace, victim.stage.primary.device)
    loose, locked = new_token(), new_token()

    def send(token: bytes) -> None:
        victim.from_the_lan(to_sidecar(datagram((TUNNEL + 1, 45000), (FAR, ECHO_PORT), token)))

    # The server drops what does not bear an address of this client's; it admits the neighbour's too, for the control.
    victim.stage.primary.admit(victim.stage.keys.public, f"{TUNNEL}/32", f"{TUNNEL + 1}/32")
    send(loose)
    wait_until(lambda: any(loose in packet for packet in beyond.arrived()), DEADLINE_S, "the control")
    victim.seal_off()
    send(locked)
    victim.await_answer()
    assert not any(locked in packet for packet in beyond.arrived())
    beyond.close()


def test_a_redirect_moves_no_route(victim: Victim) -> None:
    """The next hop itself says that another host is the better way to the VPN server."""
    elsewhere = ROUTER + 65
    sidecar = victim.stage.sidecar
    sidecar.ip("neighbour", "replace", str(elsewhere), "lladdr", "02:00:00:00:00:66", "dev", "eth0", "nud", "permanent")
    for device in ("all", "eth0"):
        sidecar.sysctl(f"net/ipv4/conf/{device}/accept_redirects", "1")

    def redirect() -> None:
        about = wire.ipv4(OWN, PRIMARY, ECHO_REPLY, protocol=socket.IPPROTO_ICMP)
        message = REDIRECT_HOST + b"\0\0" + elsewhere.packed + about
        message = message[:2] + wire.checksum(message).to_bytes(2, "big") + message[4:]
        victim.from_the_lan(to_sidecar(wire.ipv4(ROUTER, OWN, message, protocol=socket.IPPROTO_ICMP)))

    def is_moved() -> bool:
        return f"via {elsewhere}" in sidecar.ip("route", "get", str(PRIMARY))

    victim.seal_off()
    before = victim.dropped_at_ingress()
    redirect()
    wait_until(lambda: victim.dropped_at_ingress() > before, DEADLINE_S, "the redirect to be dropped")
    assert not is_moved()
    victim.open_up()
    redirect()
    wait_until(is_moved, DEADLINE_S, "the control: the route is moved")
