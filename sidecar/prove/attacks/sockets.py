"""What any process can try: UDP and TCP sockets, with the options that need no capability."""

from __future__ import annotations

import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sidecar.prove.catalogue import LOOPBACK, TUNNEL, attack, may_be_refused, note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.prove.scene import Scene

DISCARD = 9
MDNS_GROUP, MDNS_GROUP6, MDNS = "224.0.0.251", "ff02::fb", 5353
FRAGMENTED_BYTES = 6000
# Source: <linux/in.h>, <linux/in6.h>; Python names neither.
IP_UNICAST_IF, IP_PKTINFO, IPV6_PKTINFO, IPPROTO_MPTCP = 50, 8, 50, 262


@contextmanager
def udp(scene: Scene | None = None, *, source_port: int = 0, family: int = socket.AF_INET) -> Iterator[socket.socket]:
    """Open a UDP socket, bound to the uplink where a scene is given; 0 leaves the source port to the kernel."""
    with socket.socket(family, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if scene is not None:
            bind_to(opened, scene.device)
        if source_port:
            opened.bind(("", source_port))
        yield opened


def bind_to(opened: socket.socket, device: str) -> None:
    """Send by this device whatever the routes say. Needs no capability since Linux 5.7."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())


def send(opened: socket.socket, payload: bytes, to: object, port: int = DISCARD) -> None:
    """Send, or be refused."""
    with may_be_refused():
        opened.sendto(payload, (str(to), port))


@attack()
def udp_by_the_default_route(scene: Scene) -> None:
    """UDP by the default route."""
    with udp() as opened:
        send(opened, scene.token, scene.far4)


@attack()
def udp_by_the_default_route_of_ipv6(scene: Scene) -> None:
    """UDP by the default route of IPv6."""
    with udp(family=socket.AF_INET6) as opened:
        send(opened, scene.token, scene.far6)


@attack()
def udp_bound_to_the_device(scene: Scene) -> None:
    """UDP bound to the uplink (SO_BINDTODEVICE)."""
    with udp(scene) as opened:
        send(opened, scene.token, scene.far4)


@attack()
def udp_bound_to_the_device_of_ipv6(scene: Scene) -> None:
    """UDP over IPv6 bound to the uplink."""
    with udp(scene, family=socket.AF_INET6) as opened:
        send(opened, scene.token, scene.far6)


@attack()
def udp_bound_to_the_address(scene: Scene) -> None:
    """UDP bound to the uplink's address, by the uplink."""
    with udp(scene) as opened:
        opened.bind((str(scene.own4), 0))
        send(opened, scene.token, scene.far4)


@attack()
def udp_with_the_device_in_the_socket(scene: Scene) -> None:
    """UDP with the device chosen by IP_UNICAST_IF."""
    with udp() as opened:
        opened.setsockopt(socket.IPPROTO_IP, IP_UNICAST_IF, struct.pack(">I", socket.if_nametoindex(scene.device)))
        send(opened, scene.token, scene.far4)


@attack()
def udp_with_the_device_in_the_message(scene: Scene) -> None:
    """UDP with device and source chosen by IP_PKTINFO."""
    chosen = struct.pack("=I4s4s", socket.if_nametoindex(scene.device), scene.own4.packed, bytes(4))
    with udp() as opened, may_be_refused():
        ancillary = [(socket.IPPROTO_IP, IP_PKTINFO, chosen)]
        opened.sendmsg([scene.token], ancillary, 0, (str(scene.far4), DISCARD))


@attack()
def udp_with_the_device_in_the_message_of_ipv6(scene: Scene) -> None:
    """UDP with device and source chosen by IPV6_PKTINFO."""
    chosen = struct.pack("=16sI", scene.own6.packed, socket.if_nametoindex(scene.device))
    with udp(family=socket.AF_INET6) as opened, may_be_refused():
        ancillary = [(socket.IPPROTO_IPV6, IPV6_PKTINFO, chosen)]
        opened.sendmsg([scene.token], ancillary, 0, (str(scene.far6), DISCARD))


@attack()
def udp_to_a_neighbour(scene: Scene) -> None:
    """UDP to a host on the uplink's network."""
    with udp(scene) as opened:
        send(opened, scene.token, scene.router4)


@attack()
def udp_to_nobody(scene: Scene) -> None:
    """UDP to an unknown host on the link, so that the kernel asks for it by ARP."""
    with udp(scene) as opened:
        send(opened, scene.token, scene.nobody4)


@attack()
def udp_in_fragments(scene: Scene) -> None:
    """UDP larger than the link, so that it leaves in fragments."""
    with udp(scene) as opened:
        send(opened, scene.token * (FRAGMENTED_BYTES // len(scene.token)), scene.far4)


@attack()
def udp_to_the_subnets_broadcast(scene: Scene) -> None:
    """UDP to the broadcast address of the uplink's network."""
    with udp(scene) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        send(opened, scene.token, scene.broadcast4)


@attack()
def udp_to_everybody(scene: Scene) -> None:
    """UDP to 255.255.255.255, as DHCP does."""
    with udp(scene) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        send(opened, scene.token, "255.255.255.255")


@attack()
def udp_to_multicast(scene: Scene) -> None:
    """UDP to a multicast group."""
    with udp() as opened:
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(str(scene.own4)))
        send(opened, scene.token, scene.group4)


@attack()
def udp_to_mdns(scene: Scene) -> None:
    """UDP to mDNS, as service discovery does."""
    with udp() as opened:
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(str(scene.own4)))
        send(opened, scene.token, MDNS_GROUP, MDNS)


@attack()
def udp_to_mdns_of_ipv6(scene: Scene) -> None:
    """UDP to mDNS over IPv6."""
    with udp(family=socket.AF_INET6) as opened:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(scene.device))
        send(opened, scene.token, MDNS_GROUP6, MDNS)


