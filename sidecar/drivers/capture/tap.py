"""One tap on one uplink: an AF_PACKET socket behind the kernel filter, read by a thread of scapy's.

Scapy's own listening socket is not used: it opens on every device before it has a filter, and takes a link that goes
down for the end. A packet socket survives that; the kernel hooks it in again when the link comes back, sooner than
anybody could open another.

Source: packet(7); packet_notifier() in net/packet/af_packet.c.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import scapy.automaton  # AsyncSniffer needs it as it starts; imported here, a tap starts in milliseconds
from scapy.error import Scapy_Exception
from scapy.packet import Raw
from scapy.sendrecv import AsyncSniffer
from scapy.supersocket import SuperSocket

from sidecar.drivers.capture.bpf import encode
from sidecar.drivers.capture.burst import Burst
from sidecar.drivers.capture.frames import SNAPSHOT_BYTES, parse
from sidecar.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.core.sights import Frame
    from sidecar.drivers.capture.instructions import Instruction

START_DEADLINE_S = 5.0
STOP_DEADLINE_S = 5.0
RECEIVE_BUFFER_BYTES = 1 << 20

_ETH_P_ALL = 0x0003
_SOL_PACKET, _PACKET_AUXDATA = 263, 8
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata
_VLAN_VALID, _VLAN_TPID_VALID = 1 << 4, 1 << 6  # TP_STATUS_…
_802_1Q = 0x8100
_ETHERNET_LIKE = (1, 772)  # ARPHRD_ETHER, ARPHRD_LOOPBACK

assert scapy.automaton  # noqa: S101 - the import is the point


class TapSocket(SuperSocket):  # type: ignore[misc] # scapy has no types that mypy can follow
    """A packet socket on `device` that sees nothing before its filter is in place."""

    def __init__(self, device: str, program: tuple[Instruction, ...]) -> None:
        self.device = device
        self.death: OSError | None = None
        # Protocol 0 receives nothing until bind() names one; by then the filter is there.
        self.ins = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self.outs = None
        try:
            self.attach(program)
            self.ins.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
            with suppress(OSError):  # without CAP_NET_ADMIN the default size has to do
                self.ins.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
            self.ins.bind((device, _ETH_P_ALL))
        except OSError:
            self.ins.close()
            raise

    def attach(self, program: tuple[Instruction, ...]) -> None:
        """Put `program` in place of the filter that is there, if any; the kernel swaps them with no gap."""
        code = ctypes.create_string_buffer(encode(program))
        filter_program = struct.pack("@HP", len(program), ctypes.addressof(code))
        self.ins.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_program)

    def is_bound(self) -> bool:
        """Whether the device still exists under its name; asked of the socket, which knows its own namespace."""
        try:
            return bool(self.ins.getsockname()[0] == self.device)
        except OSError:
            return False

    def recv(self, _size: int = SNAPSHOT_BYTES, **_: Any) -> Raw | None:
        """Return the next frame as opaque bytes; None where there is none after all.

        Raises:
            EOFError: the device is gone. Scapy's word for a quiet end; `death` has the cause.
        """
        try:
            data, ancillary, _flags, address = self.ins.recvmsg(
                SNAPSHOT_BYTES, socket.CMSG_SPACE(_AUXDATA.size), socket.MSG_DONTWAIT
            )
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.ENETDOWN and self.is_bound():
                return None
            self.death = error
            raise EOFError from error
        return _raw(data, ancillary, address)


def _raw(data: bytes, ancillary: list[tuple[int, int, bytes]], address: tuple[Any, ...]) -> Raw:
    """Return the frame as on the wire: with a header if its device has none, and with the tag that lay beside it."""
    length_bytes = len(data)
    tags = b""
    for level, kind, value in ancillary:
        if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA) and len(value) >= _AUXDATA.size:
            status, length_bytes, _, _, _, tag, tag_type = _AUXDATA.unpack_from(value)
            if status & _VLAN_VALID:
                tags = struct.pack("!HH", tag_type if status & _VLAN_TPID_VALID else _802_1Q, tag)
    _, ether_type, _, hardware_type, _ = address
    header = b"" if hardware_type in _ETHERNET_LIKE else bytes(12) + struct.pack("!H", ether_type)
    data = header + data
    raw = Raw(data[:12] + tags + data[12:])
    raw.wirelen = len(header) + length_bytes + len(tags)
    return raw


class Tap:
    """A tap that runs until it is closed, or its device goes.

    Args:
        keep: takes device, bytes and length of every frame that `on_frame` is called for, before it is called.

    Attributes:
        on_frame: may be replaced at any time.
        failure: what the callback raised; None while it has not. The tap goes on, but a frame was lost on the way.
    """

    def __init__(
        self,
        device: str,
        program: tuple[Instruction, ...],
        keep: Callable[[str, bytes, int], None],
        on_frame: Callable[[Frame], None],
    ) -> None:
        self.device = device
        self.on_frame = on_frame
        self._keep = keep
        self._program = program
        self._burst = Burst()
        self.failure: Exception | None = None
        started = threading.Event()
        try:
            self._socket = TapSocket(device, program)
        except OSError as error:
            raise CaptureError(
                attempted=f"open a tap on {device}",
                got=str(error),
                remedy="give the container CAP_NET_RAW, and check that the device exists",
            ) from error
        self._sniffer = AsyncSniffer(
            opened_socket=self._socket, prn=self._take, store=False, quiet=True, started_callback=started.set
        )
        self._sniffer.start()
        if not started.wait(START_DEADLINE_S):
            self.close()
            raise self._error("the sniffer's thread did not start")

    def swap(self, program: tuple[Instruction, ...]) -> None:
        """Change the kernel's filter, with no gap."""
        if program == self._program:
            return
        try:
            self._socket.attach(program)
        except OSError as error:
            raise self._error(str(error)) from error
        self._program = program

    def fault(self) -> str | None:
        """Return why frames would not arrive any more; None while they would."""
        if self.failure is not None:
            return f"the callback failed: {self.failure!r}"
        if self._sniffer.exception is not None:
            return f"the sniffer failed: {self._sniffer.exception!r}"
        if not self._sniffer.thread.is_alive():
            return f"the sniffer ended: {self._socket.death or 'without a cause'}"
        return None if self._socket.is_bound() else "the device is gone"

    def close(self) -> None:
        """Stop the thread and close the socket; both are over when this returns."""
        with suppress(Scapy_Exception, OSError):  # it has ended by itself already
            self._sniffer.stop(join=False)
        self._sniffer.thread.join(STOP_DEADLINE_S)
        self._socket.close()

    def _take(self, packet: Raw) -> None:
        try:
            frame = parse(self.device, packet.load, packet.wirelen)
            if self._burst.admits(frame, time.monotonic()):
                self._keep(self.device, packet.load, packet.wirelen)
                self.on_frame(frame)
        except Exception as error:  # noqa: BLE001 - scapy would close the socket over it and tell nobody; `fault` tells
            self.failure = error

    def _error(self, got: str) -> CaptureError:
        return CaptureError(attempted=f"watch {self.device}", got=got, remedy="the next cycle tries again")
