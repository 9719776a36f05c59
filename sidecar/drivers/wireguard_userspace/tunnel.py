"""The port `Tunnel`, by wireguard-go."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from sidecar.drivers.wireguard_userspace.text import join, parse_device, switch_lines
from sidecar.drivers.wireguard_userspace.uapi import (
    ExchangeError,
    NoListenerError,
    RefusedError,
    SilentError,
    exchange,
)
from sidecar.errors import TunnelError

if TYPE_CHECKING:
    from sidecar.core.model import Endpoint
    from sidecar.core.sights import WireGuardSight
    from sidecar.drivers.wireguard_userspace.supervisor import Supervisor

SOCKET_DIRECTORY: Final = Path("/var/run/wireguard")
"""Where wireguard-go puts its sockets, one a device. Source: wireguard-go ipc/uapi_unix.go."""

START_TIMEOUT_S: Final = 1.5
POLL_S: Final = 0.01

_REMEDY: Final = "look at wireguard-go's lines in the container's log; the next cycle tries again"


class UserspaceTunnel:
    """`Tunnel`, by wireguard-go.

    Args:
        supervisor: who runs the process.
        start_timeout_s: how long `create` waits for it to answer.
    """

    kind = "userspace"

    def __init__(self, supervisor: Supervisor, start_timeout_s: float = START_TIMEOUT_S) -> None:
        self._supervisor = supervisor
        self._start_timeout_s = start_timeout_s

    def create(self, device: str) -> None:
        """See `Tunnel.create`. Waits for the process to answer, for `start_timeout_s` at most.

        The socket's file outlives a killed process. That is no obstacle: wireguard-go removes one that nobody listens
        on, and refuses to start beside one that is alive. Source: wireguard-go ipc/uapi_unix.go, UAPIOpen().
        """
        try:
            exchange(_socket(device), ["get=1"])
        except NoListenerError:
            self._supervisor.start(device)
        except SilentError:
            self._supervisor.restart(device)
        except RefusedError as error:
            raise _tunnel_error(f"create {device}", error) from error
        self._await_answer(device)

    def configure(self, device: str, endpoint: Endpoint, listen_port: int, fwmark: int) -> None:
        """See `Tunnel.configure`."""
        attempted = f"point {device} at {endpoint.name} ({join(endpoint.address, endpoint.port)})"
        try:
            lines = switch_lines(endpoint, listen_port, fwmark)
        except ValueError as error:
            raise TunnelError(attempted=attempted, got=str(error), remedy="correct the endpoint's file") from error
        _write(device, lines, attempted)

    def rebind(self, device: str, listen_port: int) -> None:
        """See `Tunnel.rebind`."""
        _write(device, [f"listen_port={listen_port}"], f"move {device} to another source port")

    def inspect(self, device: str) -> WireGuardSight | None:
        """See `Tunnel.inspect`.

        A handshake's age is what the wall clock shows now less what it showed then. A clock that was set back since
        makes the age 0, one that was set forward makes it too great, until the next handshake.
        """
        attempted = f"look at {device}"
        try:
            return parse_device(exchange(_socket(device), ["get=1"]), time.time())
        except (NoListenerError, SilentError):
            return None
        except RefusedError as error:
            raise _tunnel_error(attempted, error) from error
        except (ValueError, KeyError) as error:
            raise TunnelError(attempted=attempted, got="an answer that is not understood", remedy=_REMEDY) from error

    def _await_answer(self, device: str) -> None:
        asking = Retrying(
            retry=retry_if_exception_type(ExchangeError),
            stop=stop_after_delay(self._start_timeout_s),
            wait=wait_fixed(POLL_S),
        )
        try:
            asking(exchange, _socket(device), ["get=1"])
        except RetryError as error:
            raise TunnelError(
                attempted=f"start wireguard-go for {device}",
                got=f"{error.last_attempt.exception()}, {self._start_timeout_s:g} s after the start",
                remedy="give the container /dev/net/tun (devices) and NET_ADMIN (cap_add), and look at its log",
            ) from error


def _write(device: str, lines: list[str], attempted: str) -> None:
    path = _socket(device)
    try:
        before = dict(exchange(path, ["get=1"])).get("listen_port")
        try:
            exchange(path, ["set=1", *lines])
        except RefusedError as error:
            raise RefusedError(f"{error}{_restore_port(path, before)}") from error
    except ExchangeError as error:
        raise _tunnel_error(attempted, error) from error


def _restore_port(path: Path, listen_port: str | None) -> str:
    """Open the port of before: wireguard-go closes it before it opens another, and leaves it closed on failure."""
    if listen_port is None:
        return ""
    try:
        exchange(path, ["set=1", f"listen_port={listen_port}"])
    except ExchangeError as error:
        return f"; the source port of before is lost as well ({error})"
    return "; the source port of before is in use again"


def _socket(device: str) -> Path:
    return SOCKET_DIRECTORY / f"{device}.sock"


def _tunnel_error(attempted: str, error: ExchangeError) -> TunnelError:
    return TunnelError(attempted=attempted, got=str(error), remedy=_REMEDY)
