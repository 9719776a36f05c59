from __future__ import annotations

import contextlib
import socket
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.drivers.control import server as server_module
from sidecar.drivers.control.client import ControlClient
from sidecar.drivers.control.protocol import Command, Request, Response, decode_response
from sidecar.drivers.control.server import MAXIMUM_CONNECTIONS, ControlServer
from sidecar.errors import ConfigError, ControlError
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STATUS = Request(Command.STATUS)


class Handler:
    """Answers with what it was asked. `gate` holds it back; `failure` is raised instead."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failure: Exception | None = None

    def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        assert self.gate.wait(20)
        if self.failure is not None:
            raise self.failure
        return Response(accepted=True, text=f"{request.command.value} {request.name}", data={"n": len(self.asked)})


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


@pytest.fixture
def server(path: Path, handler: Handler) -> Iterator[ControlServer]:
    made = ControlServer(path, handler)
    yield made
    handler.gate.set()
    made.close()


def say(path: Path, raw: bytes, *, finish: bool = True) -> Response:
    """Send `raw` as a client that does not know the protocol would; return the answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        connection.sendall(raw)
        if finish:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        with contextlib.suppress(ConnectionResetError):  # the end, where it left bytes of ours unread
            while chunk := connection.recv(65536):
                received += chunk
        return decode_response(received.removesuffix(b"\n"))


@pytest.mark.usefixtures("server")
def test_a_question_is_handled_and_its_answer_comes_back(path: Path, handler: Handler) -> None:
    response = ControlClient(path).ask(Request(Command.SWITCH, "20-backup"))
    assert response == Response(accepted=True, text="switch 20-backup", data={"n": 1})
    assert handler.asked == [Request(Command.SWITCH, "20-backup")]


@pytest.mark.usefixtures("server")
def test_the_socket_and_its_directory_are_for_their_owner_alone(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["control.sock"]


def test_a_directory_that_anyone_could_write_to_is_made_ours_alone(path: Path, handler: Handler) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o1777)  # what Docker gives a tmpfs
    ControlServer(path, handler).close()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_link_in_the_directorys_place_is_refused(tmp_path: Path, handler: Handler) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ControlError, match="run"):
        ControlServer(tmp_path / "run" / "control.sock", handler)


def test_the_socket_of_a_dead_watchdog_is_replaced(path: Path, handler: Handler) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
        dead.listen()
    with pytest.raises(ControlError, match="Connection refused"):
        ControlClient(path).ask(STATUS)
    server = ControlServer(path, handler)
    assert ControlClient(path).ask(STATUS).accepted
    server.close()


def test_the_socket_of_a_live_watchdog_is_left_to_it(path: Path, handler: Handler, server: ControlServer) -> None:
    with pytest.raises(ControlError, match="another watchdog answers there"):
        ControlServer(path, Handler())
    assert server.is_alive()
    assert ControlClient(path).ask(STATUS).accepted
    assert len(handler.asked) == 1


def test_a_file_that_is_no_socket_is_not_removed(path: Path, handler: Handler) -> None:
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(ControlError, match="no socket is in its place"):
        ControlServer(path, handler)
    assert path.read_text() == "precious"


def test_closing_removes_the_socket_and_ends_the_thread(path: Path, handler: Handler) -> None:
    server = ControlServer(path, handler)
    server.close()
    server.close()
    assert not server.is_alive()
    assert not path.exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "control"]


def test_closing_leaves_a_successors_socket(path: Path, handler: Handler) -> None:
    first = ControlServer(path, handler)
    path.unlink()
    second = ControlServer(path, handler)
    first.close()
    assert ControlClient(path).ask(STATUS).accepted
    second.close()


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "raw", [b"", b"\n", b"GET / HTTP/1.0\r\n\r\n", b"{}\n", b'{"command": "open"}\n', b"\x00" * 100]
)
def test_garbage_is_answered_with_what_a_request_looks_like(path: Path, handler: Handler, raw: bytes) -> None:
    response = say(path, raw)
    assert not response.accepted
    assert response.exit_code == 64
    assert '{"command": "status"}' in response.text
    assert handler.asked == []


@pytest.mark.usefixtures("server")
def test_a_request_without_an_end_is_answered_before_it_fills_the_memory(path: Path) -> None:
    assert "more than 4096 bytes" in say(path, b"x" * 5000, finish=False).text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=600))
