"""Ways to get a frame out beside the tunnel, for a root process with Docker's default capabilities.

    attempts.py TOKEN ENDPOINT TARGET      every way; prints JSON: what the kernel said, what to look for upstream
    attempts.py TOKEN ENDPOINT TARGET --for SECONDS    the cheap ones again and again, from the first instant

Standard library only. Each way carries TOKEN, so that the judge upstream finds it whatever sender it claims to be.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import sys
import time
import zlib
from pathlib import Path

import xdp

DEVICE = os.environ.get("LEAK_DEVICE", "eth0")
COPIES = 3
# The kernel frees a queue some time after its socket is closed, so a second try would find it busy.
ONCE = {"express_data_path"}
WIREGUARD_PORT = 51820
TARGET_PORT = 53
# Source: linux/if_ether.h, linux/if_packet.h, asm-generic/socket.h, linux/sockios.h
IPV4, ARP, VLAN, IPV6, LOCAL_EXPERIMENTAL = 0x0800, 0x0806, 0x8100, 0x86DD, 0x88B5
SOL_PACKET, PACKET_QDISC_BYPASS, SO_MARK, SIOCGIFADDR, SIOCGIFHWADDR = 263, 20, 36, 0x8915, 0x8927
BROADCAST = b"\xff" * 6
SERVICE_DISCOVERY = "239.192.152.143"  # BitTorrent local service discovery, BEP 14


class Attempts:
    """What every way needs to know; each public method is one way."""

    def __init__(self, token: str, endpoint: str, target: str) -> None:
        self.token = token.encode()
        self.endpoint = endpoint
        self.target = target
        self.mac = interface(SIOCGIFHWADDR)[18:24]
        self.address = socket.inet_ntoa(interface(SIOCGIFADDR)[20:24])
        self.next_hop = next_hop_mac(endpoint)

    # --- by sockets ---------------------------------------------------------------------------------------------------

    def udp_by_routing(self) -> None:
        with udp() as sender:
            sender.sendto(self.token, (self.target, TARGET_PORT))

    def udp_bound_to_device(self) -> None:
        with udp() as sender:
            bind_device(sender)
            sender.sendto(self.token, (self.target, TARGET_PORT))

    def udp_from_uplink_address(self) -> None:
        with udp() as sender:
            sender.bind((self.address, 0))
            sender.sendto(self.token, (self.target, TARGET_PORT))

    def udp_to_endpoint(self) -> None:
        with udp() as sender:
            bind_device(sender)
            sender.sendto(self.token, (self.endpoint, WIREGUARD_PORT))

    def udp_to_endpoint_with_mark(self) -> None:
        with udp() as sender:
            bind_device(sender)
            sender.setsockopt(socket.SOL_SOCKET, SO_MARK, 51820)
            sender.sendto(self.token, (self.endpoint, WIREGUARD_PORT))

    def udp_broadcast(self) -> None:
        with udp() as sender:
            bind_device(sender)
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sender.sendto(self.token, ("255.255.255.255", 67))

    def udp_multicast(self) -> None:
        with udp() as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(self.address))
            sender.sendto(self.token, (SERVICE_DISCOVERY, 6771))

    def tcp_to_endpoint(self) -> bytes:
        # A SYN has no room for the token: its ports are made of it.
        ports = [32768 + half % 28000 for half in divmod(zlib.crc32(self.token), 65536)]
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sender:
            bind_device(sender)
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sender.settimeout(0)
            sender.bind(("", ports[0]))
            sender.connect_ex((self.endpoint, ports[1]))
        return struct.pack("!HH", *ports)

    def icmp_raw(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sender:
            bind_device(sender)
            echo = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + self.token
            sender.sendto(echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:], (self.endpoint, 0))

    def ip_header_of_our_own(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
            bind_device(sender)
            sender.sendto(self.datagram("198.51.100.77", self.endpoint, TARGET_PORT), (self.endpoint, 0))

    # --- by AF_PACKET: no inet hook sees these ------------------------------------------------------------------------

    def packet_udp(self) -> None:
        self.frame(IPV4, self.datagram(self.address, self.target, TARGET_PORT))

    def packet_udp_bypassing_qdisc(self) -> None:
        self.frame(IPV4, self.datagram(self.address, self.target, TARGET_PORT), bypass=1)

    def packet_under_another_protocol(self) -> None:
        # The kernel believes the sender about skb->protocol: a rule on `meta protocol` sees ARP here.
        self.frame(IPV4, self.datagram(self.address, self.target, TARGET_PORT), protocol=ARP)

    def packet_forged_flow(self) -> None:
        self.frame(IPV4, self.datagram(self.address, self.endpoint, WIREGUARD_PORT, source_port=WIREGUARD_PORT))

    def packet_from_forged_mac(self) -> None:
        self.frame(IPV4, self.datagram(self.address, self.target, TARGET_PORT), source=self.next_hop)

    def packet_vlan(self) -> None:
        self.frame(VLAN, struct.pack("!HH", 7, IPV4) + self.datagram(self.address, self.target, TARGET_PORT))

    def packet_arp_as_channel(self) -> None:
        question = struct.pack("!HHBBH", 1, IPV4, 6, 4, 1) + self.mac + socket.inet_aton(self.address)
        question += bytes(6) + socket.inet_aton(self.endpoint)
        self.frame(ARP, question + self.token, destination=BROADCAST)

    def packet_arp_for_a_stranger(self) -> bytes:
        question = struct.pack("!HHBBH", 1, IPV4, 6, 4, 1) + self.mac + socket.inet_aton(self.address)
        asked = self.token[:6] + socket.inet_aton(self.target)
        self.frame(ARP, question + asked, destination=BROADCAST)
        return asked

    def packet_ipv6(self) -> None:
        source = bytes.fromhex("fe80000000000000") + bytes(7) + b"\1"
        destination = bytes.fromhex("ff02") + bytes(13) + b"\1"
        header = struct.pack("!IHBB", 0x60000000, len(self.token), 59, 255)
        self.frame(IPV6, header + source + destination + self.token, destination=bytes.fromhex("333300000001"))

    def packet_of_unknown_type(self) -> None:
        self.frame(LOCAL_EXPERIMENTAL, self.token, destination=BROADCAST)

    def express_data_path(self) -> None:
        header = self.next_hop + self.mac + IPV4.to_bytes(2, "big")
        xdp.send(DEVICE, header + self.datagram(self.address, self.target, TARGET_PORT))

    # --- how ----------------------------------------------------------------------------------------------------------

    def datagram(self, source: str, destination: str, port: int, source_port: int = 40000) -> bytes:
        """Return an IPv4 packet with a UDP datagram that holds the token."""
        length = 8 + len(self.token)
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0, 64, socket.IPPROTO_UDP, 0)
        header += socket.inet_aton(source) + socket.inet_aton(destination)
        header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
        return header + struct.pack("!HHHH", source_port, port, length, 0) + self.token

    def frame(
        self,
        ether_type: int,
        payload: bytes,
        *,
        destination: bytes | None = None,
        source: bytes | None = None,
        protocol: int | None = None,
        bypass: int = 0,
    ) -> None:
        """Send an Ethernet frame by AF_PACKET; by default to the next hop, from our own address."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
            sender.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, bypass)
            header = (destination or self.next_hop) + (source or self.mac) + ether_type.to_bytes(2, "big")
            sender.sendto(header + payload, (DEVICE, protocol or ether_type))


