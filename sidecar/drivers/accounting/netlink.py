"""The four netlink questions of accounting, each one prepared message and one answer.

The two sides of the account are to be read as nearly at once as can be: a question takes 6 to 9 µs here, where
pyroute2 and libnftables, which build and parse everything in Python or dump whole tables, take 200 µs and more. At
100,000 frames a second that is the difference between one frame in flight and twenty.

Source: linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from sidecar.errors import LinkError

_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE: Final = struct.Struct("=HH")
_NLM_F_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2
_ATTRIBUTE_TYPE: Final = 0x3FFF  # without the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER
_ANSWER_BYTES: Final = 1 << 16
_TIMEOUT_S: Final = 0.5

_RTM_GETLINK: Final = 18
_RTM_GETSTATS: Final = 94
_IFINFOMSG: Final = struct.Struct("=BBHiII")
_IF_STATS_MSG: Final = struct.Struct("=BBHII")
_IFLA_STATS_LINK_64: Final = 1
_IFLA_IFNAME, _IFLA_QDISC, _IFLA_LINKINFO, _IFLA_INFO_KIND = 3, 6, 18, 1
_IFLA_GSO_MAX_SEGS, _IFLA_GSO_MAX_SIZE, _IFLA_GSO_IPV4_MAX_SIZE = 40, 41, 63
_STATS: Final = struct.Struct("=8Q")  # rx and tx packets, rx and tx bytes, rx and tx errors, rx and tx dropped

_NETLINK_NETFILTER: Final = 12
_NFPROTO_NETDEV: Final = 5
_NFT_SUBSYSTEM: Final = 10 << 8
_NFT_MSG_GETTABLE, _NFT_MSG_GETOBJ = 1, 19
_NFGENMSG: Final = struct.Struct("=BBH")
_NFTA_TABLE_NAME, _NFTA_TABLE_HANDLE = 1, 4
_NFTA_OBJ_TABLE, _NFTA_OBJ_NAME, _NFTA_OBJ_TYPE, _NFTA_OBJ_DATA = 1, 2, 3, 4
_NFTA_COUNTER_PACKETS: Final = 2
_NFT_OBJECT_COUNTER: Final = 1
_U32: Final = struct.Struct("=I")
_BIG_U32: Final = struct.Struct(">I")
_BIG_U64: Final = struct.Struct(">Q")

_GONE: Final = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO})


@dataclass(frozen=True, slots=True)
class Link:
    """What matters of a device. `kind` is empty for hardware; `gso_max_*` are the largest that stay in one piece."""

    index: int
    kind: str
    queueing: str
    gso_max_segments: int
    gso_max_bytes: int


class Sent(NamedTuple):
    """What a device says it did with the frames it was given."""

    transmitted: int
    dropped: int


class Counters:
    """Two netlink sockets in the network namespace of the calling thread. Every method may raise LinkError."""

    def __init__(self) -> None:
        self._route = _open(socket.NETLINK_ROUTE)
        try:
            self._netfilter = _open(_NETLINK_NETFILTER)
        except LinkError:
            self._route.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._route.close()
        self._netfilter.close()

    def link(self, device: str) -> Link | None:
        """Return what matters of a device; None where there is none of this name."""
        body = _IFINFOMSG.pack(0, 0, 0, 0, 0, 0) + _attribute(_IFLA_IFNAME, device.encode() + b"\0")
        answer = _ask(self._route, _message(_RTM_GETLINK, body), f"look at {device}")
        if answer is None:
            return None
        own = _attributes(answer[_IFINFOMSG.size :])
        kind = _attributes(own.get(_IFLA_LINKINFO, b"")).get(_IFLA_INFO_KIND, b"")
        sizes = [own[name] for name in (_IFLA_GSO_MAX_SIZE, _IFLA_GSO_IPV4_MAX_SIZE) if name in own]
        return Link(
            index=_IFINFOMSG.unpack_from(answer)[3],
            kind=_text(kind),
            queueing=_text(own.get(_IFLA_QDISC, b"")),
            gso_max_segments=_U32.unpack(own.get(_IFLA_GSO_MAX_SEGS, bytes(4)))[0],
            gso_max_bytes=min((_U32.unpack(size)[0] for size in sizes), default=0),
        )

    def ruleset(self, table: str) -> int | None:
        """Return the handle of a netdev table, which no later one of the name shares; None where there is none."""
        body = _NFGENMSG.pack(_NFPROTO_NETDEV, 0, 0) + _attribute(_NFTA_TABLE_NAME, table.encode() + b"\0")
        message = _message(_NFT_SUBSYSTEM | _NFT_MSG_GETTABLE, body)
        answer = _ask(self._netfilter, message, f"look at the table netdev {table}")
        if answer is None:
            return None
        handle: int = _BIG_U64.unpack(_attributes(answer[_NFGENMSG.size :])[_NFTA_TABLE_HANDLE])[0]
        return handle

    def accepted(self, question: bytes) -> int | None:
        """Return the packets of a counter (see `counter_question`); None where there is none of this name."""
        answer = _ask(self._netfilter, question, "read what the lock accepted")
        if answer is None:
            return None
        data = _attributes(_attributes(answer[_NFGENMSG.size :])[_NFTA_OBJ_DATA])
        packets: int = _BIG_U64.unpack(data[_NFTA_COUNTER_PACKETS])[0]
        return packets

    def sent(self, question: bytes) -> Sent | None:
        """Return what a device did (see `stats_question`); None where it is gone."""
        answer = _ask(self._route, question, "read what a device transmitted")
        if answer is None:
            return None
        stats = _STATS.unpack_from(_attributes(answer[_IF_STATS_MSG.size :])[_IFLA_STATS_LINK_64])
        return Sent(transmitted=stats[1], dropped=stats[7])


def counter_question(table: str, counter: str) -> bytes:
    """Return the question for a named counter of a netdev table."""
    names = ((_NFTA_OBJ_TABLE, table), (_NFTA_OBJ_NAME, counter))
    body = _NFGENMSG.pack(_NFPROTO_NETDEV, 0, 0)
    body += b"".join(_attribute(number, name.encode() + b"\0") for number, name in names)
    body += _attribute(_NFTA_OBJ_TYPE, _BIG_U32.pack(_NFT_OBJECT_COUNTER))
    return _message(_NFT_SUBSYSTEM | _NFT_MSG_GETOBJ, body)


def stats_question(index: int) -> bytes:
    """Return the question for a device's counters."""
    return _message(_RTM_GETSTATS, _IF_STATS_MSG.pack(0, 0, 0, index, 1 << (_IFLA_STATS_LINK_64 - 1)))


