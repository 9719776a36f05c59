"""When something arrived, by the kernel's own clock: a busy machine delays the reader, not the time stamp."""

from __future__ import annotations

import socket
import struct
import time

# Source: asm-generic/socket.h; struct __kernel_timespec
SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("=qq")


def stamp(sock: socket.socket) -> None:
    """Have the kernel note when each packet arrives."""
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


def receive(sock: socket.socket, size: int) -> tuple[bytes, float, tuple]:
    """Return the next packet, when it arrived (as time.time() counts), and from where."""
    data, ancillary, _, sender = sock.recvmsg(size, socket.CMSG_SPACE(_TIMESPEC.size))
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack_from(value)
            return data, seconds + nanoseconds / 1e9, sender
    return data, time.time(), sender
