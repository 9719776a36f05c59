"""The kernel's notifications: somebody changed links, addresses, routes, neighbours or the ruleset.

All that is wanted of a message is its kind, which is in the header; pyroute2 would decode every attribute in Python.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import threading
from typing import TYPE_CHECKING, Final

from sidecar.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLD_S: Final = 0.02
"""The first change is told at once; those that follow within this time are told together."""

REOPEN_S: Final = 0.5
CLOSE_TIMEOUT_S: Final = 2.0
RECEIVE_BUFFER_BYTES: Final = 1 << 20
MESSAGES_PER_LOOK: Final = 1000
KNOWN_NEIGHBOURS: Final = 1024

# Source: <linux/netlink.h>, <linux/rtnetlink.h>, <linux/netfilter/nfnetlink.h>; Python's socket module has few of them
_NETLINK_ROUTE: Final = 0
_NETLINK_NETFILTER: Final = 12
_SOL_NETLINK: Final = 270
_NETLINK_ADD_MEMBERSHIP: Final = 1
_SO_RCVBUFFORCE: Final = 33
_NFNLGRP_NFTABLES: Final = 7
_RTNLGRP_LINK: Final = 1
_RTNLGRP_NEIGH: Final = 3
_RTNLGRP_IPV4_IFADDR: Final = 5
_RTNLGRP_IPV4_ROUTE: Final = 7
_RTNLGRP_IPV6_IFADDR: Final = 9
_RTNLGRP_IPV6_ROUTE: Final = 11
_ROUTE_GROUPS: Final = (
    _RTNLGRP_LINK,
    _RTNLGRP_NEIGH,
    _RTNLGRP_IPV4_IFADDR,
    _RTNLGRP_IPV4_ROUTE,
    _RTNLGRP_IPV6_IFADDR,
    _RTNLGRP_IPV6_ROUTE,
)
# RTM_NEW… and RTM_DEL…; a kind has four message types in a row. Source: <linux/rtnetlink.h>
_KINDS: Final = {16: "link", 17: "link", 20: "address", 21: "address", 24: "route", 25: "route"}
_RTM_NEWNEIGH: Final = 28
_RTM_DELNEIGH: Final = 29
_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port
_NDMSG: Final = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
_ATTRIBUTE: Final = struct.Struct("=HH")  # rtattr: length, type
_NDA_DST: Final = 1
_NDA_LLADDR: Final = 2
_NUD_FAILED: Final = 0x20
_NUD_NOARP: Final = 0x40
_NUD_HAS_MAC: Final = 0x02 | 0x04 | 0x08 | 0x10 | 0x80

OVERRUN: Final = "overrun"


class NeighbourNews:
    """Tells what is new about a neighbour from its timers' ticking, which the kernel notifies just the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, bytes], tuple[bytes, bool]] = {}

    def is_news(self, kind: int, body: bytes) -> bool:
        """Whether a neighbour's hardware address changed, or whether the kernel gave up on it.

        Args:
            kind: RTM_NEWNEIGH or RTM_DELNEIGH.
            body: the message without its header.
        """
        _family, index, state, _flags, _type = _NDMSG.unpack_from(body)
        attributes = dict(_attributes(body[_NDMSG.size :]))
        key = (index, attributes.get(_NDA_DST, b""))
        if state & _NUD_NOARP or not key[1]:  # multicast, or an entry of a bridge
            return False
        if kind == _RTM_DELNEIGH:
            return self._known.pop(key, (b"", False)) != (b"", False)
        mac = attributes.get(_NDA_LLADDR, b"") if state & _NUD_HAS_MAC else b""
        now = (mac, bool(state & _NUD_FAILED))
        if len(self._known) >= KNOWN_NEIGHBOURS:
            self._known.clear()
        before, self._known[key] = self._known.get(key, (b"", False)), now
        return before != now