def _open(protocol: int) -> socket.socket:
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        opened.bind((0, 0))
        # The kernel's own time limit: Python's would ask poll(2) before every answer.
        seconds, microseconds = divmod(int(_TIMEOUT_S * 1_000_000), 1_000_000)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", seconds, microseconds))
    except OSError as error:
        raise _link_error("open a netlink socket", error.errno or 0) from error
    return opened


def _message(kind: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, _NLM_F_REQUEST, 1, 0) + body


def _ask(asked: socket.socket, question: bytes, attempted: str) -> bytes | None:
    """Return the body of the one answer; None where what was asked about is not there."""
    try:
        asked.send(question)
        answer = asked.recv(_ANSWER_BYTES)
    except OSError as error:
        raise _link_error(attempted, error.errno or 0) from error
    length, kind, _, _, _ = _HEADER.unpack_from(answer)
    if kind == _NLMSG_ERROR:
        number = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        if number in _GONE:
            return None
        raise _link_error(attempted, number)
    return answer[_HEADER.size : length]


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _ATTRIBUTE_TYPE] = data[at + _ATTRIBUTE.size : at + length]
        at += length + -length % 4
    return found


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("ascii", "replace")


def _link_error(attempted: str, number: int) -> LinkError:
    remedy = "give the container NET_ADMIN (cap_add)" if number == errno.EPERM else "see dmesg"
    return LinkError(attempted=attempted, got=os.strerror(number), remedy=remedy)
