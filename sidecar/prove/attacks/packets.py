"""What an AF_PACKET socket can try: frames that no hook of the inet family ever sees."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sidecar.prove import wire
from sidecar.prove.attacks.raw import FALSE_SOURCE, set_mark
from sidecar.prove.catalogue import NET_RAW, attack, may_be_refused
from sidecar.prove.wire import ARP, BROADCAST, EXPERIMENTAL, IPV4, IPV6, QINQ, VLAN, ether, outer_flow, to_router

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.prove.scene import Scene

# Source: <linux/if_packet.h>, <linux/if_ether.h>
SOL_PACKET, PACKET_VNET_HDR, PACKET_QDISC_BYPASS = 263, 15, 20
ETH_P_802_2 = 4
VIRTIO_NET_HEADER = bytes(10)
LLC = b"\xaa\xaa\x03"
VLAN_7 = ether(VLAN) + ether(7)


@contextmanager
def packet_socket(kind: int = socket.SOCK_RAW) -> Iterator[socket.socket]:
    """Open an AF_PACKET socket that receives nothing."""
    with socket.socket(socket.AF_PACKET, kind, 0) as opened:
        yield opened


def send_frame(scene: Scene, frame: bytes, *, claimed: int = IPV4, opened: socket.socket | None = None) -> None:
    """Send a whole frame, claiming to the kernel that it is of the ether type `claimed`."""
    with packet_socket() as own, may_be_refused():
        (opened or own).sendto(frame, (scene.device, claimed))


def ip_frame(scene: Scene) -> bytes:
    """Return an honest frame to the far side."""
    return to_router(scene) + ether(IPV4) + wire.packet(scene)


@attack(needs=NET_RAW)
def a_frame(scene: Scene) -> None:
    """A frame with an IP packet."""
    send_frame(scene, ip_frame(scene))


@attack(needs=NET_RAW)
def a_packet_that_the_kernel_frames(scene: Scene) -> None:
    """An IP packet that the kernel puts into a frame (SOCK_DGRAM)."""
    with packet_socket(socket.SOCK_DGRAM) as opened, may_be_refused():
        opened.sendto(wire.packet(scene), (scene.device, IPV4, 0, 0, scene.router_mac))


@attack(needs=NET_RAW)
def a_frame_past_the_queue(scene: Scene) -> None:
    """A frame past the queue, where no tap sees it (PACKET_QDISC_BYPASS)."""
    with packet_socket() as opened:
        opened.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        send_frame(scene, ip_frame(scene), opened=opened)


@attack(needs=NET_RAW)
def a_frame_to_be_segmented(scene: Scene) -> None:
    """A frame with an offload header (PACKET_VNET_HDR)."""
    with packet_socket() as opened:
        opened.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        send_frame(scene, VIRTIO_NET_HEADER + ip_frame(scene), opened=opened)


@attack(needs=NET_RAW)
def an_ipv6_frame(scene: Scene) -> None:
    """An IPv6 packet to every host, also where IPv6 is off."""
    header = b"\x60\0\0\0\0\x06\x3b\xff" + scene.own6.packed + scene.far6.packed
    send_frame(scene, b"\x33\x33\0\0\0\1" + scene.own_mac + ether(IPV6) + header + scene.token, claimed=IPV6)


@attack(needs=NET_RAW)
def a_fragment_in_a_frame(scene: Scene) -> None:
    """A fragment that says it is in the middle of a packet to the VPN server."""
    fragment = wire.ipv4(scene.own4, scene.endpoint4, scene.token * 4, fragment=wire.MORE_FRAGMENTS | 8)
    send_frame(scene, to_router(scene) + ether(IPV4) + fragment)


@attack(needs=NET_RAW)
def a_frame_with_a_vlan_tag(scene: Scene) -> None:
    """A frame with a VLAN tag."""
    send_frame(scene, to_router(scene) + VLAN_7 + ether(IPV4) + wire.packet(scene), claimed=VLAN)


@attack(needs=NET_RAW)
def a_frame_with_a_vlan_tag_that_claims_to_be_ip(scene: Scene) -> None:
    """A frame with a VLAN tag that claims to be IP."""
    send_frame(scene, to_router(scene) + VLAN_7 + ether(IPV4) + wire.packet(scene))


@attack(needs=NET_RAW)
def a_frame_with_two_vlan_tags(scene: Scene) -> None:
    """A frame with two VLAN tags (QinQ)."""
    tags = ether(QINQ) + ether(7) + ether(VLAN) + ether(8)
    send_frame(scene, to_router(scene) + tags + ether(IPV4) + wire.packet(scene), claimed=QINQ)


@attack(needs=NET_RAW)
def the_outer_flow_within_a_vlan_tag(scene: Scene) -> None:
    """The tunnel's own flow within a VLAN tag."""
    send_frame(scene, to_router(scene) + VLAN_7 + ether(IPV4) + outer_flow(scene))


