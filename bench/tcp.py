"""One bounded TCP transfer, from either end. Started in a namespace on its own; standard library only.

tcp.py sink ADDRESS PORT                    serves one transfer after another
tcp.py client ADDRESS PORT up|down SECONDS  prints what arrived at the receiving end, in Mbit/s
"""

from __future__ import annotations

import socket
import sys
import time

CHUNK = bytes(256 * 1024)
DEADLINE_S = 20.0
MOST_S = 10.0


def pour(sock: socket.socket, seconds: float) -> None:
    """Send as fast as it goes, for a while; then say that this is all."""
    end_s = time.monotonic() + min(seconds, MOST_S)
    while time.monotonic() < end_s:
        sock.sendall(CHUNK)
    sock.shutdown(socket.SHUT_WR)


def drain(sock: socket.socket) -> float:
    """Take all there is; return Mbit/s between the first byte and the last."""
    buffer, size = bytearray(len(CHUNK)), 0
    first_s = None
    while count := sock.recv_into(buffer):
        first_s = first_s or time.monotonic()
        size += count
    elapsed_s = time.monotonic() - (first_s or 0)
    return size * 8 / elapsed_s / 1e6 if size else 0.0


def sink(address: str, port: int) -> None:
    """Serve until killed: the first line of a connection says which way, and for how long."""
    with socket.create_server((address, port)) as server:
        print("listening", flush=True)  # noqa: T201 - the parent waits for this line
        while True:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(DEADLINE_S)
                serve(connection)


def serve(connection: socket.socket) -> None:
    """One transfer; a client that goes away ends it."""
    try:
        way, seconds = connection.makefile("rb", buffering=0).readline().split()
        if way == b"down":
            pour(connection, float(seconds))
        else:
            connection.sendall(b"%.3f\n" % drain(connection))
    except OSError as error:
        sys.stderr.write(f"sink: {error}\n")


def client(address: str, port: int, way: str, seconds: float) -> None:
    """Make one transfer and print its rate."""
    with socket.create_connection((address, port), timeout=DEADLINE_S) as sock:
        sock.sendall(f"{way} {seconds}\n".encode())
        if way == "down":
            print(f"{drain(sock):.3f}")  # noqa: T201 - the answer
            return
        pour(sock, seconds)
        print(sock.makefile().readline().strip())  # noqa: T201 - the answer


if __name__ == "__main__":
    if sys.argv[1] == "sink":
        sink(sys.argv[2], int(sys.argv[3]))
    else:
        client(sys.argv[2], int(sys.argv[3]), sys.argv[4], float(sys.argv[5]))
