"""The control socket's listening end."""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
from typing import TYPE_CHECKING

from loguru import logger

from sidecar.drivers.control.paths import FILE_MODE, prepare_directory
from sidecar.drivers.control.protocol import (
    MAXIMUM_REQUEST_BYTES,
    Malformed,
    Request,
    Response,
    decode_request,
    encode_response,
    failure,
    malformed_request,
    read_line,
    refusal,
)
from sidecar.errors import ControlError, SidecarError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAXIMUM_CONNECTIONS = 8
"""Operators and their scripts; one more is told to come back."""
READ_TIMEOUT_S = 2.0
WRITE_TIMEOUT_S = 5.0
REFUSE_TIMEOUT_S = 0.1
"""The accepting thread waits no longer than this for anybody."""
ACCEPT_PAUSE_S = 1.0
"""After a failed accept (out of descriptors or memory), so that the thread does not spin."""
CLOSE_TIMEOUT_S = 1.0


class ControlServer:
    """Answers requests on a unix socket for root alone, each from a thread of its own.

    Args:
        path: the socket; its directory is made ours alone (mode 0700).
        handle: called with each request, from several threads at once; it bounds its own time. A `SidecarError` from it
            is answered as such; anything else is a bug, ends that thread by `threading.excepthook`, and the client sees
            the connection close. Neither ends the server.
    """

    def __init__(self, path: Path, handle: Callable[[Request], Response]) -> None:
        self._path = path
        self._handle = handle
        self._closing = threading.Event()
        self._places = threading.BoundedSemaphore(MAXIMUM_CONNECTIONS)
        self._listener = _listen(path)
        self._inode = path.stat().st_ino
        self._thread = threading.Thread(target=self._accept_all, name="control", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether a request would be answered."""
        return self._thread.is_alive() and not self._closing.is_set()

    def close(self) -> None:
        """Stop listening, and remove the socket unless a successor has put its own there. Idempotent."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(); closing alone would not
        self._thread.join(CLOSE_TIMEOUT_S)
        self._listener.close()
        try:
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
        except OSError as error:
            if error.errno != errno.ENOENT:
                logger.warning("control: remove {}: {}", self._path, error.strerror)

    def _accept_all(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if not self._closing.wait(ACCEPT_PAUSE_S):
                    logger.warning("control: accept a client on {}: {}", self._path, error.strerror)
                continue
            if self._places.acquire(blocking=False):
                threading.Thread(target=self._serve, args=(connection,), name="control-client", daemon=True).start()
            else:
                with connection:
                    _send(connection, refusal("the watchdog is answering others; try again"), REFUSE_TIMEOUT_S)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                response = self._answer(connection)
                if response is not None:
                    _send(connection, response, WRITE_TIMEOUT_S)
        finally:
            self._places.release()

    def _answer(self, connection: socket.socket) -> Response | None:
        """Return the answer to whatever `connection` says; None where nobody is left to hear it."""
        try:
            request = decode_request(read_line(connection, MAXIMUM_REQUEST_BYTES, READ_TIMEOUT_S))
        except Malformed as error:
            return malformed_request(error)
        except TimeoutError:
            return malformed_request(Malformed(f"no whole line within {READ_TIMEOUT_S:g} s"))
        except OSError as error:
            logger.debug("control: a client left: {}", error.strerror)
            return None
        try:
            return self._handle(request)
        except SidecarError as error:
            return failure(error)


def _send(connection: socket.socket, response: Response, timeout_s: float) -> None:
    connection.settimeout(timeout_s)  # for a whole sendall, not for each piece of it
    try:
        connection.sendall(encode_response(response))
    except OSError as error:  # a client that left, or does not read
        logger.debug("control: an answer was not taken: {}", error.strerror or error)


def _listen(path: Path) -> socket.socket:
    """Return a socket listening on `path`, put there in one step over whatever a dead predecessor left.

    Raises:
        ControlError: another watchdog answers there, or the socket cannot be made.
    """
    prepare_directory(path.parent)
    _require_free(path)
    following = path.with_name(f".{path.name}.next")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        following.unlink(missing_ok=True)
        listener.bind(str(following))
        following.chmod(FILE_MODE)  # before listen(): nobody has been let in by the mode that the umask gave
        listener.listen(MAXIMUM_CONNECTIONS)
        following.replace(path)
    except OSError as error:
        listener.close()
        raise ControlError(
            attempted=f"listen on {path}",
            got=error.strerror or str(error),
            remedy=f"see that {path.parent} is a writable tmpfs with space left",
        ) from error
    return listener


def _require_free(path: Path) -> None:
    attempted = f"listen on {path}"
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ControlError(attempted=attempted, got="something that is no socket is in its place", remedy="remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(REFUSE_TIMEOUT_S)
        refused = probe.connect_ex(str(path)) in {errno.ECONNREFUSED, errno.ENOENT}
    if not refused:
        raise ControlError(
            attempted=attempted,
            got="another watchdog answers there",
            remedy="stop it first: one namespace has one watchdog",
        )
