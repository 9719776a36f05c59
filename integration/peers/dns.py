"""A resolver that knows one small zone and says NXDOMAIN to everything else. RFC 1035, no compression in questions."""

from __future__ import annotations

import socketserver
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from .names import ZONE

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = struct.Struct("!HHHHHH")
TYPE_A, TYPE_AAAA, CLASS_IN = 1, 28, 1
# QR, AA and RA, with the RCODE in the low bits (RFC 1035 section 4.1.1)
ANSWER_FLAGS, RECURSION_DESIRED, NAME_ERROR = 0x8480, 0x0100, 3
TIME_TO_LIVE_S = 1
# A pointer to the name at offset 12, the first question's (RFC 1035 section 4.1.4).
POINTER_TO_QUESTION = b"\xc0\x0c"


def answer(query: bytes) -> bytes | None:
    """Return the reply to `query`; None for what is not a well-formed question."""
    try:
        identifier, flags, questions, *_ = HEADER.unpack_from(query)
        name, end = _name(query, HEADER.size)
        kind, kind_class = struct.unpack_from("!HH", query, end)
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    if questions != 1 or flags & 0x8000:
        return None
    known = name in ZONE
    records = list(_records(name, kind)) if kind_class == CLASS_IN else []
    reply_flags = ANSWER_FLAGS | flags & RECURSION_DESIRED | (0 if known else NAME_ERROR)
    header = HEADER.pack(identifier, reply_flags, 1, len(records), 0, 0)
    return header + query[HEADER.size : end + 4] + b"".join(records)


def _name(query: bytes, offset: int) -> tuple[str, int]:
    labels = []
    while length := query[offset]:
        labels.append(query[offset + 1 : offset + 1 + length].decode("ascii").lower())
        offset += 1 + length
    return ".".join(labels), offset + 1


def _records(name: str, kind: int) -> Iterator[bytes]:
    wanted = {TYPE_A: IPv4Address, TYPE_AAAA: IPv6Address}.get(kind)
    for address in ZONE.get(name, ()):
        if wanted is not None and isinstance(address, wanted):
            fixed = struct.pack("!HHIH", kind, CLASS_IN, TIME_TO_LIVE_S, len(address.packed))
            yield POINTER_TO_QUESTION + fixed + address.packed


class Handler(socketserver.BaseRequestHandler):
    """One datagram in, at most one out."""

    def handle(self) -> None:
        query, reply_to = self.request
        reply = answer(query)
        if reply is not None:
            reply_to.sendto(reply, self.client_address)
