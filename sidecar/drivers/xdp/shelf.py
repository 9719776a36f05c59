"""A place for sockets that outlives the process which opened them: the inside of a pair of sockets.

A descriptor sent over a unix socket and not yet received is kept open by the kernel for as long as the pair is. The
supervisor (PID 1) inherits both ends and never looks at them. So a watchdog that is killed lets go of nothing: there
is no moment in which a queue is free, and its successor finds the sockets where they were.

Source: unix(7), SCM_RIGHTS.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from sidecar.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE: Final = "XDP_SHELF"
"""Environment variable with the descriptors of the two ends, such as "7,8"."""

_LABEL: Final = struct.Struct("=QII")  # 0, or a mark's number; index of the device; queue
_DESCRIPTOR: Final = struct.Struct("=i")
_NO_DESCRIPTOR: Final = -1


class Item(NamedTuple):
    """A socket and what it is bound to."""

    device_index: int
    queue: int
    descriptor: int


class Shelf:
    """What is put in stays, until it is taken out and not put back. For one thread of one process at a time."""

    def __init__(self, front: socket.socket, back: socket.socket) -> None:
        self._front = front
        self._back = back

    @classmethod
    def new(cls) -> Self:
        """Return an empty one.

        Raises:
            LockError: the kernel gave no sockets.
        """
        try:
            return cls(*socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        except OSError as error:
            raise _lock_error("make a shelf for AF_XDP sockets", error) from error

    @classmethod
    def inherited(cls, environment: Mapping[str, str]) -> Self | None:
        """Return the one whose ends the environment names; None where there is none.

        Raises:
            LockError: what is named are not the ends of one.
        """
        if VARIABLE not in environment:
            return None
        try:
            front, back = (int(number) for number in environment[VARIABLE].split(","))
            ends = tuple(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=end) for end in (front, back))
        except (OSError, ValueError) as error:
            raise _lock_error(
                f"open the shelf of AF_XDP sockets ({VARIABLE}={environment[VARIABLE]})", error
            ) from error
        for end in ends:
            end.set_inheritable(False)
        return cls(*ends)

    def bequeath(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Let the next program of this process inherit both ends; returns the environment that names them to it."""
        for end in (self._front, self._back):
            end.set_inheritable(True)
        return {**environment, VARIABLE: f"{self._front.fileno()},{self._back.fileno()}"}

    def put(self, device_index: int, queue: int, descriptor: int) -> None:
        """Keep another reference to the socket.

        Raises:
            LockError: it would not outlive this process.
        """
        self._send(0, Item(device_index, queue, descriptor))

    def review(self, keep: Callable[[Item], bool]) -> None:
        """Show every item to `keep`, and take off what it does not want. A descriptor is open during its call only.

        A turn of the whole row: what is first is looked at, put in again as the last, and only then taken from the
        front. Killed at any point, the row holds everything that is wanted at least once.

        Raises:
            LockError: the shelf cannot be read or written.
        """
        mark = 1 + secrets.randbelow(2**63)
        self._send(mark, Item(0, 0, _NO_DESCRIPTOR))
        while (first := self._receive(socket.MSG_PEEK)) is not None:
            number, item = first
            try:
                # Marks of a turn that was cut short are not put in again.
                if number == 0 and keep(item):
                    self._send(0, item)
            finally:
                _close(item)
            taken = self._receive(0)
            if taken is not None:
                _close(taken[1])
            if number == mark:
                return

    def close(self) -> None:
        """Close our two ends; the contents live on if another process has the shelf too."""
        self._front.close()
        self._back.close()

    def _send(self, number: int, item: Item) -> None:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, _DESCRIPTOR.pack(item.descriptor))
        label = _LABEL.pack(number, item.device_index, item.queue)
        try:
            # Not by send_fds and recv_fds: Python 3.11 drops the flags that it is given.
            self._front.sendmsg([label], [] if item.descriptor == _NO_DESCRIPTOR else [rights], socket.MSG_DONTWAIT)
        except OSError as error:
            raise _lock_error("put an AF_XDP socket on its shelf", error) from error

    def _receive(self, flags: int) -> tuple[int, Item] | None:
        wanted = flags | socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        try:
            label, ancillary, _, _ = self._back.recvmsg(_LABEL.size, socket.CMSG_SPACE(_DESCRIPTOR.size), wanted)
        except BlockingIOError:
            return None
        except OSError as error:
            raise _lock_error("look at the shelf of AF_XDP sockets", error) from error
        if not label:
            return None
        number, device_index, queue = _LABEL.unpack(label)
        descriptor = _DESCRIPTOR.unpack(ancillary[0][2])[0] if ancillary else _NO_DESCRIPTOR
        return number, Item(device_index, queue, descriptor)


def _close(item: Item) -> None:
    if item.descriptor != _NO_DESCRIPTOR:
        with suppress(OSError):
            os.close(item.descriptor)


def _lock_error(attempted: str, error: Exception) -> LockError:
    return LockError(attempted=attempted, got=str(error), remedy="restart the container; raise ulimits: nofile: if low")
