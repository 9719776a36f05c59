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
