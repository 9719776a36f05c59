"""The client of the userspace API against servers that answer badly, or not at all."""

from __future__ import annotations

import errno
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from sidecar.drivers.wireguard_userspace import uapi
from sidecar.drivers.wireguard_userspace.uapi import NoListenerError, RefusedError, SilentError, exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wg0.sock"


@pytest.fixture
def requests() -> list[bytes]:
    return []


@pytest.fixture
def serve(path: Path, requests: list[bytes]) -> Iterator[Callable[[list[bytes]], None]]:
    """Have one connection answered with these pieces, then hold it open; None of them closes it at once."""
    listener = socket.socket(socket.AF_UNIX)
    held: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(pieces: list[bytes], *, hang_up: bool = False) -> None:
        def run() -> None:
            connection, _ = listener.accept()
            held.append(connection)
            requests.append(connection.recv(65536))
            for piece in pieces:
                connection.sendall(piece)
            if hang_up:
                connection.close()

        listener.bind(str(path))
        listener.listen()
        threads.append(threading.Thread(target=run, daemon=True))
        threads[0].start()

    yield start
    for thread in threads:
        thread.join(10)
    for sock in (*held, listener):
        sock.close()


def test_a_request_ends_with_an_empty_line_and_the_answer_is_its_lines(
    path: Path, serve: Callable[[list[bytes]], None], requests: list[bytes]
) -> None:
    serve([b"listen_port=1\nfw", b"mark=2\nerrno=0\n", b"\n"])
    assert exchange(path, ["get=1"]) == [("listen_port", "1"), ("fwmark", "2")]
    assert requests == [b"get=1\n\n"]


@pytest.mark.parametrize("answer", [b"errno=-98\n\n", b"errno=98\n\n"])
def test_an_error_number_is_told_in_words(path: Path, serve: Callable[[list[bytes]], None], answer: bytes) -> None:
    serve([answer])
    with pytest.raises(RefusedError, match=r"Address already in use \(EADDRINUSE\)"):
        exchange(path, ["set=1", f"listen_port={errno.EADDRINUSE}"])


@pytest.mark.parametrize("answer", [b"\n\n", b"hello\n\n", b"errno=none\n\n", b"\xff\xfe\n\n"])
def test_an_answer_without_an_error_number_is_no_success(
    path: Path, serve: Callable[[list[bytes]], None], answer: bytes
) -> None:
    serve([answer])
    with pytest.raises(RefusedError, match="without an error number"):
        exchange(path, ["get=1"])


def test_an_answer_that_breaks_off_is_a_process_that_ended(path: Path, serve: Callable[..., None]) -> None:
    serve([b"listen_port=1\n"], hang_up=True)
    with pytest.raises(NoListenerError, match="ended"):
        exchange(path, ["get=1"])


def test_an_answer_without_end_is_given_up(path: Path, serve: Callable[[list[bytes]], None]) -> None:
    serve([b"listen_port=1\n"])
    with pytest.raises(SilentError, match="no answer"):
        exchange(path, ["get=1"])


def test_an_answer_beyond_all_measure_is_refused(
    path: Path, serve: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uapi, "MAX_ANSWER_BYTES", 100)
    serve([b"allowed_ip=10.0.0.0/8\n" * 10])
    with pytest.raises(RefusedError, match="too long"):
        exchange(path, ["get=1"])


def test_nobody_listens_where_there_is_no_socket_or_a_stale_one(path: Path) -> None:
    with pytest.raises(NoListenerError):
        exchange(path, ["get=1"])
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    with pytest.raises(NoListenerError):
        exchange(path, ["get=1"])


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError):
        exchange(tmp_path / ("x" * 200), ["get=1"])
