"""One AF_XDP socket, bound to one queue of one device, never read and never written.

It has the least the kernel binds: a page of memory, a ring to receive on, and no XDP program. Without a program no
frame is steered into it, so the traffic of the device goes its usual way.

Source: linux/if_xdp.h; linux net/xdp/xsk.c, xsk_bind(); Documentation/networking/af_xdp.rst.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
from enum import Enum, auto
from pathlib import Path
from typing import Final, Self

from sidecar.errors import LockError

AF_XDP: Final = 44
SOL_XDP: Final = 283
_XDP_RX_RING: Final = 2
_XDP_UMEM_REG: Final = 4
_XDP_UMEM_FILL_RING: Final = 5
_XDP_UMEM_COMPLETION_RING: Final = 6
_XDP_COPY: Final = 1 << 1
"""Bind without asking the device's driver for anything: zero-copy would take the queue from the kernel's own stack."""

_UMEM_REG: Final = struct.Struct("=QQII")
"""Address, length, chunk size, headroom: the first shape of it, which every kernel knows."""

_SOCKADDR_XDP: Final = struct.Struct("=HHIII")
"""Family, flags, index of the device, queue, descriptor of a shared UMEM."""

_ENTRIES: Final = struct.pack("=i", 1)
_CHUNK_BYTES: Final = 2048  # XDP_UMEM_MIN_CHUNK_SIZE
_PROTOCOLS: Final = Path("/proc/net/protocols")
_REMEDIES: Final = {
    errno.EPERM: "leave the container the capability NET_RAW (it is one of Docker's defaults), or add it (cap_add)",
    errno.ENOBUFS: "allow a page of locked memory for each queue, and one more (ulimits: memlock:), or add IPC_LOCK",
    errno.EMFILE: "raise the limit of open files (ulimits: nofile:)",
}

_libc = ctypes.CDLL(None, use_errno=True)


class Answer(Enum):
    """What the kernel said to a bind."""

    BOUND = auto()
    BUSY = auto()
    NO_SUCH_QUEUE = auto()
    NO_SUCH_DEVICE = auto()


_ANSWERS: Final = {
    errno.EBUSY: Answer.BUSY,
    errno.EINVAL: Answer.NO_SUCH_QUEUE,  # queue >= max(real_num_rx_queues, real_num_tx_queues); xsk_reg_pool_at_qid()
    errno.ENODEV: Answer.NO_SUCH_DEVICE,
}


class QueueSocket:
    """An AF_XDP socket in the network namespace of the thread that opened it."""

    def __init__(self, raw: socket.socket) -> None:
        self._socket = raw

    @classmethod
    def open(cls) -> Self | None:
        """Return a socket that is ready to be bound; None where the kernel has no AF_XDP.

        Raises:
            LockError: the kernel has AF_XDP, but not for us.
        """
        try:
            raw = socket.socket(AF_XDP, socket.SOCK_RAW | socket.SOCK_CLOEXEC)
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT and not _kernel_lists_it():
                return None
            raise _lock_error("open an AF_XDP socket", error.errno or 0) from error
        try:
            _furnish(raw)
        except OSError as error:
            raw.close()
            raise _lock_error("give an AF_XDP socket its memory and rings", error.errno or 0) from error
        return cls(raw)

    @classmethod
    def adopt(cls, descriptor: int) -> Self:
        """Return the socket behind a descriptor, which is the object's from now on."""
        return cls(socket.socket(AF_XDP, socket.SOCK_RAW, 0, fileno=descriptor))

    def fileno(self) -> int:
        """Return the descriptor; it stays the object's."""
        return self._socket.fileno()

    def is_same(self, other: QueueSocket) -> bool:
        """Whether both are one socket of the kernel's, by two descriptors."""
        return os.path.sameopenfile(self.fileno(), other.fileno())

    def bind(self, index: int, queue: int) -> Answer:
        """Bind to a queue of the device with this index. Unless it is BOUND the socket is as before.

        Raises:
            LockError: an answer that is none of those.
        """
        address = _SOCKADDR_XDP.pack(AF_XDP, _XDP_COPY, index, queue, 0)
        # Python's own bind does not know the family.
        if _libc.bind(self._socket.fileno(), address, len(address)) == 0:
            return Answer.BOUND
        number = ctypes.get_errno()
        if number not in _ANSWERS:
            raise _lock_error(f"bind an AF_XDP socket to queue {queue} of device {index}", number)
        return _ANSWERS[number]

    def is_bound(self) -> bool:
        """Whether the kernel still has it on the very device that it was bound to.

        A device that is deleted or moved to another namespace loses its sockets for good: ENXIO. One that is down
        keeps them: ENETDOWN. Nothing is received by asking: there is nothing to receive.

        Source: linux net/xdp/xsk.c, xsk_check_common() and xsk_notifier(); recvmsg since 5.11.
        """
        try:
            self._socket.recv(1, socket.MSG_DONTWAIT)
        except OSError as error:
            return error.errno == errno.ENETDOWN
        return True

    def close(self) -> None:
        """Let go. The kernel frees the queue a little later (24 ms measured), in the background."""
        self._socket.close()


def _furnish(raw: socket.socket) -> None:
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    raw.setsockopt(SOL_XDP, _XDP_UMEM_REG, _UMEM_REG.pack(address, mmap.PAGESIZE, _CHUNK_BYTES, 0))
    memory.close()  # the kernel has pinned the page for itself
    for ring in (_XDP_UMEM_FILL_RING, _XDP_UMEM_COMPLETION_RING, _XDP_RX_RING):
        raw.setsockopt(SOL_XDP, ring, _ENTRIES)


def _kernel_lists_it() -> bool:
    """Whether the kernel has AF_XDP whatever a system call filter says: others may not be filtered."""
    try:
        return any(line.startswith("XDP ") for line in _PROTOCOLS.read_text().splitlines())
    except OSError:
        return True


def _lock_error(attempted: str, number: int) -> LockError:
    name = errno.errorcode.get(number, str(number))
    return LockError(
        attempted=attempted,
        got=f"{os.strerror(number)} ({name})",
        remedy=_REMEDIES.get(number, "allow AF_XDP in the container's seccomp profile, or see dmesg"),
    )
