"""A namespace whose uplink is counted by egress rules of the test's own, and senders for it."""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from typing import TYPE_CHECKING

from sidecar.drivers.accounting import KernelAccounting
from sidecar.drivers.accounting.offloads import _names
from tests.netns.world import End

if TYPE_CHECKING:
    from tests.netns.world import Namespace, World

TABLE = "account"
MARK = 0x51DECA12
SO_MARK, SOL_UDP, UDP_SEGMENT = 36, 17, 103
SIOCETHTOOL, ETHTOOL_SFEATURES = 0x8946, 0x3B
SEGMENT_BYTES, SEGMENTS = 1400, 40


def counter_of(device: str) -> str:
    return f"passed_{device}"


def accounting() -> KernelAccounting:
    return KernelAccounting(TABLE, counter_of)


def rules(*devices: str) -> str:
    """Accept and count what bears the mark, ARP and neighbour discovery; drop the rest."""
    chains = [
        f"""
        counter {counter_of(device)} {{ }}
        chain egress_{device} {{
            type filter hook egress device "{device}" priority filter; policy drop;
            meta mark {MARK} counter name "{counter_of(device)}" accept
            meta protocol arp counter name "{counter_of(device)}" accept
            meta protocol ip6 icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} \
counter name "{counter_of(device)}" accept
        }}"""
        for device in devices
    ]
    return f"table netdev {TABLE} {{ {''.join(chains)}\n}}\n"


def uplink(world: World, kind: str) -> Namespace:
    """Return a namespace that has an eth0 of this kind with 10.77.0.2; 10.77.0.1 answers."""
    inside, upstream = world.namespace("inside"), world.namespace("upstream")
    there = End(upstream, "far0", ["10.77.0.1/24", "2001:db8::1/64"])
    own = ["10.77.0.2/24", "2001:db8::2/64"]
    if kind == "veth":
        world.veth(End(inside, "eth0", own), there)
        return inside
    host = world.namespace("host")
    world.veth(End(host, "parent0"), there)
    mode = {"macvlan": "bridge", "ipvlan": "l2"}[kind]
    host.ip("link", "add", "link", "parent0", "name", "child0", "type", kind, "mode", mode)
    host.ip("link", "set", "child0", "netns", inside.name, "name", "eth0")
    for address in own:
        inside.ip("address", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
    inside.ip("link", "set", "eth0", "up")
    return inside


def send(count: int, *, segments: int = 1, mark: int = MARK, to: str = "10.77.0.1") -> None:
    """Send so many packets of so many segments from the calling thread's namespace."""
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
        if segments > 1:
            sender.setsockopt(SOL_UDP, UDP_SEGMENT, SEGMENT_BYTES)
        payload = bytes(SEGMENT_BYTES * segments)
        for _ in range(count):
            sender.sendto(payload, (to, 9))


def switch_offload(device: str, name: str, *, on: bool) -> None:
    """As `ethtool -K`. Source: struct ethtool_sfeatures in linux/ethtool.h."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        names = _names(control, device)
        bit = names.index(name)
        blocks = [0, 0] * -(-len(names) // 32)
        blocks[bit // 32 * 2] = 1 << bit % 32
        blocks[bit // 32 * 2 + 1] = (1 << bit % 32) if on else 0
        command = bytearray(struct.pack(f"={2 + len(blocks)}I", ETHTOOL_SFEATURES, len(blocks) // 2, *blocks))
        shared = (ctypes.c_char * len(command)).from_buffer(command)
        fcntl.ioctl(control, SIOCETHTOOL, struct.pack("16sP16x", device.encode(), ctypes.addressof(shared)))
