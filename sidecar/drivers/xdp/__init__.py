"""Keeping AF_XDP to ourselves: a socket of ours on every queue of every uplink, so that no other can be bound there.

AF_XDP passes every nft hook, tc and every tap, and needs no more than CAP_NET_RAW. A queue takes one such socket.
`queue_socket` is the edge, `hold` the `XdpHold` port, and `shelf` keeps the sockets beyond the life of a process.
"""

from __future__ import annotations

from sidecar.drivers.xdp.hold import KernelXdpHold
from sidecar.drivers.xdp.shelf import Shelf

__all__ = ["KernelXdpHold", "Shelf"]