@attack()
def udp_to_the_endpoint(scene: Scene) -> None:
    """UDP to the VPN server's address and port."""
    with udp(scene) as opened:
        send(opened, scene.token, scene.endpoint4, scene.endpoint_port)


@attack()
def udp_to_the_endpoint_from_the_tunnels_port(scene: Scene) -> None:
    """UDP to the VPN server from a port of the tunnel's own."""
    with udp(scene, source_port=scene.source_port) as opened:
        send(opened, scene.token, scene.endpoint4, scene.endpoint_port)


@attack()
def udp_to_the_endpoint_of_ipv6(scene: Scene) -> None:
    """UDP over IPv6 to the VPN server from a port of the tunnel's own."""
    with udp(scene, source_port=scene.source_port, family=socket.AF_INET6) as opened:
        send(opened, scene.token, scene.endpoint6, scene.endpoint_port)


@attack()
def tcp_by_the_default_route(scene: Scene) -> None:
    """TCP by the default route."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as opened:
        note(opened.connect_ex((str(scene.far4), DISCARD)))


@attack()
def tcp_bound_to_the_device(scene: Scene) -> None:
    """TCP bound to the uplink."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as opened:
        bind_to(opened, scene.device)
        note(opened.connect_ex((str(scene.far4), DISCARD)))


@attack()
def tcp_bound_to_the_device_of_ipv6(scene: Scene) -> None:
    """TCP over IPv6 bound to the uplink."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as opened:
        bind_to(opened, scene.device)
        note(opened.connect_ex((str(scene.far6), DISCARD)))


@attack()
def multipath_tcp(scene: Scene) -> None:
    """Multipath TCP bound to the uplink."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, IPPROTO_MPTCP) as opened:
        bind_to(opened, scene.device)
        note(opened.connect_ex((str(scene.far4), DISCARD)))


@attack(where=LOOPBACK)
def dns_to_the_embedded_resolver(scene: Scene) -> None:
    """DNS to 127.0.0.11, which Docker asks outside for."""
    with udp() as opened:
        send(opened, scene.token, scene.resolver4, 53)


@attack(where=TUNNEL)
def the_uplinks_address_into_the_tunnel(scene: Scene) -> None:
    """The uplink's own address shown to the VPN server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        bind_to(opened, scene.tunnel_device)
        opened.bind((str(scene.own4), 0))
        send(opened, scene.token, scene.tunnel_peer4)


@attack(where=TUNNEL)
def the_uplinks_ipv6_address_into_the_tunnel(scene: Scene) -> None:
    """The uplink's own IPv6 address shown to the VPN server."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as opened:
        bind_to(opened, scene.tunnel_device)
        opened.bind((str(scene.own6), 0))
        send(opened, scene.token, scene.tunnel_peer6)
