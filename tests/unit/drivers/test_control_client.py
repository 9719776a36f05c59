"""The client, against ends that are not our server."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from sidecar.drivers.control.client import ControlClient
from sidecar.drivers.control.protocol import Command, Request
from sidecar.errors import ControlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STATUS = Request(Command.STATUS)


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Callable[[bytes | None], Path]]:
    """Listens, hears one request, says `answer` (None: nothing, and holds the line)."""
    listeners: list[socket.socket] = []
    done = threading.Event()

    def start(answer: bytes | None) -> Path:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(tmp_path / "odd.sock"))
        listener.listen()
        listeners.append(listener)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                if answer is None:
                    done.wait(20)
                else:
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return tmp_path / "odd.sock"

    yield start
    done.set()
    for listener in listeners:
        listener.close()


def test_where_nobody_listens_the_client_says_where_to_run_it(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="No such file") as raised:
        ControlClient(tmp_path / "none.sock").ask(Request(Command.CONVERGE))
    assert raised.value.attempted == "ask the watchdog to converge"
    assert "docker compose exec" in raised.value.remedy
    assert raised.value.exit_code == 69


def test_a_watchdog_that_hangs_is_not_waited_for_for_ever(listen: Callable[[bytes | None], Path]) -> None:
    with pytest.raises(ControlError, match=r"no answer within 0\.1 s"):
        ControlClient(listen(None), answer_timeout_s=0.1).ask(STATUS)


@pytest.mark.parametrize("answer", [b"", b"half", b"no json\n", b"{}\n", b"[]\n", b"x" * 100_000])
def test_an_answer_that_is_none_is_an_error(listen: Callable[[bytes | None], Path], answer: bytes) -> None:
    with pytest.raises(ControlError, match="ask the watchdog to status"):
        ControlClient(listen(answer), answer_timeout_s=20).ask(STATUS)
