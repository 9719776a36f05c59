"""The `Prober` port: DNS questions and ICMP echoes, bound to the tunnel device, all asked at once.

An answer counts only if it is one: from the target itself, by the tunnel device, with the random words of the
question. An ICMP error is no answer: anybody on the way may send one, and our own kernel does.
"""

from __future__ import annotations

import secrets
import selectors
import socket
import struct
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from sidecar.core.model import Health, ProbeKind
from sidecar.errors import ProbeError

if TYPE_CHECKING:
    from sidecar.core.model import ProbeTarget

DNS_PORT = 53
_ROOT_NAME_SERVERS = b"\0" + struct.pack("!HH", 2, 1)
"""The question "." NS IN. Source: RFC 1035 sections 3.2.2, 3.2.4 and 4.1.2."""
_DNS_HEADER = struct.Struct("!HHHHHH")
_RECURSION_DESIRED, _RESPONSE = 0x0100, 0x8000
_ECHO = struct.Struct("!BBHHH")
_ECHO_REQUEST, _ECHO_REPLY = 8, 0  # Source: RFC 792
_ECHO_REQUEST_6, _ECHO_REPLY_6 = 128, 129  # Source: RFC 4443 section 4
_TOKEN_BYTES = 16
_ANSWER_BYTES = 2048


class Question(Protocol):
    """One question, as bytes to send and a way to know its answer."""

    @property
    def packet(self) -> bytes:
        """What is sent."""

    def is_answered_by(self, packet: bytes) -> bool:
        """Whether `packet`, which came from the target, answers this very question."""


class DnsQuestion:
    """Asks a resolver for the root's name servers: every resolver knows them, and any answer will do."""

    def __init__(self) -> None:
        self._identifier = secrets.randbits(16)
        self.packet = _DNS_HEADER.pack(self._identifier, _RECURSION_DESIRED, 1, 0, 0, 0) + _ROOT_NAME_SERVERS

    def is_answered_by(self, packet: bytes) -> bool:
        """Whether `packet` is a response with our identifier that repeats our question; an error is a response too."""
        if len(packet) < _DNS_HEADER.size:
            return False
        identifier, flags, questions, *_ = _DNS_HEADER.unpack_from(packet)
        asked = packet[_DNS_HEADER.size :].startswith(_ROOT_NAME_SERVERS)
        return bool(identifier == self._identifier and flags & _RESPONSE and questions == 1 and asked)


class EchoQuestion:
    """An ICMP echo with a random token as its payload."""

    def __init__(self, version: int) -> None:
        self._version = version
        request, self._reply = (_ECHO_REQUEST, _ECHO_REPLY) if version == 4 else (_ECHO_REQUEST_6, _ECHO_REPLY_6)  # noqa: PLR2004 - IP's own
        self._rest = struct.pack("!HH", secrets.randbits(16), 1) + secrets.token_bytes(_TOKEN_BYTES)
        head = bytes((request, 0))
        # The kernel fills in ICMPv6's checksum itself. Source: RFC 3542 section 3.1.
        self.packet = head + _checksum(head + bytes(2) + self._rest) + self._rest

    def is_answered_by(self, packet: bytes) -> bool:
        """Whether `packet` is the echo of our identifier, sequence number and token."""
        if self._version == 4 and packet:  # noqa: PLR2004 - IP's own; a raw IPv4 socket hands over the IP header as well
            packet = packet[(packet[0] & 0x0F) * 4 :]
        return packet[:2] == bytes((self._reply, 0)) and packet[4:] == self._rest


class SocketProber:
    """Asks by sockets of its own, which live for one probe."""

    def probe(self, targets: tuple[ProbeTarget, ...], device: str, timeout_s: float) -> tuple[Health, str]:
        """Ask all `targets` through `device`; see the port.

        Raises:
            ProbeError: not one question could be sent, or there is nobody to ask.
        """
        began_s = time.monotonic()
        with ExitStack() as sockets:
            asked: dict[socket.socket, tuple[ProbeTarget, Question]] = {}
            unsent: list[str] = []
            for target in targets:
                question: Question = (
                    DnsQuestion() if target.kind is ProbeKind.DNS else EchoQuestion(target.address.version)
                )
                try:
                    asking = sockets.enter_context(_connected(target, device))
                    asking.send(question.packet)
                except OSError as error:
                    unsent.append(f"{_name(target)}: {error.strerror or error}")
                else:
                    asked[asking] = target, question
            if not asked:
                raise _nothing_sent(device, unsent)
            answered = _first_answer(asked, began_s + timeout_s)
        if answered is not None:
            took_ms = (time.monotonic() - began_s) * 1000
            return Health.ALIVE, f"{_name(answered)} answered in {took_ms:.0f} ms"
        silent = ", ".join(_name(target) for target, _ in asked.values())
        not_sent = f"; not sent: {', '.join(unsent)}" if unsent else ""
        return Health.DEAD, f"no answer within {timeout_s:g} s from {silent}{not_sent}"


def _connected(target: ProbeTarget, device: str) -> socket.socket:
    """Return a socket that sends to the target by `device`, and takes from the target alone what comes by it."""
    family = socket.AF_INET if target.address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IP's own
    if target.kind is ProbeKind.DNS:
        made, port = socket.socket(family, socket.SOCK_DGRAM), DNS_PORT
    else:
        protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
        made, port = socket.socket(family, socket.SOCK_RAW, protocol), 0
    try:
        made.settimeout(0)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")
        made.connect((str(target.address), port))
    except OSError:
        made.close()
        raise
    return made


def _first_answer(asked: dict[socket.socket, tuple[ProbeTarget, Question]], deadline_s: float) -> ProbeTarget | None:
    with selectors.DefaultSelector() as selector:
        for asking, sent in asked.items():
            selector.register(asking, selectors.EVENT_READ, (asking, *sent))
        while (remaining_s := deadline_s - time.monotonic()) > 0:
            for key, _ in selector.select(remaining_s):
                asking, target, question = key.data
                if question.is_answered_by(_received(asking)):
                    answered: ProbeTarget = target
                    return answered
    return None


def _received(asking: socket.socket) -> bytes:
    """Return one packet; nothing where there is an ICMP error in its place, which reading also takes away."""
    try:
        return asking.recv(_ANSWER_BYTES)
    except OSError:
        return b""


def _nothing_sent(device: str, unsent: list[str]) -> ProbeError:
    return ProbeError(
        attempted=f"probe through {device}",
        got="; ".join(unsent) or "there is no target",
        remedy=(
            "see that the device is up and has a route to the targets, and that the lock lets its address out"
            if unsent
            else "name a resolver (DNS = …) in the endpoint's file, or set probe targets"
        ),
    )


def _name(target: ProbeTarget) -> str:
    return f"{target.address} ({target.kind.value.upper()})"


def _checksum(data: bytes) -> bytes:
    """Return the Internet checksum of an even number of bytes. Source: RFC 1071 section 4.1."""
    total = sum(word for (word,) in struct.iter_unpack("!H", data))
    while total > 0xFFFF:  # noqa: PLR2004 - sixteen bits
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", total ^ 0xFFFF)
