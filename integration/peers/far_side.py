"""The far side: what a workload reaches when it leaves by the tunnel. It says which peer it left by."""

from __future__ import annotations

import contextlib
import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qs, urlsplit

from .names import BITTORRENT_PORT, FAR_V4, FILE_LIMIT_BYTES, content, plain

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK_BYTES = 64 * 1024


class FarSide(ThreadingHTTPServer):
    """The HTTP server; `status` tells what `/status` shows."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], peer: str, status: Callable[[], dict[str, object]]) -> None:
        super().__init__(address, Handler)
        self.peer = peer
        self.status = status

    def server_bind(self) -> None:
        """Bind, without HTTPServer's look for a name of the address: on a network that leads nowhere it takes 10 s."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]


class Handler(BaseHTTPRequestHandler):
    """`/`, `/status`, `/file?bytes=N` (with ranges) and `/announce`, a BitTorrent tracker for one seeder."""

    protocol_version = "HTTP/1.1"
    server: FarSide
    timeout = 30
    routes: ClassVar[dict[str, str]] = {
        "/": "who_am_i",
        "/status": "status",
        "/file": "file",
        "/announce": "announce",
    }

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        route = self.routes.get(url.path)
        if route is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        # The client may go at any time: that is what the tests are about.
        with contextlib.suppress(ConnectionError, TimeoutError):
            getattr(self, f"_{route}")(parse_qs(url.query))

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        """Stay silent: the container's log is for what goes wrong."""

    def _who_am_i(self, _: dict[str, list[str]]) -> None:
        self._send_json({"peer": self.server.peer, "client": str(plain(self.client_address[0]))})

    def _status(self, _: dict[str, list[str]]) -> None:
        self._send_json(self.server.status())

    def _announce(self, _: dict[str, list[str]]) -> None:
        # BEP 3, BEP 23: one seeder, compact form
        peer = FAR_V4.packed + BITTORRENT_PORT.to_bytes(2, "big")
        self._send(HTTPStatus.OK, b"d8:intervali60e5:peers%d:%se" % (len(peer), peer))

    def _file(self, query: dict[str, list[str]]) -> None:
        words = query.get("bytes", ["1000000"])
        if not words[0].isdigit() or int(words[0]) > FILE_LIMIT_BYTES:
            self.send_error(HTTPStatus.BAD_REQUEST, f"bytes must be a number up to {FILE_LIMIT_BYTES}")
            return
        size = int(words[0])
        start, end = self._range(size)
        if start > end or end >= size:
            self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            return
        self._send_file(start, end, size)

    def _send_file(self, start: int, end: int, size: int) -> None:
        partial = "Range" in self.headers
        self.send_response(HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - start + 1))
        if partial:
            self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        self.end_headers()
        if self.command == "HEAD":
            return
        for offset in range(start, end + 1, CHUNK_BYTES):
            self.wfile.write(content(offset, min(CHUNK_BYTES, end + 1 - offset)))

    def _range(self, size: int) -> tuple[int, int]:
        """Return the first and last byte asked for; the whole file where no simple range is asked for."""
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            return 0, size - 1
        return int(first), min(int(last), size - 1) if last else size - 1

    def _send_json(self, document: dict[str, object]) -> None:
        self._send(HTTPStatus.OK, json.dumps(document).encode() + b"\n", "application/json")

    def _send(self, status: HTTPStatus, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
