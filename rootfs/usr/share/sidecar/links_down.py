"""Sets every link but loopback down. The last resort of the entrypoint; the image has no ip(8).

Stand-alone, standard library only: it runs when nothing else could be set up.
"""

# ruff: noqa: INP001 - run by its path: the image's file, not a package's

from __future__ import annotations

import fcntl
import socket
import struct
import sys

# Source: linux/sockios.h, linux/if.h
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
# struct ifreq: char name[16], then a union of which the flags are a short
IFREQ = struct.Struct("16sh22x")


def set_down(control: socket.socket, name: str) -> None:
    """Clear IFF_UP of one link.

    Raises:
        OSError: the kernel refused; EPERM without CAP_NET_ADMIN.
    """
    request = fcntl.ioctl(control, SIOCGIFFLAGS, IFREQ.pack(name.encode(), 0))
    flags = IFREQ.unpack(request)[1]
    fcntl.ioctl(control, SIOCSIFFLAGS, IFREQ.pack(name.encode(), flags & ~IFF_UP))


def main() -> int:
    """Try every link whatever the others do; the exit code is the number that stayed up."""
    failures = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for _, name in socket.if_nameindex():
            if name == "lo":
                continue
            try:
                set_down(control, name)
            except OSError as error:
                failures += 1
                sys.stderr.write(f"sidecar: link {name} stays up: {error}\n")
    return failures


if __name__ == "__main__":
    sys.exit(main())
