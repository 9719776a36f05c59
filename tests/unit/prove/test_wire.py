"""Packets made by hand, read by somebody else's eyes."""

from __future__ import annotations

from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Ether

from sidecar.prove import wire
from sidecar.prove.nowhere import Nowhere

SCENE = Nowhere(()).scene()


def test_an_ip_packet_is_whole() -> None:
    packet = IP(wire.packet(SCENE))
    assert (packet.src, packet.dst, packet[UDP].dport) == (str(SCENE.own4), str(SCENE.far4), 9)
    claimed = packet.chksum
    del packet.chksum
    assert IP(bytes(packet)).chksum == claimed
    assert bytes(packet[UDP].payload) == SCENE.token


def test_an_echo_request_sums_up() -> None:
    request = ICMP(wire.echo_request(SCENE.token))
    claimed = request.chksum
    del request.chksum
    assert ICMP(bytes(request)).chksum == claimed


def test_arp_is_what_a_sidecar_may_send() -> None:
    question, answer = Ether(wire.arp_question(SCENE)), Ether(wire.arp_answer(SCENE))
    assert (question.dst, question[ARP].op, question[ARP].pdst) == ("ff:ff:ff:ff:ff:ff", 1, str(SCENE.router4))
    assert (answer[ARP].op, answer[ARP].psrc, answer.dst) == (2, str(SCENE.own4), SCENE.router_mac.hex(":"))
    assert len(wire.arp_question(SCENE)) == len(wire.arp_answer(SCENE)) == 42


def test_neighbour_discovery_is_what_a_sidecar_may_send() -> None:
    question, answer = Ether(wire.nd_question(SCENE)), Ether(wire.nd_answer(SCENE))
    assert question[ICMPv6ND_NS].tgt == str(SCENE.router6)
    assert question.dst == "33:33:ff:00:00:02"
    assert answer[ICMPv6ND_NA].tgt == str(SCENE.own6)
    for frame in (question, answer):
        message = frame[IPv6].payload
        claimed = message.cksum
        del message.cksum
        assert IPv6(bytes(frame[IPv6])).payload.cksum == claimed


def test_a_change_moves_nothing_else() -> None:
    assert wire.changed(b"abcdef", 2, b"XY") == b"abXYef"
