"""A client of WireGuard's userspace API: one request and its answer over a unix socket.

Source: https://www.wireguard.com/xplatform/, "Configuration Protocol".
"""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

Line = tuple[str, str]

EXCHANGE_TIMEOUT_S: Final = 0.5
MAX_ANSWER_BYTES: Final = 4 << 20
_END: Final = b"\n\n"


class ExchangeError(Exception):
    """A request was not carried out; the leaves say why. They stay inside this package."""


class NoListenerError(ExchangeError):
    """There is no socket, or nobody behind it."""


class SilentError(ExchangeError):
    """Somebody listens, and does not answer in time."""


class RefusedError(ExchangeError):
    """The answer was an error number, or no answer in this protocol."""


def exchange(path: Path, lines: list[str]) -> list[Line]:
    """Send one request and return the answer's lines, without the error number. Raises ExchangeError."""
    request = "".join(f"{line}\n" for line in [*lines, ""]).encode("ascii")
    try:
        answer = _converse(path, request)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NoListenerError(f"nobody listens at {path}") from error
    except (ConnectionResetError, BrokenPipeError) as error:
        raise NoListenerError(f"the process at {path} ended") from error
    except (TimeoutError, BlockingIOError) as error:  # EAGAIN: its queue of connections is full
        raise SilentError(f"no answer at {path} within {EXCHANGE_TIMEOUT_S:g} s") from error
    except OSError as error:
        raise RefusedError(f"{path}: {error}") from error
    return _check(answer)


def _converse(path: Path, request: bytes) -> bytes:
    give_up_at_s = time.monotonic() + EXCHANGE_TIMEOUT_S
    answer = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(EXCHANGE_TIMEOUT_S)
        sock.connect(str(path))
        sock.sendall(request)
        while not answer.endswith(_END):
            sock.settimeout(max(give_up_at_s - time.monotonic(), 0.001))
            piece = sock.recv(1 << 16)
            if not piece:
                raise ConnectionResetError
            answer += piece
            if len(answer) > MAX_ANSWER_BYTES:
                raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
    return bytes(answer)


def _check(answer: bytes) -> list[Line]:
    lines = [_split(line) for line in answer.decode("ascii", "replace").splitlines() if line]
    try:
        number = abs(int(dict(lines)["errno"]))
    except (KeyError, ValueError) as error:
        raise RefusedError("an answer without an error number") from error
    if number != 0:
        raise RefusedError(f"{os.strerror(number)} ({errno.errorcode.get(number, str(number))})")
    return [line for line in lines if line[0] != "errno"]


def _split(line: str) -> Line:
    key, _, value = line.partition("=")
    return key, value
