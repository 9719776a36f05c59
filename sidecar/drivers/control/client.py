"""The control socket's asking end."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from sidecar.drivers.control.protocol import (
    MAXIMUM_RESPONSE_BYTES,
    Malformed,
    Request,
    Response,
    decode_response,
    encode_request,
    read_line,
)
from sidecar.errors import ControlError

if TYPE_CHECKING:
    from pathlib import Path

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 30.0
"""The watchdog answers between two turns of its loop; an unlock surveys the whole machine first."""

NOT_HERE = "run this inside the sidecar (docker compose exec vpn sidecar …), and see that its container is up"
HANGS = "try again; if it stays so, see the container's log. The lock does not depend on the watchdog"


class ControlClient:
    """Asks one question per connection."""

    def __init__(self, path: Path, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self._path = path
        self._answer_timeout_s = answer_timeout_s

    def ask(self, request: Request) -> Response:
        """Return the watchdog's answer.

        Raises:
            ControlError: nobody listens, the answer took too long, or it is not of the protocol.
        """
        attempted = f"ask the watchdog to {request.command.value}"
        try:
            with self._connect(attempted) as connection:
                with contextlib.suppress(BrokenPipeError):  # it has answered before it heard us out; read on
                    connection.sendall(encode_request(request))
                return decode_response(read_line(connection, MAXIMUM_RESPONSE_BYTES, self._answer_timeout_s))
        except TimeoutError as error:
            got = f"no answer within {self._answer_timeout_s:g} s"
            raise ControlError(attempted=attempted, got=got, remedy=HANGS) from error
        except Malformed as error:
            raise ControlError(attempted=attempted, got=str(error), remedy=HANGS) from error
        except OSError as error:
            raise ControlError(attempted=attempted, got=error.strerror or str(error), remedy=HANGS) from error

    def _connect(self, attempted: str) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_TIMEOUT_S)
        try:
            connection.connect(str(self._path))
        except OSError as error:
            connection.close()
            got = f"{self._path}: {error.strerror or error}"
            raise ControlError(attempted=attempted, got=got, remedy=NOT_HERE) from error
        return connection
