"""What the kernel sends by itself, a moment after it was asked for something else.

Last of all: it says so more than once, and the rest of it would be counted in the time of other attacks.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from sidecar.prove.attacks.sockets import DISCARD, bind_to
from sidecar.prove.catalogue import attack, may_be_refused

if TYPE_CHECKING:
    from collections.abc import Generator

    from sidecar.prove.scene import Scene


@attack(is_late=True)
def an_igmp_report(scene: Scene) -> Generator[None]:
    """Joining a multicast group, which the kernel tells the router by IGMP."""
    membership = struct.pack("=4s4si", scene.group4.packed, bytes(4), socket.if_nametoindex(scene.device))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        yield


@attack(is_late=True)
def an_mld_report(scene: Scene) -> Generator[None]:
    """Joining an IPv6 multicast group, which the kernel tells the router by MLD."""
    index = socket.if_nametoindex(scene.device)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as opened:
        bind_to(opened, scene.device)
        with may_be_refused():
            opened.setsockopt(
                socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, struct.pack("=16si", scene.group6.packed, index)
            )
            # Where the device has no IPv6 the kernel joins, says nothing to anybody, and only here that it cannot.
            opened.connect((str(scene.group6), DISCARD))
        yield
