"""Whether one frame that the lock accepts is one frame in the device's own count.

wireguard-go hands the kernel up to 128 datagrams as one large packet (UDP_SEGMENT). The egress rules see and count
one. If the device can take it whole, its count goes up by one as well; otherwise the kernel cuts it up behind the
rules, and the device counts every piece. Network cards mostly count pieces in any case.

Measured on Linux 6.18: veth and macvlan count as the rules do, for IPv4 and IPv6, until one of the offloads named here
is switched off. No other kind was measured, so of every other kind nothing exact is claimed.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sidecar.drivers.accounting.netlink import Link

_KINDS: Final = frozenset({"veth", "macvlan"})
_WITHOUT_QUEUE: Final = "noqueue"
_OFFLOADS: Final = ("tx-udp-segmentation", "tx-checksum-ip-generic")
_SEGMENTS: Final = 128  # UDP_MAX_SEGMENTS, linux/udp.h
_BYTES: Final = 65536  # no UDP packet is larger

# Source: linux/sockios.h, linux/ethtool.h
_SIOCETHTOOL: Final = 0x8946
_ETHTOOL_GSTRINGS: Final = 0x1B
_ETHTOOL_GSSET_INFO: Final = 0x37
_ETHTOOL_GFEATURES: Final = 0x3A
_ETH_SS_FEATURES: Final = 4
_NAME_BYTES: Final = 32
_FEATURE_BLOCK: Final = struct.Struct("=4I")  # available, requested, active, never changed
_BITS: Final = 32


def counts_alike(device: str, link: Link) -> bool:
    """Whether an accepted frame is exactly one sent or dropped frame of this device; False where nothing is known."""
    return (
        link.kind in _KINDS
        and link.queueing == _WITHOUT_QUEUE
        and link.gso_max_segments >= _SEGMENTS
        and link.gso_max_bytes >= _BYTES
        and active_offloads(device).issuperset(_OFFLOADS)
    )


def active_offloads(device: str) -> frozenset[str]:
    """Return the names of what is switched on, as `ethtool -k` prints them; empty where the kernel does not say."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            names = _names(control, device)
            blocks = -(-len(names) // _BITS)
            answer = _ethtool(control, device, struct.pack("=II", _ETHTOOL_GFEATURES, blocks), blocks * 16)
    except OSError:
        return frozenset()
    words = [_FEATURE_BLOCK.unpack_from(answer, 8 + 16 * block)[2] for block in range(blocks)]
    return frozenset(name for bit, name in enumerate(names) if words[bit // _BITS] >> bit % _BITS & 1)


@cache
def _known_names(count: int, packed: bytes) -> tuple[str, ...]:
    cut = (packed[at * _NAME_BYTES : (at + 1) * _NAME_BYTES] for at in range(count))
    return tuple(name.split(b"\0", 1)[0].decode("ascii", "replace") for name in cut)


def _names(control: socket.socket, device: str) -> tuple[str, ...]:
    """Return the offloads' names by bit: the numbers change from kernel to kernel, the names do not."""
    asked = struct.pack("=IIQ", _ETHTOOL_GSSET_INFO, 0, 1 << _ETH_SS_FEATURES)
    (count,) = struct.unpack_from("=I", _ethtool(control, device, asked, 4), 16)
    asked = struct.pack("=III", _ETHTOOL_GSTRINGS, _ETH_SS_FEATURES, count)
    return _known_names(count, bytes(_ethtool(control, device, asked, count * _NAME_BYTES)[12:]))


def _ethtool(control: socket.socket, device: str, command: bytes, answer_bytes: int) -> bytearray:
    buffer = bytearray(command + bytes(answer_bytes))
    shared = (ctypes.c_char * len(buffer)).from_buffer(buffer)
    request = struct.pack("16sP16x", device.encode(), ctypes.addressof(shared))
    fcntl.ioctl(control, _SIOCETHTOOL, request)
    del shared
    return buffer
