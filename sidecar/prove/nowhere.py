"""A place without a lock: a TAP device whose other end is this process. What is sent there arrives here, nowhere else.

It stands in a network namespace of its own where one can be made. Where none can (no CAP_SYS_ADMIN, as in a container),
it stands in the sidecar's, and the lock leaves it alone while the watchdog has a proof running. It is gone with this
process, whatever ends it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import select
import struct
import time
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from sidecar.core.proof import DEVICE
from sidecar.drivers.netns.rtnetlink import Rtnetlink
from sidecar.errors import LinkError
from sidecar.prove.scene import Scene, signed_anew

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sidecar.core.model import Network

_CLONE_NEWNET: Final = 0x40000000  # Source: <linux/sched.h>; os.unshare came with Python 3.12 only
# Source: <linux/if_tun.h>
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
_IFF_UP, _SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x1, 0x8913, 0x8914
_IFA_F_NODAD, _NUD_PERMANENT = 0x02, 0x80
_LARGEST_FRAME_BYTES: Final = 1 << 17
ARRIVES_WITHIN_S: Final = 1.0
"""Frames arrive at once, IGMP and MLD reports a few ticks later. Waited for to the end only where nothing comes."""

# Documentation networks (RFC 5737, RFC 3849): the device gets one of these, and nobody's own is led away by that.
NETWORKS4 = tuple(IPv4Network(f"{network}.248/29") for network in ("192.0.2", "203.0.113", "198.51.100"))
OWN6, ROUTER6 = IPv6Interface("2001:db8:ffff:fffe::1/64"), IPv6Address("2001:db8:ffff:fffe::2")
FAR6, ENDPOINT6 = IPv6Address("2001:db8:ffff:fffe::3"), IPv6Address("2001:db8:ffff:fffe::4")
OWN_MAC, ROUTER_MAC = bytes.fromhex("020000000102"), bytes.fromhex("020000000101")
NOT_THE_RESOLVER = IPv4Address("127.0.0.12")
PORT, SOURCE_PORT = 51820, 40001

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def scratch_namespace() -> Iterator[bool]:
    """Move this thread into a new network namespace for the block; gives False, and does not, where it may not."""
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.unshare(_CLONE_NEWNET) != 0:
            yield False
            return
        try:
            with Rtnetlink("set up a scratch namespace") as netlink:
                netlink.write("set lo up", "link set", {"index": netlink.indexes()["lo"], "state": "up"})
            _allow_ping_sockets()
            yield True
        finally:
            if _libc.setns(back, _CLONE_NEWNET) != 0:
                number = ctypes.get_errno()
                raise OSError(number, f"go back to the own network namespace: {os.strerror(number)}")
    finally:
        os.close(back)


def _allow_ping_sockets() -> None:
    """Let anybody have one, as Docker does; where /proc is read-only they are what the kernel makes them: forbidden."""
    with suppress(OSError):
        Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647", encoding="ascii")


class Nowhere:
    """The device and its end. A context manager.

    Args:
        taken: addresses and networks that are in use here; the device gets others.

    Raises:
        LinkError: it cannot be made.
    """

    def __init__(self, taken: Iterable[Network]) -> None:
        used = tuple(taken)
        free = (candidate for candidate in NETWORKS4 if not any(_overlap(candidate, each) for each in used))
        self._network = next(free, NETWORKS4[-1])

    def __enter__(self) -> Self:
        self._end = _open_tap()
        try:
            _furnish(self._network)
        except LinkError:
            os.close(self._end)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._end)

    def scene(self) -> Scene:
        """Return the scene of one attempt."""
        own4, router4, far4, endpoint4, nobody4 = islice(self._network.hosts(), 5)
        scene = Scene(
            token=b"",
            device=DEVICE,
            own_mac=OWN_MAC,
            router_mac=ROUTER_MAC,
            own4=own4,
            own6=OWN6.ip,
            router4=router4,
            router6=ROUTER6,
            broadcast4=self._network.broadcast_address,
            nobody4=nobody4,
            far4=far4,
            far6=FAR6,
            endpoint4=endpoint4,
            endpoint6=ENDPOINT6,
            endpoint_port=PORT,
            source_port=SOURCE_PORT,
            # Never the real one: a tap could read it from what nothing drops (SO_RCVMARK).
            fwmark=1 + secrets.randbelow(2**32 - 1),
            tunnel_device=DEVICE,
            tunnel_peer4=far4,
            tunnel_peer6=FAR6,
            group4=far4,
            group6=FAR6,
            resolver4=NOT_THE_RESOLVER,
        )
        return signed_anew(scene)

    def wait_for(self, scene: Scene) -> bool:
        """Return whether a frame of the scene has arrived, as soon as one has; False where none comes in time."""
        give_up_at_s = time.monotonic() + ARRIVES_WITHIN_S
        while True:
            if any(scene.shows_in(frame) for frame in self.arrived()):
                return True
            left_s = give_up_at_s - time.monotonic()
            if left_s <= 0:
                return False
            select.select([self._end], [], [], left_s)

    def arrived(self) -> list[bytes]:
        """Return what has arrived since the last call."""
        frames = []
        while True:
            try:
                frames.append(os.read(self._end, _LARGEST_FRAME_BYTES))
            except BlockingIOError:
                return frames


def _open_tap() -> int:
    end = None
    try:
        end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _IFF_TAP | _IFF_NO_PI))
    except OSError as error:
        if end is not None:
            os.close(end)
        remedy = "give the container /dev/net/tun and NET_ADMIN (compose.yaml has both), and run one proof at a time"
        got = error.strerror or str(error)
        raise LinkError(attempted=f"make the TAP device {DEVICE}", got=got, remedy=remedy) from error
    return end


def _overlap(one: IPv4Network, other: Network) -> bool:
    return isinstance(other, IPv4Network) and one.overlaps(other)


def _furnish(network: IPv4Network) -> None:
    """Give the device addresses and neighbours, so that the kernel need not ask for any, and set it up.

    Only the kernel's own routes come with that, to networks that exist in documentation: nobody's traffic is led here.
    """
    own4, *neighbours4 = islice(network.hosts(), 4)
    with Rtnetlink(f"set up {DEVICE}") as netlink:
        index = netlink.indexes()[DEVICE]
        netlink.write(f"set {DEVICE} up", "link set", {"index": index, "address": OWN_MAC.hex(":"), "state": "up"})
        for own in (IPv4Interface(f"{own4}/{network.prefixlen}"), OWN6):
            fields: dict[str, Any] = {"index": index, "address": str(own.ip), "prefixlen": own.network.prefixlen}
            if isinstance(own, IPv4Interface):
                fields["broadcast"] = str(own.network.broadcast_address)
            else:
                fields["flags"] = _IFA_F_NODAD
            # Without IPv6 the attacks that need it are told from the others by what the kernel says to them.
            without_ipv6 = frozenset({errno.EACCES, errno.EPERM, errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.EINVAL})
            fine = without_ipv6 if isinstance(own, IPv6Interface) else frozenset()
            netlink.write(f"add {own} to {DEVICE}", "addr add", fields, fine=fine)
        for known in (*neighbours4, ROUTER6, FAR6, ENDPOINT6):
            fields = {"ifindex": index, "dst": str(known), "lladdr": ROUTER_MAC.hex(":"), "state": _NUD_PERMANENT}
            netlink.write(f"know {known}", "neigh replace", fields)
