"""A tap that keeps what leaves by a device, in the network namespace of the thread that opens it."""

from __future__ import annotations

import ctypes
import socket
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from sidecar.drivers.capture import bpf
from sidecar.drivers.capture.instructions import JUMP_IF_EQUAL, LOAD, RETURN, Instruction
from sidecar.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.core.killswitch import Policy
    from sidecar.prove.scene import Scene

# Source: <asm-generic/socket.h>, <linux/if_packet.h>, <linux/if_ether.h>
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_OUTGOING, _ETH_P_ALL = 263, 6, 4, 3
_BUFFER_BYTES: Final = 8 << 20
_LARGEST_FRAME_BYTES: Final = 1 << 17
_ETHERNET_HEADER_BYTES: Final = 14
# Where the last four bytes of an address stand in an IP packet.
_SOURCE4, _DESTINATION4, _SOURCE6, _DESTINATION6 = 12, 16, 20, 36

EVERYTHING: Final = (Instruction(RETURN, 0, 0, bpf.DELIVER_BYTES),)


class Tap:
    """Keeps, in the kernel, what leaves by `device` from the moment that this is made.

    Args:
        device: a name.
        program: which frames to keep.

    Raises:
        CaptureError: it cannot be opened.
    """

    def __init__(self, device: str, program: Iterable[Instruction] = EVERYTHING) -> None:
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
            self.keep(program)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            self._socket.bind((device, _ETH_P_ALL))
        except OSError as error:
            raise CaptureError(
                attempted=f"tap {device}",
                got=error.strerror or str(error),
                remedy="run this inside the sidecar, whose container has NET_ADMIN and NET_RAW",
            ) from error
        self.missed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def keep(self, program: Iterable[Instruction]) -> None:
        """Keep other frames from now on."""
        code = bpf.encode(program)
        buffer = ctypes.create_string_buffer(code, len(code))
        filtering = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filtering)

    def frames(self) -> list[bytes]:
        """Return what has left since the last call; `missed` tells how many more there was no room for."""
        frames = []
        was_told = False
        while True:
            try:
                frame, (_, _, kind, *_) = self._socket.recvfrom(_LARGEST_FRAME_BYTES)
            except BlockingIOError:
                break
            except OSError:
                if was_told:
                    break
                was_told = True  # that the device is down; what was kept before stays readable
                continue
            if kind == _PACKET_OUTGOING:
                frames.append(frame)
        # Reading them sets them back. Source: packet(7), PACKET_STATISTICS.
        _, self.missed = struct.unpack("=II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        return frames


def off_policy(policy: Policy, device: str, source_port: int) -> tuple[Instruction, ...]:
    """Return the filter that leaves out what the tunnel itself sends: full speed costs the tap nothing.

    What is forged to look like that comes from `source_port`, which the tunnel may use and does not: that is kept.

    Raises:
        CaptureError: the policy does not fit into a program that the kernel takes.
    """
    own_ports = tuple(port for port in policy.listen_ports if port != source_port)
    return bpf.program(replace(policy, listen_ports=own_ports), device)


def inner(scene: Scene) -> tuple[Instruction, ...]:
    """Return the filter for packets from the uplink's address or to the far side, for a tunnel without link headers."""
    return _any_word(
        (_SOURCE4, scene.own4.packed),
        (_DESTINATION4, scene.far4.packed),
        (_SOURCE6, scene.own6.packed[-4:]),
        (_DESTINATION6, scene.far6.packed[-4:]),
    )


def to_resolver(scene: Scene) -> tuple[Instruction, ...]:
    """Return the filter, for the loopback, for packets to the embedded resolver."""
    return _any_word((_ETHERNET_HEADER_BYTES + _DESTINATION4, scene.resolver4.packed))


def _any_word(*wanted: tuple[int, bytes]) -> tuple[Instruction, ...]:
    """Return the filter for packets with one of these words in its place.

    In the order of the places: a load beyond the packet's end ends the program, and with it only what is behind.
    """
    code: list[Instruction] = []
    for offset, word in sorted(wanted):
        code.append(Instruction(LOAD[4], 0, 0, offset))
        code.append(Instruction(JUMP_IF_EQUAL, 0, 1, int.from_bytes(word, "big")))
        code.append(Instruction(RETURN, 0, 0, bpf.DELIVER_BYTES))
    return (*code, Instruction(RETURN, 0, 0, 0))