def test_no_bytes_end_the_server(path: Path, server: ControlServer, handler: Handler, raw: bytes) -> None:
    assert not say(path, raw).accepted
    assert server.is_alive()
    assert handler.asked == []


def test_the_server_outlives_garbage_and_still_answers(path: Path, server: ControlServer) -> None:
    for raw in (b"\xff" * 200, b"[" * 4000 + b"\n", b'{"command": "status"'):
        say(path, raw)
    assert server.is_alive()
    assert ControlClient(path).ask(STATUS).accepted


@pytest.mark.usefixtures("server")
def test_a_client_that_says_nothing_is_sent_away_and_holds_up_nobody(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "READ_TIMEOUT_S", 0.3)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.settimeout(20)
        silent.connect(str(path))
        silent.sendall(b'{"comm')
        assert ControlClient(path).ask(STATUS).accepted
        assert b"no whole line within 0.3 s" in silent.recv(65536)
        assert silent.recv(65536) == b""


def test_a_client_that_leaves_before_the_answer_harms_nobody(
    path: Path, handler: Handler, server: ControlServer
) -> None:
    handler.gate.clear()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hasty:
        hasty.connect(str(path))
        hasty.sendall(b'{"command": "converge"}\n')
        wait_until(lambda: handler.asked, 20, "the request to be handled")
    handler.gate.set()
    assert ControlClient(path).ask(STATUS).accepted
    assert server.is_alive()


@pytest.mark.usefixtures("server")
def test_many_clients_get_each_their_own_answer(path: Path) -> None:
    def ask(number: int) -> bool:
        response = ControlClient(path).ask(Request(Command.SWITCH, f"endpoint-{number}"))
        return response.text == f"switch endpoint-{number}"

    with ThreadPoolExecutor(MAXIMUM_CONNECTIONS // 2) as pool:
        assert all(pool.map(ask, range(200)))


@pytest.mark.usefixtures("server")
def test_one_client_too_many_is_told_to_come_back_and_then_is_served(path: Path, handler: Handler) -> None:
    handler.gate.clear()
    with ThreadPoolExecutor(MAXIMUM_CONNECTIONS) as pool:
        waiting = [pool.submit(ControlClient(path).ask, STATUS) for _ in range(MAXIMUM_CONNECTIONS)]
        wait_until(lambda: len(handler.asked) == MAXIMUM_CONNECTIONS, 20, "every place to be taken")
        refused = ControlClient(path).ask(STATUS)
        assert not refused.accepted
        assert refused.exit_code == 75
        assert "answering others" in refused.text
        handler.gate.set()
        assert all(future.result(20).accepted for future in waiting)
    wait_until(lambda: ControlClient(path).ask(STATUS).accepted, 20, "a place to be free again")


@pytest.mark.usefixtures("server")
def test_an_error_of_ours_is_the_answer(path: Path, handler: Handler) -> None:
    handler.failure = ConfigError(attempted="read 10-primary.conf line 3", got="not base64", remedy="copy the key anew")
    response = ControlClient(path).ask(Request(Command.CONVERGE))
    assert response == Response(
        accepted=False, text="read 10-primary.conf line 3: not base64\ncopy the key anew", exit_code=64
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_handler_is_seen_by_the_thread_hook_and_ends_one_connection_only(
    path: Path, handler: Handler, server: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: caught.append(arguments.exc_type))
    handler.failure = ZeroDivisionError()
    for _ in range(MAXIMUM_CONNECTIONS + 1):  # each gives its place back
        with pytest.raises(ControlError, match="closed after 0 bytes"):
            ControlClient(path).ask(STATUS)
    wait_until(lambda: len(caught) == MAXIMUM_CONNECTIONS + 1, 20, "the hook to hear of every bug")
    assert set(caught) == {ZeroDivisionError}
    handler.failure = None
    assert ControlClient(path).ask(STATUS).accepted
    assert server.is_alive()


@pytest.mark.usefixtures("server")
def test_a_name_that_is_too_long_is_refused_before_it_is_sent(path: Path, handler: Handler) -> None:
    with pytest.raises(ControlError, match="at most 4096 are read"):
        ControlClient(path).ask(Request(Command.SWITCH, "x" * 5000))
    assert handler.asked == []
