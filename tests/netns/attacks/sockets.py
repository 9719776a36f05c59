"""What an ordinary socket can try, and one with CAP_NET_RAW."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING

from tests.netns.attacks import scene as at
from tests.netns.attacks.catalogue import attack, attack_on_tunnel
from tests.netns.attacks.scene import FAR4, FAR6, FAR_PORT, SO_MARK, TOKEN, may_be_refused, udp

if TYPE_CHECKING:
    from tests.netns.attacks.scene import Scene

FAR = (str(FAR4), FAR_PORT)
GUESSES = 200
EXPERIMENTAL_PROTOCOL = 253  # RFC 3692


def send(opened: socket.socket, payload: bytes, to: tuple[str, int]) -> None:
    """Send, or be refused: that is what a lock may do."""
    with may_be_refused():
        opened.sendto(payload, to)


@attack
def udp_by_the_default_route(_: Scene) -> None:
    with udp() as opened:
        send(opened, TOKEN, FAR)


@attack
def udp_by_the_default_route_of_ipv6(_: Scene) -> None:
    with udp(family=socket.AF_INET6) as opened:
        send(opened, TOKEN, (str(FAR6), FAR_PORT))


@attack
def udp_bound_to_the_device(_: Scene) -> None:
    with udp() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        send(opened, TOKEN, FAR)


@attack
def udp_bound_to_the_uplink_s_address(_: Scene) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind((at.OWN4, 0))
        send(opened, TOKEN, FAR)


@attack
def udp_with_the_route_given_by_the_sender(_: Scene) -> None:
    with udp() as opened:
        opened.setsockopt(socket.IPPROTO_IP, 50, socket.if_nametoindex("eth0").to_bytes(4, "big"))  # IP_UNICAST_IF
        send(opened, TOKEN, FAR)


@attack
def udp_to_a_neighbour(_: Scene) -> None:
    with udp() as opened:
        send(opened, TOKEN, (at.ROUTER4, FAR_PORT))


@attack
def udp_in_fragments(_: Scene) -> None:
    with udp() as opened:
        send(opened, TOKEN * 1000, FAR)


@attack
def udp_to_multicast(_: Scene) -> None:
    with udp() as opened:
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(at.OWN4))
        send(opened, TOKEN, ("224.0.0.251", 5353))


@attack
def udp_to_multicast_of_ipv6(_: Scene) -> None:
    with udp(family=socket.AF_INET6) as opened:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("eth0"))
        send(opened, TOKEN, ("ff02::fb", 5353))


@attack
def udp_to_broadcast(_: Scene) -> None:
    with udp() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        send(opened, TOKEN, ("10.77.0.255", FAR_PORT))


@attack
def udp_to_the_endpoint_without_the_mark(_: Scene) -> None:
    with udp(at.ATTACKER_PORT) as opened:
        send(opened, TOKEN, (at.ENDPOINT4, at.ENDPOINT_PORT))


@attack
def udp_to_the_ipv6_endpoint_without_the_mark(_: Scene) -> None:
    with udp(at.ATTACKER_PORT, socket.AF_INET6) as opened:
        send(opened, TOKEN, (at.ENDPOINT6, at.ENDPOINT_PORT))


@attack
def udp_to_the_endpoint_with_guessed_marks(_: Scene) -> None:
    guesses = random.Random(1).sample(range(1, 1 << 32), GUESSES)  # noqa: S311 - an attacker's guesses need no secrecy
    with udp(at.ATTACKER_PORT) as opened:
        for guess in (0, 1, 51820, 0xCA6C, *(guess for guess in guesses if guess != at.POLICY.fwmark)):
            opened.setsockopt(socket.SOL_SOCKET, SO_MARK, guess - (1 << 32) if guess >> 31 else guess)
            send(opened, TOKEN, (at.ENDPOINT4, at.ENDPOINT_PORT))


@attack
def the_right_mark_to_another_destination(_: Scene) -> None:
    with udp(at.ATTACKER_PORT) as opened:
        opened.setsockopt(socket.SOL_SOCKET, SO_MARK, at.POLICY.fwmark)
        send(opened, TOKEN, (str(FAR4), at.ENDPOINT_PORT))


@attack
def the_right_mark_to_another_port(_: Scene) -> None:
    with udp(at.ATTACKER_PORT) as opened:
        opened.setsockopt(socket.SOL_SOCKET, SO_MARK, at.POLICY.fwmark)
        send(opened, TOKEN, (at.ENDPOINT4, at.ENDPOINT_PORT + 1))


@attack
def the_right_mark_from_another_port(_: Scene) -> None:
    with udp() as opened:
        opened.setsockopt(socket.SOL_SOCKET, SO_MARK, at.POLICY.fwmark)
        send(opened, TOKEN, (at.ENDPOINT4, at.ENDPOINT_PORT))


@attack
def tcp_by_the_default_route(_: Scene) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as opened:
        opened.connect_ex(FAR)


@attack
def tcp_by_the_default_route_of_ipv6(_: Scene) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as opened:
        opened.connect_ex((str(FAR6), FAR_PORT))


@attack
def icmp_echo(_: Scene) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as opened:
        request = b"\x08\x00\0\0\0\1\0\1" + TOKEN
        request = request[:2] + at.checksum(request).to_bytes(2, "big") + request[4:]
        send(opened, request, (str(FAR4), 0))


@attack
def icmp_echo_of_ipv6(_: Scene) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as opened:
        send(opened, b"\x80\x00\0\0\0\1\0\1" + TOKEN, (str(FAR6), 0))


@attack
def an_unknown_ip_protocol(_: Scene) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, EXPERIMENTAL_PROTOCOL) as opened:
        send(opened, TOKEN, (str(FAR4), 0))


@attack
def a_whole_ip_packet_with_a_false_source(_: Scene) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as opened:
        packet = at.ipv4(FAR4, at.datagram(TOKEN), source="192.0.2.99")
        send(opened, packet, (str(FAR4), 0))


@attack
def a_whole_ip_packet_like_the_outer_flow(_: Scene) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as opened:
        endpoint = at.ip_address(at.ENDPOINT4)
        send(opened, at.ipv4(endpoint, at.datagram(TOKEN, port=at.ENDPOINT_PORT)), (at.ENDPOINT4, 0))


@attack
def loopback_that_somebody_translates_to_the_far_side(_: Scene) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind((at.OWN4, 0))
        send(opened, TOKEN, (at.DNAT_FROM, FAR_PORT))


@attack_on_tunnel
def the_uplink_s_address_into_the_tunnel(_: Scene) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"wg0")
        opened.bind((at.OWN4, 0))
        send(opened, TOKEN, ("10.9.0.1", FAR_PORT))


@attack_on_tunnel
def the_uplink_s_ipv6_address_into_the_tunnel(_: Scene) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"wg0")
        opened.bind((at.OWN6, 0))
        send(opened, TOKEN, ("2001:db8:9::1", FAR_PORT))
