"""A sender beside the tunnel: numbered frames at a steady rate, straight to a device. Started on its own.

    leaky_sender.py DEVICE RATE MOST_FRAMES TOKEN        prints "sending" with its first frame; ends with its input

In the namespace that it is started in; standard library only, for it must start fast.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
import time

# To nobody (RFC 5737, TEST-NET-3), and to a hardware address that nobody has: locally administered.
TARGET, SOURCE = "203.0.113.7", "203.0.113.8"
NOBODY = bytes.fromhex("02000000fe00")
ETH_P_IP, UDP, PORT = 0x0800, 17, 9


def frame(token: bytes, number: int) -> bytes:
    """Return a UDP datagram that says which of the sender's frames it is; checksums are nobody's concern here."""
    payload = token + struct.pack("!I", number)
    datagram = struct.pack("!HHHH", PORT, PORT, 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, UDP, 0)
    header += socket.inet_aton(SOURCE) + socket.inet_aton(TARGET)
    return NOBODY + NOBODY[:5] + b"\1" + struct.pack("!H", ETH_P_IP) + header + datagram


def main(device: str, rate: int, most: int, token: bytes) -> None:
    """Send until standard input ends, or `most` frames are sent."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        began_s = time.monotonic()
        for number in range(most):
            with contextlib.suppress(OSError):  # the lock drops it, or the device is down: what this is about
                sender.sendto(frame(token, number), (device, ETH_P_IP))
            if number == 0:
                os.write(1, b"sending\n")
            wait_s = began_s + (number + 1) / rate - time.monotonic()
            if select.select([0], [], [], max(wait_s, 0))[0]:
                return


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].encode())
