"""The judge of "nothing leaks": a tap one hop upstream, on the host's bridge, out of reach of the sidecar's namespace.

It records every frame that a container sends on the uplink network, but for the WireGuard messages between the sidecar
and the peers, which a filter in the kernel leaves out: a download at full speed costs it nothing and hides nothing.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
import time
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Self

from scapy.arch.common import compile_filter

from integration.harness import engine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from docker.models.containers import Container

    from integration.harness.stack import Stack

# Source: linux/if_packet.h, linux/if_ether.h, asm-generic/socket.h
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_STATISTICS, PACKET_MR_PROMISC = 263, 1, 6, 1
ETH_P_ALL, SO_ATTACH_FILTER, SO_RCVBUFFORCE, PACKET_OUTGOING, DLT_EN10MB = 3, 26, 33, 4, 1
RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024
KEPT_BYTES_PER_FRAME = 512
KEPT_FRAMES = 20_000
ARP, ARP_FRAME_BYTES = 0x0806, 42
# A WireGuard message: type 1 to 4, three reserved zero bytes. Source: WireGuard whitepaper, section 5.4.
WIREGUARD_MESSAGE = "udp[8] >= 1 and udp[8] <= 4 and udp[9] = 0 and udp[10:2] = 0"
PORT = 51820


@dataclass(frozen=True)
class Seen:
    """One frame, as it came in from a container."""

    at_s: float
    data: bytes

    @property
    def source(self) -> str:
        """The hardware address it says it came from."""
        return self.data[6:12].hex(":")

    @property
    def ether_type(self) -> int:
        return int.from_bytes(self.data[12:14], "big")

    def __repr__(self) -> str:
        return f"<{self.source} > {self.data[:6].hex(':')} type {self.ether_type:04x} {self.data[14:74].hex()}>"


@dataclass(frozen=True)
class Interface:
    """What a container has on the uplink network."""

    mac: str
    address: IPv4Address

    @classmethod
    def of(cls, container: Container, network: str) -> Interface:
        """Read it from Docker, for a running container."""
        attached = container.attrs["NetworkSettings"]["Networks"][network]
        return cls(attached["MacAddress"], IPv4Address(attached["IPAddress"]))


class Upstream:
    """A running tap on the bridge of a stack's uplink network, or of another network. A context manager."""

    def __init__(self, stack: Stack, network: str | None = None) -> None:
        self._network = network or stack.network
        self._peers = (stack.primary, stack.backup)
        self._stack = stack
        self._known_peers: set[str] = set()
        self._frames: list[Seen] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._failure: str | None = None

    def __enter__(self) -> Self:
        bridge = f"br-{engine.client().networks.get(self._network).id[:12]}"
        # Nothing is received before the filter is in place: protocol 0, bound to the bridge as the last step.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        self._attach_filter()
        index = socket.if_nametoindex(bridge)
        # A bridge shows its own device what it forwards from port to port only when that is promiscuous.
        membership = struct.pack("iHH8s", index, PACKET_MR_PROMISC, 0, b"")
        self._socket.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
        self._socket.bind((bridge, ETH_P_ALL))
        self._socket.settimeout(0.2)
        self._thread = threading.Thread(target=self._record, name=f"tap on {bridge}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(5)
        self._socket.close()

    def _attach_filter(self) -> None:
        # In pcap-filter(7), `and` and `or` bind alike: every pair needs its parentheses.
        flows = " or ".join(
            f"(dst host {peer} and udp dst port {PORT}) or (src host {peer} and udp src port {PORT})"
            for peer in self._peers
        )
        program = compile_filter(f"not (ip and ({flows}) and {WIREGUARD_MESSAGE})", linktype=DLT_EN10MB)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, ctypes.string_at(ctypes.byref(program), 16))

    def _record(self) -> None:
        while not self._stopping.is_set():
            try:
                data, (_, _, kind, *_) = self._socket.recvfrom(65535)
            except TimeoutError:
                continue
            except OSError as error:
                self._failure = str(error)
                return
            if kind != PACKET_OUTGOING and len(self._frames) < KEPT_FRAMES:
                with self._lock:
                    self._frames.append(Seen(time.monotonic(), data[:KEPT_BYTES_PER_FRAME] + _tail(data)))

    def require_sight(self) -> None:
        """Require that nothing was missed: what the tap did not see it cannot acquit.

        Raises:
            AssertionError: the tap died, its buffer overran, or it kept too few frames.
        """
        _, dropped = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        assert self._thread.is_alive(), f"the tap is dead: {self._failure}"
        assert dropped == 0, f"the tap missed {dropped} frames"
        assert len(self._frames) < KEPT_FRAMES, f"more than {KEPT_FRAMES} frames: the rest was not kept"

    def now(self) -> float:
        """Return a mark in time, for `since_s`."""
        return time.monotonic()

    def sent_by(self, container: Container, since_s: float = 0.0) -> list[Seen]:
        """Return what a container sent, by its hardware address: for positive controls."""
        mac = Interface.of(container, self._network).mac
        return [frame for frame in self._since(since_s) if frame.source == mac]

    def holding(self, token: bytes, since_s: float = 0.0) -> list[Seen]:
        """Return the frames with `token` in them, whoever claims to have sent them."""
        return [frame for frame in self._since(since_s) if token in frame.data]

    def leaks(
        self, sidecars: Iterable[Interface], bystanders: Iterable[Interface] = (), since_s: float = 0.0
    ) -> list[Seen]:
        """Return every frame that is neither ARP between the sidecar and a peer nor from a bystander.

        Args:
            sidecars: what the sidecar has, or had, on the network; a re-created one has another hardware address.
            bystanders: whose frames are not judged, by their hardware addresses, besides the peers'. An attempt that
                forges one of these must carry a token to be found by `holding`.
            since_s: judge from this moment on.
        """
        self.require_sight()
        ours = tuple(sidecars)
        self._known_peers |= {self._stack.interface(f"peer-{name}").mac for name in ("primary", "backup")}
        ignored = self._known_peers | {other.mac for other in bystanders}
        return [
            frame
            for frame in self._since(since_s)
            if frame.source not in ignored and not any(self._is_resolution(frame, own) for own in ours)
        ]

    def _is_resolution(self, frame: Seen, own: Interface) -> bool:
        """Whether a frame is ARP from the sidecar about a peer's address, exactly, with no room for anything else."""
        if frame.source != own.mac or frame.ether_type != ARP or len(frame.data) != ARP_FRAME_BYTES:
            return False
        head, sender_mac, sender, target = frame.data[14:22], frame.data[22:28], frame.data[28:32], frame.data[38:42]
        return (
            head[:6] == bytes.fromhex("000108000604")
            and head[6:] in (b"\0\1", b"\0\2")
            and sender_mac.hex(":") == own.mac
            and sender == own.address.packed
            and IPv4Address(target) in self._peers
        )

    def _since(self, since_s: float) -> list[Seen]:
        with self._lock:
            return [frame for frame in self._frames if frame.at_s >= since_s]


def _tail(data: bytes) -> bytes:
    """Return the end of a long frame: a token may stand there."""
    return data[KEPT_BYTES_PER_FRAME:][-64:]