class KernelChanges:
    """`Changes` of the network namespace that `listen` is called in.

    Args:
        receive_buffer_bytes: what the kernel keeps for us in a burst, before it drops and reports an overrun.
    """

    def __init__(self, receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES) -> None:
        self._receive_buffer_bytes = receive_buffer_bytes
        self._news = NeighbourNews()
        self._thread: threading.Thread | None = None
        self._listening = False
        self._closing = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def listen(self, on_change: Callable[[str], None]) -> None:
        """See `Changes.listen`."""
        if self._thread is not None:
            raise LinkError(attempted="listen for changes", got="listening already", remedy="use another listener")
        sockets = _open(
            self._receive_buffer_bytes
        )  # here, so that the caller hears of a failure, and in the caller's namespace
        self._listening = True
        self._thread = threading.Thread(target=self._run, args=(sockets, on_change), name="changes", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """See `Changes.is_alive`. Asked from the thread itself; False also while the sockets are being re-opened."""
        return self._listening and self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """See `Changes.close`. Waits for the thread, for two seconds at most."""
        os.eventfd_write(self._closing, 1)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self, opened: tuple[socket.socket, ...], on_change: Callable[[str], None]) -> None:
        sockets = opened
        try:
            while not self._serve(sockets, on_change):
                self._listening = False
                _close(sockets)
                sockets = self._reopen()
                if sockets:
                    self._listening = True
                    on_change(OVERRUN)  # whatever happened in between went unheard
        finally:
            self._listening = False
            _close(sockets)

    def _serve(self, sockets: tuple[socket.socket, ...], on_change: Callable[[str], None]) -> bool:
        """Tell changes until `close`, which is True, or until a socket breaks, which is False."""
        # Not epoll: it would forget a descriptor that is replaced under it, and wait for ever.
        with selectors.PollSelector() as selector:
            selector.register(self._closing, selectors.EVENT_READ)
            for sock in sockets:
                selector.register(sock, selectors.EVENT_READ)
            while not self._is_closing(0):
                selector.select()
                try:
                    kinds = {kind for sock in sockets for kind in self._drain(sock)}
                except OSError:
                    return False
                for kind in sorted(kinds):
                    on_change(kind)
                if kinds:
                    self._is_closing(FOLD_S)
        return True

    def _drain(self, sock: socket.socket) -> Iterator[str]:
        for _ in range(MESSAGES_PER_LOOK):
            try:
                data, (sender, _groups) = sock.recvfrom(1 << 16)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield OVERRUN
                continue
            if sender == 0:  # the kernel
                yield from self._kinds(sock, data)

    def _kinds(self, sock: socket.socket, data: bytes) -> Iterator[str]:
        if sock.proto == _NETLINK_NETFILTER:
            yield "nftables"
            return
        for kind, body in _messages(data):
            if kind in _KINDS:
                yield _KINDS[kind]
            elif kind in (_RTM_NEWNEIGH, _RTM_DELNEIGH) and self._news.is_news(kind, body):
                yield "neighbour"

    def _reopen(self) -> tuple[socket.socket, ...]:
        while not self._is_closing(REOPEN_S):
            try:
                return _open(self._receive_buffer_bytes)
            except LinkError:
                continue  # `is_alive` says meanwhile that nobody is listening
        return ()

    def _is_closing(self, within_s: float) -> bool:
        with selectors.PollSelector() as selector:
            selector.register(self._closing, selectors.EVENT_READ)
            return bool(selector.select(within_s))


def _open(receive_buffer_bytes: int) -> tuple[socket.socket, ...]:
    opened: list[socket.socket] = []
    try:
        for protocol, groups in ((_NETLINK_ROUTE, _ROUTE_GROUPS), (_NETLINK_NETFILTER, (_NFNLGRP_NFTABLES,))):
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
            opened.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_buffer_bytes)
            sock.bind((0, 0))
            for group in groups:
                sock.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
    except OSError as error:
        _close(tuple(opened))
        raise LinkError(
            attempted="listen for the kernel's notifications",
            got=str(error),
            remedy="give the container NET_ADMIN (cap_add), on a kernel with nftables",
        ) from error
    return tuple(opened)


def _close(sockets: tuple[socket.socket, ...]) -> None:
    for sock in sockets:
        sock.close()


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each message of a datagram; what is cut short is left out."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            return
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += _aligned(length)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size or offset + length > len(data):
            return
        yield kind, data[offset + _ATTRIBUTE.size : offset + length]
        offset += _aligned(length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
