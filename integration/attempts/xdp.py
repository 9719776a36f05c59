"""One frame by AF_XDP: it passes every nftables hook, tc and every tap of the sender's namespace.

Source: Documentation/networking/af_xdp.rst, include/uapi/linux/if_xdp.h.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct

AF_XDP, SOL_XDP = 44, 283
XDP_MMAP_OFFSETS, XDP_TX_RING, XDP_UMEM_REG, XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING = 1, 3, 4, 5, 6
XDP_COPY, XDP_PGOFF_TX_RING = 1 << 1, 0x80000000
CHUNK_BYTES, CHUNKS, RING_SLOTS, QUEUE = 4096, 4, 4, 0
# struct xdp_mmap_offsets: rx, tx, fr, cr, each with producer, consumer, desc, flags
OFFSETS = struct.Struct("16Q")
DESCRIPTOR = struct.Struct("=QII")

_libc = ctypes.CDLL(None, use_errno=True)


def send(device: str, frame: bytes) -> None:
    """Send `frame` by the first queue of `device`.

    Raises:
        OSError: the kernel refused; EBUSY where somebody else holds the queue.
    """
    with socket.socket(AF_XDP, socket.SOCK_RAW, 0) as sender, mmap.mmap(-1, CHUNK_BYTES * CHUNKS) as memory:
        pinned = (ctypes.c_char * len(memory)).from_buffer(memory)
        try:
            area = struct.pack("=QQIIII", ctypes.addressof(pinned), len(memory), CHUNK_BYTES, 0, 0, 0)
            sender.setsockopt(SOL_XDP, XDP_UMEM_REG, area)
            memory[: len(frame)] = frame
            _send_first_chunk(sender, device, len(frame))
        finally:
            del pinned  # a mapping cannot be closed while something points into it


def _send_first_chunk(sender: socket.socket, device: str, length: int) -> None:
    for ring in (XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_TX_RING):
        sender.setsockopt(SOL_XDP, ring, RING_SLOTS)
    offsets = OFFSETS.unpack(sender.getsockopt(SOL_XDP, XDP_MMAP_OFFSETS, OFFSETS.size))
    producer, _, descriptors, _ = offsets[4:8]
    mapped = descriptors + RING_SLOTS * DESCRIPTOR.size
    with mmap.mmap(sender.fileno(), mapped, mmap.MAP_SHARED | mmap.MAP_POPULATE, offset=XDP_PGOFF_TX_RING) as ring:
        _bind(sender, device)
        DESCRIPTOR.pack_into(ring, descriptors, 0, length, 0)
        struct.pack_into("=I", ring, producer, 1)
        _kick(sender)


def _bind(sender: socket.socket, device: str) -> None:
    """Bind; Python's own socket.bind does not know this family."""
    address = struct.pack("=HHIII", AF_XDP, XDP_COPY, socket.if_nametoindex(device), QUEUE, 0)
    _checked(_libc.bind(sender.fileno(), address, len(address)))


def _kick(sender: socket.socket) -> None:
    """Tell the kernel to look at the ring; in copy mode this is where the frame leaves."""
    _checked(_libc.sendto(sender.fileno(), None, 0, socket.MSG_DONTWAIT, None, 0))


def _checked(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
