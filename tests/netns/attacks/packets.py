"""What an AF_PACKET socket can try: frames that no hook of the inet family ever sees."""

from __future__ import annotations

import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.netns.attacks import scene as at
from tests.netns.attacks.catalogue import attack
from tests.netns.attacks.scene import FAR4, SO_MARK, TOKEN, datagram, ipv4, mac, may_be_refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.attacks.scene import Scene

SOL_PACKET, PACKET_VNET_HDR, PACKET_QDISC_BYPASS = 263, 15, 20  # <linux/if_packet.h>
ETH_P_IP, ETH_P_IPV6, ETH_P_ARP, ETH_P_EXPERIMENTAL = 0x0800, 0x86DD, 0x0806, 0x88B5
TO_ROUTER = mac(at.ROUTER_MAC) + mac(at.OWN_MAC)
BROADCAST = b"\xff" * 6
PACKET = ipv4(FAR4, datagram(TOKEN))
OUTER_FLOW = ipv4(at.ip_address(at.ENDPOINT4), datagram(TOKEN, port=at.ENDPOINT_PORT))


def ether(kind: int) -> bytes:
    return struct.pack(">H", kind)


@contextmanager
def packet_socket(kind: int = socket.SOCK_RAW) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_PACKET, kind, 0) as opened:
        yield opened


def send_frame(frame: bytes, *, claimed: int = ETH_P_IP, opened: socket.socket | None = None) -> None:
    """Send a whole frame, claiming to the kernel that it is of the ether type `claimed`."""
    with packet_socket() as own, may_be_refused():
        (opened or own).sendto(frame, ("eth0", claimed))


@attack
def a_frame(_: Scene) -> None:
    send_frame(TO_ROUTER + ether(ETH_P_IP) + PACKET)


@attack
def a_packet_that_the_kernel_frames(_: Scene) -> None:
    with packet_socket(socket.SOCK_DGRAM) as opened, may_be_refused():
        opened.sendto(PACKET, ("eth0", ETH_P_IP, 0, 0, mac(at.ROUTER_MAC)))


@attack
def a_frame_past_the_queue(_: Scene) -> None:
    with packet_socket() as opened:
        opened.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        send_frame(TO_ROUTER + ether(ETH_P_IP) + PACKET, opened=opened)


@attack
def a_frame_to_be_segmented(_: Scene) -> None:
    with packet_socket() as opened:
        opened.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        send_frame(bytes(10) + TO_ROUTER + ether(ETH_P_IP) + PACKET, opened=opened)


@attack
def a_frame_with_a_vlan_tag(_: Scene) -> None:
    send_frame(TO_ROUTER + bytes.fromhex("8100 0007") + ether(ETH_P_IP) + PACKET, claimed=0x8100)


@attack
def a_frame_with_a_vlan_tag_that_claims_to_be_ip(_: Scene) -> None:
    send_frame(TO_ROUTER + bytes.fromhex("8100 0007") + ether(ETH_P_IP) + PACKET)


@attack
def a_frame_with_two_vlan_tags(_: Scene) -> None:
    send_frame(TO_ROUTER + bytes.fromhex("88a8 0007 8100 0008") + ether(ETH_P_IP) + PACKET, claimed=0x88A8)


@attack
def the_outer_flow_within_a_vlan_tag(_: Scene) -> None:
    send_frame(TO_ROUTER + bytes.fromhex("8100 0007") + ether(ETH_P_IP) + OUTER_FLOW)


@attack
def an_unknown_ether_type(_: Scene) -> None:
    send_frame(TO_ROUTER + ether(ETH_P_EXPERIMENTAL) + TOKEN * 10, claimed=ETH_P_EXPERIMENTAL)


@attack
def an_unknown_ether_type_that_claims_to_be_ip(_: Scene) -> None:
    send_frame(TO_ROUTER + ether(ETH_P_EXPERIMENTAL) + OUTER_FLOW)


@attack
def an_unknown_ether_type_that_claims_to_be_arp(_: Scene) -> None:
    send_frame(BROADCAST + mac(at.OWN_MAC) + ether(ETH_P_EXPERIMENTAL) + TOKEN * 10, claimed=ETH_P_ARP)


@attack
def an_ip_packet_that_claims_to_be_arp(_: Scene) -> None:
    send_frame(TO_ROUTER + ether(ETH_P_IP) + PACKET, claimed=ETH_P_ARP)


@attack
def an_ip_packet_that_claims_to_be_ipv6(_: Scene) -> None:
    send_frame(TO_ROUTER + ether(ETH_P_IP) + PACKET, claimed=ETH_P_IPV6)


@attack
def a_frame_with_a_length_for_a_type(_: Scene) -> None:
    send_frame(TO_ROUTER + ether(60) + b"\xaa\xaa\x03" + TOKEN * 10, claimed=4)  # ETH_P_802_2


@attack
def the_outer_flow_without_the_mark(_: Scene) -> None:
    send_frame(TO_ROUTER + ether(ETH_P_IP) + OUTER_FLOW)


def _marked(frame: bytes) -> None:
    with packet_socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, SO_MARK, at.POLICY.fwmark)
        send_frame(frame, opened=opened)


@attack
def the_right_mark_on_a_frame_to_another_destination(_: Scene) -> None:
    _marked(TO_ROUTER + ether(ETH_P_IP) + PACKET)


@attack
def the_right_mark_on_a_frame_to_everybody(_: Scene) -> None:
    _marked(BROADCAST + mac(at.OWN_MAC) + ether(ETH_P_IP) + OUTER_FLOW)


@attack
def the_right_mark_on_a_frame_from_another_hardware_address(_: Scene) -> None:
    _marked(mac(at.ROUTER_MAC) + TOKEN + ether(ETH_P_IP) + OUTER_FLOW)


@attack
def the_right_mark_on_a_frame_from_another_address(_: Scene) -> None:
    packet = ipv4(at.ip_address(at.ENDPOINT4), datagram(TOKEN, port=at.ENDPOINT_PORT), source="10.77.0.3")
    _marked(TO_ROUTER + ether(ETH_P_IP) + packet)


@attack
def the_right_mark_on_tcp_to_the_endpoint(_: Scene) -> None:
    segment = datagram(TOKEN * 4, port=at.ENDPOINT_PORT)
    _marked(TO_ROUTER + ether(ETH_P_IP) + ipv4(at.ip_address(at.ENDPOINT4), segment, protocol=socket.IPPROTO_TCP))


@attack
def the_right_mark_on_another_ether_type(_: Scene) -> None:
    _marked(TO_ROUTER + ether(ETH_P_EXPERIMENTAL) + OUTER_FLOW)