@attack(needs=NET_RAW)
def an_unknown_ether_type(scene: Scene) -> None:
    """An ether type for experiments."""
    send_frame(scene, to_router(scene) + ether(EXPERIMENTAL) + scene.token * 10, claimed=EXPERIMENTAL)


@attack(needs=NET_RAW)
def an_unknown_ether_type_that_claims_to_be_ip(scene: Scene) -> None:
    """An unknown ether type that claims to be IP, over the tunnel's own flow."""
    send_frame(scene, to_router(scene) + ether(EXPERIMENTAL) + outer_flow(scene))


@attack(needs=NET_RAW)
def an_unknown_ether_type_that_claims_to_be_arp(scene: Scene) -> None:
    """An unknown ether type that claims to be ARP."""
    send_frame(scene, BROADCAST + scene.own_mac + ether(EXPERIMENTAL) + scene.token * 10, claimed=ARP)


@attack(needs=NET_RAW)
def an_ip_packet_that_claims_to_be_arp(scene: Scene) -> None:
    """An IP packet that claims to be ARP (lying sll_protocol)."""
    send_frame(scene, ip_frame(scene), claimed=ARP)


@attack(needs=NET_RAW)
def an_ip_packet_that_claims_to_be_ipv6(scene: Scene) -> None:
    """An IP packet that claims to be IPv6 (lying sll_protocol)."""
    send_frame(scene, ip_frame(scene), claimed=IPV6)


@attack(needs=NET_RAW)
def a_frame_with_a_length_for_a_type(scene: Scene) -> None:
    """An 802.3 frame, with a length for a type."""
    send_frame(scene, to_router(scene) + ether(60) + LLC + scene.token * 10, claimed=ETH_P_802_2)


@attack(needs=NET_RAW)
def the_outer_flow_without_the_mark(scene: Scene) -> None:
    """A perfect forgery of the tunnel's flow, all but the mark."""
    send_frame(scene, to_router(scene) + ether(IPV4) + outer_flow(scene))


def _marked(scene: Scene, frame: bytes) -> None:
    with packet_socket() as opened:
        set_mark(opened, scene.fwmark)
        send_frame(scene, frame, opened=opened)


@attack(needs=NET_RAW)
def the_right_mark_on_a_frame_to_another_destination(scene: Scene) -> None:
    """A frame with the tunnel's own mark, had it been betrayed, to elsewhere."""
    _marked(scene, ip_frame(scene))


@attack(needs=NET_RAW)
def the_right_mark_on_a_frame_to_everybody(scene: Scene) -> None:
    """The tunnel's flow and mark, to everybody on the link."""
    _marked(scene, BROADCAST + scene.own_mac + ether(IPV4) + outer_flow(scene))


@attack(needs=NET_RAW)
def the_right_mark_on_a_frame_from_another_hardware_address(scene: Scene) -> None:
    """The tunnel's flow and mark, from another hardware address."""
    _marked(scene, scene.router_mac + scene.token + ether(IPV4) + outer_flow(scene))


@attack(needs=NET_RAW)
def the_right_mark_on_a_frame_from_another_address(scene: Scene) -> None:
    """The tunnel's flow and mark, from another address."""
    payload = wire.datagram(scene.token, source_port=scene.source_port, port=scene.endpoint_port)
    _marked(scene, to_router(scene) + ether(IPV4) + wire.ipv4(FALSE_SOURCE, scene.endpoint4, payload))


@attack(needs=NET_RAW)
def the_right_mark_on_tcp_to_the_endpoint(scene: Scene) -> None:
    """The tunnel's flow and mark, but TCP."""
    segment = wire.datagram(scene.token * 4, source_port=scene.source_port, port=scene.endpoint_port)
    packet = wire.ipv4(scene.own4, scene.endpoint4, segment, protocol=socket.IPPROTO_TCP)
    _marked(scene, to_router(scene) + ether(IPV4) + packet)


@attack(needs=NET_RAW)
def the_right_mark_on_another_ether_type(scene: Scene) -> None:
    """The tunnel's flow and mark, of another ether type."""
    _marked(scene, to_router(scene) + ether(EXPERIMENTAL) + outer_flow(scene))
