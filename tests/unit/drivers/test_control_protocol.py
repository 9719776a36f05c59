from __future__ import annotations

import json
import socket
import threading
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.drivers.control.protocol import (
    MAXIMUM_REQUEST_BYTES,
    MAXIMUM_RESPONSE_BYTES,
    Command,
    Malformed,
    Request,
    Response,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    read_line,
)
from sidecar.errors import EXIT_SOFTWARE

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMELESS = [command for command in Command if command is not Command.SWITCH]
REQUESTS = st.builds(Request, st.sampled_from(NAMELESS)) | st.builds(
    Request, st.just(Command.SWITCH), st.text(max_size=200)
)
RESPONSES = st.builds(Response, st.booleans(), st.text(), st.integers(min_value=0, max_value=255), JSON)


@settings(deadline=None)
@given(request=REQUESTS)
def test_a_request_arrives_as_it_was_sent(request: Request) -> None:
    line = encode_request(request)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_request(line[:-1]) == request


@settings(deadline=None)
@given(response=RESPONSES)
def test_a_response_arrives_as_it_was_sent(response: Response) -> None:
    line = encode_response(response)
    assert line.count(b"\n") == 1
    assert decode_response(line[:-1]) == response


@settings(deadline=None)
@given(line=st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b'{"command": []}')
@example(b"[" * 4000)
@example(b"9" * 4000)
def test_any_other_line_is_malformed_and_nothing_worse(line: bytes) -> None:
    for decode in (decode_request, decode_response):
        with pytest.raises(Malformed):
            decode(line)


@pytest.mark.parametrize(("line", "wrong"), [
    ({}, "unknown command None"),
    ({"command": "open"}, "unknown command 'open'; known are converge, switch, unlock, status, killswitch"),
    ({"command": "switch"}, "a switch has the name"),
    ({"command": "switch", "name": None}, "a switch has the name"),
    ({"command": "converge", "name": "10-primary"}, "nothing else has one"),
    ({"command": "switch", "name": 3}, "the name is 3, not a string"),
    ({"command": "converge", "dry_run": True}, "unknown field 'dry_run'"),
])  # fmt: skip
def test_a_request_that_is_almost_right_is_refused_with_what_is_wrong(line: dict[str, object], wrong: str) -> None:
    with pytest.raises(Malformed, match=wrong):
        decode_request(json.dumps(line).encode())


@pytest.mark.parametrize("fields", [
    {"accepted": 1, "text": "", "exit_code": 0},
    {"accepted": True, "text": None, "exit_code": 0},
    {"accepted": True, "text": "", "exit_code": 256},
    {"accepted": True, "text": "", "exit_code": -1},
    {"accepted": True, "text": "", "exit_code": True},
    {"accepted": True, "text": ""},
])  # fmt: skip
def test_a_response_that_is_almost_right_is_not_believed(fields: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        decode_response(json.dumps(fields).encode())


def test_a_request_that_no_server_would_read_is_not_sent() -> None:
    with pytest.raises(Malformed, match="at most 4096"):
        encode_request(Request(Command.SWITCH, "x" * MAXIMUM_REQUEST_BYTES))


@pytest.mark.parametrize("data", [object(), float("nan"), "x" * MAXIMUM_RESPONSE_BYTES])
def test_an_answer_that_cannot_be_sent_becomes_an_error_that_can(data: object) -> None:
    response = decode_response(encode_response(Response(accepted=True, text="fine", data=data))[:-1])
    assert not response.accepted
    assert response.exit_code == EXIT_SOFTWARE


@settings(deadline=None)
@given(pieces=st.lists(st.binary(max_size=20).map(lambda piece: piece.replace(b"\n", b"")), max_size=8))
def test_a_line_is_read_whole_however_it_was_cut(pieces: list[bytes]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        writer = threading.Thread(target=lambda: [theirs.sendall(piece) for piece in (*pieces, b"\nmore\n") if piece])
        writer.start()
        assert read_line(ours, 200, 5.0) == b"".join(pieces)
        writer.join(5.0)


def test_a_line_of_exactly_the_limit_is_read_and_one_more_byte_is_not() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"12345\n123456\n")
        assert read_line(ours, 5, 5.0) == b"12345"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"123456\n")
        with pytest.raises(Malformed, match="more than 5 bytes"):
            read_line(ours, 5, 5.0)


def test_a_line_that_never_ends_is_given_up_when_its_sender_leaves() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(b"half")
        theirs.close()
        with pytest.raises(Malformed, match="closed after 4 bytes"):
            read_line(ours, 100, 5.0)


class Dripping:
    """A connection on which there is always one more byte, and never a line's end."""

    def __init__(self) -> None:
        self.timeouts_s: list[float] = []

    def settimeout(self, timeout_s: float) -> None:
        self.timeouts_s.append(timeout_s)

    def recv(self, _size: int) -> bytes:
        return b"x"


def test_a_sender_of_single_bytes_gets_no_more_time_than_any_other() -> None:
    dripping = Dripping()
    with pytest.raises(TimeoutError):
        read_line(cast("socket.socket", dripping), 10**9, 0.05)
    assert dripping.timeouts_s == sorted(dripping.timeouts_s, reverse=True)
    assert 0 < dripping.timeouts_s[-1] < dripping.timeouts_s[0] <= 0.05