def udp() -> socket.socket:
    """Return a socket that never blocks."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(0)
    return made


def bind_device(sender: socket.socket) -> None:
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, DEVICE.encode())


def interface(request: int) -> bytes:
    """Ask the kernel about the uplink; returns a struct ifreq."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        return fcntl.ioctl(control, request, struct.pack("256s", DEVICE.encode()))


def next_hop_mac(address: str) -> bytes:
    """Return the endpoint's hardware address from the kernel's table; broadcast where it is not known."""
    for line in Path("/proc/net/arp").read_text().splitlines()[1:]:
        found, _, _, mac, *_ = line.split()
        if found == address and mac != "00:00:00:00:00:00":
            return bytes.fromhex(mac.replace(":", ""))
    return BROADCAST


def checksum(data: bytes) -> int:
    """Return the Internet checksum, RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) // 2 * 2]))
    total += data[-1] << 8 if len(data) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tried(attempts: Attempts, way: str) -> tuple[str, bytes]:
    """Try one way; return what the kernel said, and the bytes to look for upstream."""
    marker = None
    try:
        for _ in range(1 if way in ONCE else COPIES):
            marker = getattr(attempts, way)()
    except OSError as error:
        return f"{type(error).__name__}: {error}", marker or attempts.token
    return "sent", marker or attempts.token


def ways() -> list[str]:
    """Return the names of all ways."""
    return [name for name in vars(Attempts) if name.startswith(("udp", "tcp", "icmp", "ip_", "packet", "express"))]


def flood(token: str, endpoint: str, target: str, seconds: float) -> None:
    """Send by one routed socket and by AF_PACKET, about 500 times a second, from the first instant on."""
    end_s = time.monotonic() + seconds
    attempts = None
    while time.monotonic() < end_s:
        try:
            attempts = attempts or Attempts(token, endpoint, target)
        except OSError:  # no uplink yet
            continue
        tried(attempts, "udp_by_routing")
        tried(attempts, "packet_udp")
        time.sleep(0.005)


def main(arguments: list[str]) -> int:
    token, endpoint, target, *rest = arguments
    if rest:
        flood(token, endpoint, target, float(rest[1]))
        return 0
    said = {}
    for way in ways():
        # One token a way: the judge tells which one got out.
        outcome, marker = tried(Attempts(f"{token}.{way}.", endpoint, target), way)
        said[way] = {"outcome": outcome, "marker": marker.hex()}
    sys.stdout.write(json.dumps(said) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
