"""What is said on the control socket: one JSON line each way, then it closes.

    {"command": "switch", "name": "20-backup"}
    {"accepted": true, "text": "switched to 20-backup", "exit_code": 0, "data": null}

Both ends read with a bound on bytes and on time, and believe nothing that is not exactly of this form.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from sidecar.errors import EXIT_CONFIG, EXIT_SOFTWARE, EXIT_TEMPFAIL

if TYPE_CHECKING:
    import socket

    from sidecar.errors import SidecarError

MAXIMUM_REQUEST_BYTES = 4 * 1024
MAXIMUM_RESPONSE_BYTES = 4 * 1024 * 1024
"""A listing of the ruleset grows with uplinks and endpoints: about 6 KiB for one of each."""

CHUNK_BYTES = 64 * 1024
MAXIMUM_EXIT_CODE = 255


class Malformed(Exception):  # noqa: N818 - a judgement about what the other end sent
    """The other end sent something that is not of the protocol; the message says what."""


class Command(Enum):
    """What may be asked of the watchdog."""

    CONVERGE = "converge"
    SWITCH = "switch"
    UNLOCK = "unlock"
    STATUS = "status"
    KILLSWITCH = "killswitch"
    BEGIN_PROOF = "begin-proof"
    END_PROOF = "end-proof"


@dataclass(frozen=True, slots=True)
class Request:
    """One question.

    Attributes:
        name: the endpoint's, for a switch; None for everything else.
    """

    command: Command
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """One answer.

    Attributes:
        text: for people; what was done, or why not and what would help.
        exit_code: the command line's exit code.
        data: whatever of JSON the command promises; None where it promises nothing.
    """

    accepted: bool
    text: str
    exit_code: int = 0
    data: object = None


def refusal(text: str, exit_code: int = EXIT_TEMPFAIL) -> Response:
    """Return the answer to a request that is not carried out."""
    return Response(accepted=False, text=text, exit_code=exit_code)


def failure(error: SidecarError) -> Response:
    """Return the answer to a request that ended in `error`."""
    return refusal(f"{error.attempted}: {error.got}\n{error.remedy}", error.exit_code)


def malformed_request(error: Malformed) -> Response:
    """Return the answer to something that is no request."""
    return refusal(f'read a request: {error}\nsend one JSON line, such as {{"command": "status"}}', EXIT_CONFIG)


def encode_request(request: Request) -> bytes:
    """Return the line for `request`.

    Raises:
        Malformed: it is longer than a server reads.
    """
    fields: dict[str, object] = {"command": request.command.value}
    if request.name is not None:
        fields["name"] = request.name
    line = _line(fields)
    if len(line) > MAXIMUM_REQUEST_BYTES:
        raise Malformed(f"a request of {len(line)} bytes; at most {MAXIMUM_REQUEST_BYTES} are read")
    return line


def decode_request(line: bytes) -> Request:
    """Return the request in `line`.

    Raises:
        Malformed: with what is wrong with it.
    """
    fields = _object(line)
    unknown = sorted(set(fields) - {"command", "name"})
    if unknown:
        raise Malformed(f"unknown field {unknown[0]!r}")
    name = fields.get("name")
    try:
        command = Command(fields.get("command"))
    except ValueError:
        known = ", ".join(command.value for command in Command)
        raise Malformed(f"unknown command {fields.get('command')!r}; known are {known}") from None
    if name is not None and not isinstance(name, str):
        raise Malformed(f"the name is {name!r}, not a string")
    if (command is Command.SWITCH) != (name is not None):
        raise Malformed("a switch has the name of an endpoint, and nothing else has one")
    return Request(command, name)


def encode_response(response: Response) -> bytes:
    """Return the line for `response`; one that would be too long, or no JSON, becomes an error in its place."""
    fields = {
        "accepted": response.accepted,
        "text": response.text,
        "exit_code": response.exit_code,
        "data": response.data,
    }
    try:
        line = _line(fields)
    except (TypeError, ValueError) as error:
        return _line_for_bad_answer(f"the answer is no JSON: {error}")
    if len(line) > MAXIMUM_RESPONSE_BYTES:
        return _line_for_bad_answer(f"the answer has {len(line)} bytes, more than {MAXIMUM_RESPONSE_BYTES}")
    return line


def decode_response(line: bytes) -> Response:
    """Return the response in `line`.

    Raises:
        Malformed: with what is wrong with it.
    """
    fields = _object(line)
    accepted, text, exit_code = fields.get("accepted"), fields.get("text"), fields.get("exit_code")
    if not isinstance(accepted, bool) or not isinstance(text, str):
        raise Malformed("the answer has no verdict or no text")
    if not isinstance(exit_code, int) or isinstance(exit_code, bool) or not 0 <= exit_code <= MAXIMUM_EXIT_CODE:
        raise Malformed(f"the answer's exit code is {exit_code!r}")
    return Response(accepted, text, exit_code, fields.get("data"))


def read_line(connection: socket.socket, limit_bytes: int, timeout_s: float) -> bytes:
    """Return the first line of `connection`, without its end; what follows it is ignored.

    The time is for the whole line: a peer that sends a byte now and then gets no more of it.

    Raises:
        Malformed: the line is longer than `limit_bytes`, or the peer closed before its end.
        TimeoutError: the line did not end within `timeout_s`.
        OSError: the connection failed.
    """
    give_up_at_s = time.monotonic() + timeout_s
    received = bytearray()
    while True:
        left_s = give_up_at_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        chunk = connection.recv(min(CHUNK_BYTES, limit_bytes + 1 - len(received)))
        end = chunk.find(b"\n")
        if end >= 0:
            return bytes(received) + chunk[:end]
        received += chunk
        if not chunk:
            raise Malformed(f"closed after {len(received)} bytes without the end of a line")
        if len(received) > limit_bytes:
            raise Malformed(f"more than {limit_bytes} bytes without the end of a line")


def _line_for_bad_answer(got: str) -> bytes:
    text = f"write an answer: {got}\nthis is a mistake of ours: report it"
    return _line({"accepted": False, "text": text, "exit_code": EXIT_SOFTWARE, "data": None})


def _line(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, allow_nan=False).encode("ascii") + b"\n"


def _object(line: bytes) -> dict[str, object]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise Malformed("no JSON") from None
    if not isinstance(fields, dict):
        raise Malformed("JSON, but no object")
    return fields
