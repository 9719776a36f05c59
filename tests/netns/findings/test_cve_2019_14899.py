"""CVE-2019-14899: a neighbour finds out the tunnel's address, which connections it has, and writes into them.

A host answers for any of its addresses on any of its devices. A neighbour sends packets to every address that the
tunnel could have, and the one that is answered is it. Then it does the same with the addresses and ports of a
connection that it guesses: the answer goes into the tunnel, and is seen on the wire as one more encrypted packet. Then
it writes into it.

Source: Tolley et al., oss-security, 4 December 2019.
"""

from __future__ import annotations

import secrets
import select
import socket
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from tests.netns.attacks.scene import Watch
from tests.netns.findings.victim import (
    DEADLINE_S,
    FAR,
    ROUTER,
    TUNNEL,
    datagram,
    is_of,
    new_token,
    segment,
    to_sidecar,
    udp,
)
from tests.netns.peers import ECHO_PORT
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.netns.findings.victim import Victim

SYN_ACK, SYN = 0x12, 0x02
CLOSED_PORT = 40999
NEIGHBOUR = (ROUTER, 45000)
NOBODY = IPv4Address("10.64.0.3")
NOT_COMING_S = 0.3


def test_a_neighbour_that_tries_the_tunnel_s_address_gets_no_answer(victim: Victim) -> None:
    def probe() -> None:
        for flags in (SYN_ACK, SYN):
            victim.from_the_lan(to_sidecar(segment(NEIGHBOUR, (TUNNEL, CLOSED_PORT), flags)))

    def is_reset(frame: bytes) -> bool:
        return is_of(frame, socket.IPPROTO_TCP, TUNNEL, ROUTER)

    victim.require_control(probe, is_reset)
    victim.seal_off()
    assert victim.out_of(probe, is_reset) == []


def test_the_tunnel_s_address_looks_like_any_other_to_a_neighbour(victim: Victim) -> None:
    def probe() -> None:
        for address in (TUNNEL, NOBODY):
            victim.from_the_lan(to_sidecar(datagram(NEIGHBOUR, (address, CLOSED_PORT), new_token())))

    def is_unreachable(frame: bytes) -> bool:
        return frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_ICMP and frame[30:34] == ROUTER.packed

    victim.require_control(probe, is_unreachable)
    victim.seal_off()
    assert victim.out_of(probe, is_unreachable) == []


def test_a_guessed_connection_puts_no_packet_into_the_tunnel(victim: Victim) -> None:
    beyond = Watch(victim.stage.primary.namespace, victim.stage.primary.device)

    def answers_of(port: int) -> list[bytes]:
        return [
            packet
            for packet in beyond.arrived()  # no link header: it is a TUN device
            if packet[9] == socket.IPPROTO_TCP
            and packet[16:20] == FAR.packed
            and packet[22:24] == port.to_bytes(2, "big")
        ]

    def guess(port: int) -> None:
        victim.from_the_lan(to_sidecar(segment((FAR, port), (TUNNEL, CLOSED_PORT), SYN_ACK)))

    guess(443)
    wait_until(lambda: answers_of(443), DEADLINE_S, "the control: the answer that betrays the guess")
    victim.seal_off()
    guess(8443)
    victim.await_answer()
    assert answers_of(8443) == []
    beyond.close()


def test_a_neighbour_cannot_write_into_a_connection_of_the_tunnel(victim: Victim) -> None:
    with udp() as workload:
        workload.connect((str(FAR), ECHO_PORT))
        own_port = workload.getsockname()[1]

        def injected() -> bytes | None:
            forged = b"forged" + secrets.token_bytes(8)
            victim.from_the_lan(to_sidecar(datagram((FAR, ECHO_PORT), (TUNNEL, own_port), forged)))
            readable, _, _ = select.select([workload], [], [], NOT_COMING_S)
            return workload.recv(100) if readable else None

        workload.send(b"question")
        wait_until(lambda: workload.recv(100) == b"question", DEADLINE_S, "the connection's own answer")
        wait_until(injected, DEADLINE_S, "the control: the workload takes the forgery for an answer")
        victim.seal_off()
        before = victim.dropped_at_ingress()
        assert injected() is None
        assert victim.dropped_at_ingress() > before
        workload.send(b"again")
        workload.settimeout(DEADLINE_S)
        assert workload.recv(100) == b"again"
