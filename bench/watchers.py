"""Who saw what and when: frames one hop upstream, and transactions of the container's ruleset."""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from bench import arrivals
from bench.subject import opened_in
from integration.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.subject import Subject

# Source: linux/if_ether.h, linux/if_packet.h, linux/netlink.h, linux/netfilter/nfnetlink.h, nf_tables.h
ETH_P_ALL, PACKET_OUTGOING = 3, 4
NETLINK_NETFILTER, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES = 12, 270, 1, 7
NFT_MSG_NEWGEN, NFTA_GEN_PROC_NAME = 10 << 8 | 15, 3
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")


class _Watcher:
    """A thread that reads one socket for the `with` block."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._socket.settimeout(0.2)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(5)
        self._socket.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read()
            except TimeoutError:
                continue

    def _read(self) -> None:
        raise NotImplementedError


class Upstream(_Watcher):
    """Every frame with a token that comes out of the sidecar's namespace, seen at the host's end of its veth pair."""

    def __init__(self, subject: Subject, token: bytes) -> None:
        self._token = token
        self.seen: list[float] = []
        super().__init__(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        arrivals.stamp(self._socket)
        self._socket.bind((subject.host_device(), ETH_P_ALL))

    def _read(self) -> None:
        data, at_s, sender = arrivals.receive(self._socket, 256)
        if sender[2] != PACKET_OUTGOING and self._token in data:
            self.seen.append(at_s)


@dataclass(frozen=True)
class Transaction:
    """One change of the ruleset: when it was heard of, and the name of the process that made it."""

    at_s: float
    by: str


class Transactions(_Watcher):
    """The kernel's word on every ruleset transaction in the sidecar's namespace."""

    def __init__(self, subject: Subject) -> None:
        self.seen: list[Transaction] = []
        super().__init__(opened_in(subject.pid(), _open))

    def _read(self) -> None:
        data, at_s = self._socket.recv(1 << 16), time.time()
        self.seen += [Transaction(at_s, name) for name in _generations(data)]

    def wait_for(self, since: int, deadline_s: float, *, ours: bool) -> Transaction:
        """Wait for the first transaction after `since` that is by nft (not ours) or by anybody else (ours)."""

        def found() -> Transaction | None:
            return next((seen for seen in self.seen[since:] if (seen.by != "nft") == ours), None)

        return wait_until(found, deadline_s, f"a transaction of {'the sidecar' if ours else 'nft'}", 0.005)


def _open() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind((0, 0))
    sock.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
    return sock


def _generations(data: bytes) -> Iterator[str]:
    """Yield the process name of each NFT_MSG_NEWGEN, the last message of a transaction."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        if kind == NFT_MSG_NEWGEN:
            yield _process_name(data[offset + _HEADER.size + 4 : offset + length])  # 4: nfgenmsg
        offset += length + 3 & ~3


def _process_name(attributes: bytes) -> str:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(attributes):
        length, kind = _ATTRIBUTE.unpack_from(attributes, offset)
        if kind == NFTA_GEN_PROC_NAME:
            return attributes[offset + _ATTRIBUTE.size : offset + length].rstrip(b"\0").decode(errors="replace")
        offset += max(length, _ATTRIBUTE.size) + 3 & ~3
    return ""
