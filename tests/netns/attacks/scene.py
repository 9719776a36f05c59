"""Where attacks are tried: a sidecar with an uplink and a tunnel, and a watch one hop away on both.

sidecar eth0 10.77.0.2, 2001:db8:77::2 ── down0 10.77.0.1, 2001:db8:77::1 router
sidecar wg0  10.9.0.2,  2001:db8:9::2  ── inner0 10.9.0.1, 2001:db8:9::1  beyond

The tunnel is a plain link here: what may enter it is asked, not what WireGuard does with it. A table of somebody
else's translates addresses, as Docker's does. The router and the far side are documentation addresses.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import count
from typing import TYPE_CHECKING

from sidecar.drivers.nftables import NftablesLock
from sidecar.prove.catalogue import LOOPBACK, TUNNEL, UPLINK
from sidecar.prove.scene import Scene as Aim
from tests import policies
from tests.netns.world import End, Namespace, World
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sidecar.core.model import Address
    from tests.netns.attacks.catalogue import Attack

TOKEN = b"leaked"  # six bytes: it also fits where a hardware address stands
FAR4, FAR6 = IPv4Address("198.51.100.7"), IPv6Address("2001:db8:ffff::7")
FAR_PORT = 9
OWN4, OWN6 = "10.77.0.2", "2001:db8:77::2"
ROUTER4, ROUTER6 = "10.77.0.1", "2001:db8:77::1"
TUNNEL4, TUNNEL6 = "10.9.0.2", "2001:db8:9::2"
ENDPOINT4, ENDPOINT6, ENDPOINT_PORT = "203.0.113.10", "2001:db8:10::10", 51820
OWN_MAC, ROUTER_MAC = policies.OWN_MAC, policies.GATEWAY_MAC
ATTACKER_PORT, SENTINEL_PORT = policies.LISTEN_PORTS
DNAT_FROM = "127.0.0.53"
DEADLINE_S = 10.0
LATE_S = 0.4
"""The kernel sends IGMP and MLD reports a few ticks after it is asked to."""

ETH_P_ALL = 0x0003
SO_MARK = 36  # <asm-generic/socket.h>; Python names it on no version that we support
PACKET_OUTGOING = 4

FOREIGN_NAT = f"""
table ip nat {{
    chain output {{
        type nat hook output priority -100; policy accept;
        ip daddr {DNAT_FROM} dnat to {FAR4}
    }}
    chain postrouting {{
        type nat hook postrouting priority 100; policy accept;
        oifname "eth0" ip daddr {FAR4} masquerade
    }}
}}
"""

POLICY = replace(
    policies.GATEWAY,
    tunnel_addresses=(ip_address(TUNNEL4), ip_address(TUNNEL6)),
    flows=(
        policies.flow(ENDPOINT4, ENDPOINT_PORT, source=OWN4, next_hop_mac=ROUTER_MAC),
        policies.flow(ENDPOINT6, ENDPOINT_PORT, source=OWN6, next_hop_mac=ROUTER_MAC),
    ),
    resolutions=(
        policies.resolution(ROUTER4, source=OWN4, mac=ROUTER_MAC),
        policies.resolution(ROUTER6, source=OWN6, mac=ROUTER_MAC),
    ),
)


class Watch:
    """Every frame that arrives at a device, kept by the kernel from the moment this is made."""

    def __init__(self, namespace: Namespace, device: str) -> None:
        with namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            self._socket.bind((device, ETH_P_ALL))

    def arrived(self) -> list[bytes]:
        """Return what has arrived since the last call."""
        frames = []
        while True:
            try:
                frame, (_, _, kind, *_) = self._socket.recvfrom(1 << 16)
            except BlockingIOError:
                return frames
            if kind != PACKET_OUTGOING:
                frames.append(frame)

    def close(self) -> None:
        self._socket.close()


class Scene:
    """The namespaces, the lock, and what attacks need of both."""

    def __init__(self, world: World) -> None:
        self.lock = NftablesLock()
        self._numbers = count()
        self.sidecar, self.router, self.beyond = (world.namespace(role) for role in ("sidecar", "router", "beyond"))
        # Neighbour discovery comes first thing on a new link, and with it frames that no attack has sent.
        for namespace in (self.sidecar, self.router, self.beyond):
            namespace.sysctl("net/ipv6/conf/default/accept_dad", "0")
            namespace.sysctl("net/ipv6/conf/default/router_solicitations", "0")
        uplink = End(self.sidecar, "eth0", [f"{OWN4}/24", f"{OWN6}/64"], OWN_MAC)
        world.veth(uplink, End(self.router, "down0", [f"{ROUTER4}/24", f"{ROUTER6}/64"], ROUTER_MAC))
        tunnel = End(self.sidecar, policies.TUNNEL, [f"{TUNNEL4}/24", f"{TUNNEL6}/64"])
        world.veth(tunnel, End(self.beyond, "inner0", ["10.9.0.1/24", "2001:db8:9::1/64"]))
        self._settle()
        self.watches = {
            UPLINK: Watch(self.router, "down0"),
            TUNNEL: Watch(self.beyond, "inner0"),
            LOOPBACK: Watch(self.sidecar, "lo"),
        }

    def _settle(self) -> None:
        self.sidecar.nft(FOREIGN_NAT)
        for router in (ROUTER4, ROUTER6):
            self.sidecar.ip("neighbour", "replace", router, "lladdr", ROUTER_MAC, "dev", "eth0")
            self.sidecar.ip("route", "add", "default", "via", router)
        for own in (OWN4, OWN6):
            self.router.ip("neighbour", "replace", own, "lladdr", OWN_MAC, "dev", "down0")
        # A sidecar that forwards and trusts any source is the worst case for the lock.
        self.sidecar.sysctl("net/ipv4/ip_forward", "1")
        self.sidecar.sysctl("net/ipv4/ping_group_range", "0 2147483647")  # as Docker has it
        for device in ("all", "eth0", policies.TUNNEL):
            self.sidecar.sysctl(f"net/ipv4/conf/{device}/rp_filter", "0")
        self.router.ip("address", "add", f"{FAR4}/32", "dev", "lo")
        self.beyond.ip("route", "add", "default", "via", TUNNEL4)

    def close(self) -> None:
        for watch in self.watches.values():
            watch.close()

    def seal_off(self) -> None:
        """Lock the namespace."""
        with self.sidecar.entered():
            self.lock.apply(POLICY)

    def open_up(self) -> None:
        """Take the lock away, for the control."""
        for family in ("inet", "netdev"):
            self.sidecar.nft(f"add table {family} sidecar\ndelete table {family} sidecar")

    def escaped(self, attack: Attack) -> list[bytes]:
        """Make the attempt and return the frames with our sign that arrived before a frame that was sent after it."""
        where, watch, aim = attack.where, self.watches[attack.where], self._aim()
        watch.arrived()
        frames: list[bytes] = []

        def arrived(sign: Callable[[bytes], bool]) -> bool:
            frames.extend(watch.arrived())
            return any(sign(frame) for frame in frames)

        with self.sidecar.entered(), _on_one_processor(), attack.under_way(self, aim):
            if attack.is_late:
                with suppress(AssertionError):
                    wait_until(lambda: arrived(aim.shows_in), LATE_S, "what may not come at all")
            sentinel = f"sentinel {os.urandom(8).hex()}".encode()
            self._send_permitted(sentinel, where)
        what = f"the permitted frame that follows the attempt ({where})"
        wait_until(lambda: arrived(lambda frame: sentinel in frame), DEADLINE_S, what)
        return [frame for frame in frames if aim.shows_in(frame) and sentinel not in frame]

    @staticmethod
    def _send_permitted(payload: bytes, where: str) -> None:
        with udp(SENTINEL_PORT if where == UPLINK else 0) as permitted:
            if where == UPLINK:
                permitted.setsockopt(socket.SOL_SOCKET, SO_MARK, POLICY.fwmark)
                permitted.sendto(payload, (ENDPOINT4, ENDPOINT_PORT))
            else:
                permitted.sendto(payload, ("10.9.0.1" if where == TUNNEL else "127.0.0.1", FAR_PORT))

    def _aim(self) -> Aim:
        """Return what one attempt knows: everything, the mark included."""
        number = next(self._numbers) % 100
        return Aim(
            token=TOKEN,
            device="eth0",
            own_mac=mac(OWN_MAC),
            router_mac=mac(ROUTER_MAC),
            own4=IPv4Address(OWN4),
            own6=IPv6Address(OWN6),
            router4=IPv4Address(ROUTER4),
            router6=IPv6Address(ROUTER6),
            broadcast4=IPv4Address("10.77.0.255"),
            nobody4=IPv4Address(f"10.77.0.{100 + number}"),
            far4=FAR4,
            far6=FAR6,
            endpoint4=IPv4Address(ENDPOINT4),
            endpoint6=IPv6Address(ENDPOINT6),
            endpoint_port=ENDPOINT_PORT,
            source_port=ATTACKER_PORT,
            fwmark=POLICY.fwmark,
            tunnel_device=policies.TUNNEL,
            tunnel_peer4=IPv4Address("10.9.0.1"),
            tunnel_peer6=IPv6Address("2001:db8:9::1"),
            group4=IPv4Address(f"239.77.1.{number}"),
            group6=IPv6Address(f"ff05::77:{number}"),
            resolver4=IPv4Address("127.0.0.11"),
        )

    def send_from(self, namespace: Namespace, send: Callable[[], None]) -> None:
        """Run `send` in another namespace than the attack's."""
        with namespace.entered():
            send()


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """Keep this thread on one processor: a veth keeps the order of what one processor sends, and no other order."""
    before = os.sched_getaffinity(threading.get_native_id())
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def may_be_refused() -> Iterator[None]:
    """Go on where the lock says no: with EPERM in an inet hook, with ENOBUFS behind an AF_PACKET socket."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOBUFS}:
            raise


@contextmanager
def udp(source_port: int = 0, family: int = socket.AF_INET) -> Iterator[socket.socket]:
    """Open a UDP socket; 0 leaves the source port to the kernel."""
    with socket.socket(family, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(("", source_port))
        yield opened


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def checksum(data: bytes) -> int:
    """Return the Internet checksum of `data`."""
    padded = data + bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ipv4(destination: Address, payload: bytes, *, source: str = OWN4, protocol: int = socket.IPPROTO_UDP) -> bytes:
    """Return an IPv4 packet."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
    head += ip_address(source).packed + destination.packed
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def datagram(payload: bytes, *, source_port: int = ATTACKER_PORT, port: int = FAR_PORT) -> bytes:
    """Return a UDP datagram without a checksum."""
    return struct.pack(">HHHH", source_port, port, 8 + len(payload), 0) + payload
