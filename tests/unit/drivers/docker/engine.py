"""A Docker engine of our own: the five requests that matter, on a unix socket."""

from __future__ import annotations

import json
import re
import socketserver
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def long_id(number: int) -> str:
    return f"{number:x}" * 64


US, HOLDER = long_id(1), long_id(2)


class Engine(socketserver.ThreadingUnixStreamServer):
    """Containers by id, and what was asked of them.

    Attributes:
        refusals: an HTTP status to answer with instead of obeying, by container id.
    """

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), Handler)
        self.path = path
        self.containers: dict[str, dict[str, Any]] = {}
        self.refusals: dict[str, int] = {}
        self.asked: list[str] = []

    def add(
        self,
        identifier: str,
        name: str,
        mode: str = "bridge",
        status: str = "running",
        *,
        with_socket: bool = False,
        **host: object,
    ) -> None:
        self.containers[identifier] = {
            "Id": identifier,
            "Name": f"/{name}",
            "State": {"Status": status},
            "HostConfig": {"NetworkMode": mode, **host},
            "Mounts": [{"Destination": "/data"}, *([{"Destination": str(self.path)}] if with_socket else [])],
        }


class Handler(BaseHTTPRequestHandler):
    server: Engine

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = re.sub(r"^/v[0-9.]+", "", self.path.partition("?")[0])
        if path == "/version":
            self.reply(200, {"ApiVersion": "1.45"})
        elif path == "/containers/json":
            listed = [one for one in self.server.containers.values() if one["State"]["Status"] != "exited"]
            self.reply(200, [{"Id": one["Id"]} for one in listed])
        else:
            self.inspect(path.split("/")[2])

    def inspect(self, word: str) -> None:
        matches = [one for key, one in self.server.containers.items() if key.startswith(word)]
        if matches and self.server.refusals.get(matches[0]["Id"]) != 410:
            self.reply(200, matches[0])
        else:
            self.reply(404, {"message": f"No such container: {word}"})

    def do_POST(self) -> None:
        _, _, identifier, action = re.sub(r"^/v[0-9.]+", "", self.path.partition("?")[0]).split("/")
        name = self.server.containers[identifier]["Name"][1:]
        self.server.asked.append(f"{action} {name}")
        refusal = self.server.refusals.get(identifier)
        if refusal is None:
            self.reply(204, None)
        else:
            self.reply(refusal, {"message": f"cannot {action} {name}"})

    def reply(self, status: int, body: Any) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if content:
            self.wfile.write(content)


def mounted_from(monkeypatch: pytest.MonkeyPatch, identifier: str) -> None:
    """Let the files that the engine mounts into us come from this container."""
    monkeypatch.setattr("sidecar.drivers.docker.company.own_id", lambda: identifier)
