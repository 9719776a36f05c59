"""The status document as the command line reads it: parsed strictly, typed, and never trusted for more than its words.

`core.report` writes it. What is missing or of another type makes the whole document unreadable, which is an error and
not a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, NoReturn

from sidecar.errors import ControlError

if TYPE_CHECKING:
    from sidecar.core.model import Address


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """The endpoint in use; `index` counts from 0."""

    name: str
    address: Address
    port: int
    index: int
    count: int


@dataclass(frozen=True, slots=True)
class TunnelStatus:
    """The tunnel. The counters are None where they could not be read, the age also before the first handshake."""

    health: str
    kind: str | None
    rx_bytes: int | None
    tx_bytes: int | None
    latest_handshake_age_s: float | None


@dataclass(frozen=True, slots=True)
class Status:
    """The whole document.

    Attributes:
        endpoint: None where no endpoint is in use; so is `tunnel`.
        lock: its status and, unless it is intact, in what it differs.
        blocked: what the final drops caught, by hook.
        leak: its status, and a detail that may be empty.
        latch: reason and evidence; None when nothing is halted.
    """

    phase: str
    healthy: bool
    reasons: tuple[str, ...]
    sentence: str
    cycle_s: float
    endpoint: EndpointStatus | None
    tunnel: TunnelStatus | None
    lock: tuple[str, str]
    blocked: tuple[tuple[str, int], ...]
    leak: tuple[str, str]
    bad_cycles: int
    threshold_cycles: int
    latch: tuple[str, str] | None
    fault: str | None
    warnings: tuple[str, ...]
    endpoints: tuple[str, ...]
    pid: int | None


def parse(document: dict[str, object]) -> Status:
    """Return the document as a value.

    Raises:
        ControlError: with the first field that is not as it should be.
    """
    fields = _Fields(document, "")
    lock, leak, config = fields.inner("lock"), fields.inner("leak"), fields.inner("config")
    endpoint, tunnel, latch = (fields.inner_or_none(key) for key in ("endpoint", "tunnel", "latch"))
    return Status(
        phase=fields.text("phase"),
        healthy=fields.truth("healthy"),
        reasons=fields.texts("reasons"),
        sentence=fields.text("sentence"),
        cycle_s=fields.number("cycle_s"),
        endpoint=_endpoint(endpoint) if endpoint else None,
        tunnel=_tunnel(tunnel) if tunnel else None,
        lock=(lock.text("status"), lock.text("detail")),
        blocked=lock.counted("blocked"),
        leak=(leak.text("status"), leak.text("detail")),
        bad_cycles=fields.count("bad_cycles"),
        threshold_cycles=fields.count("threshold_cycles"),
        latch=(latch.text("reason"), latch.text("evidence")) if latch else None,
        fault=config.text_or_none("fault"),
        warnings=config.texts("warnings"),
        endpoints=config.texts("endpoints"),
        pid=fields.count_or_none("pid"),
    )


def _endpoint(fields: _Fields) -> EndpointStatus:
    return EndpointStatus(
        name=fields.text("name"),
        address=fields.address("address"),
        port=fields.count("port"),
        index=fields.count("index"),
        count=fields.count("count"),
    )


def _tunnel(fields: _Fields) -> TunnelStatus:
    return TunnelStatus(
        health=fields.text("health"),
        kind=fields.text_or_none("kind"),
        rx_bytes=fields.count_or_none("rx_bytes"),
        tx_bytes=fields.count_or_none("tx_bytes"),
        latest_handshake_age_s=fields.number_or_none("latest_handshake_age_s"),
    )


class _Fields:
    """Takes values out of one JSON object, each of the type that is expected there."""

    def __init__(self, values: dict[str, object], where: str) -> None:
        self._values = values
        self._where = where

    def text(self, key: str) -> str:
        value = self._values.get(key)
        return value if isinstance(value, str) else self._refuse(key)

    def text_or_none(self, key: str) -> str | None:
        return None if self._values.get(key) is None else self.text(key)

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._values.get(key)
        if not isinstance(values, list):
            self._refuse(key)
        return tuple(value if isinstance(value, str) else self._refuse(key) for value in values)

    def truth(self, key: str) -> bool:
        value = self._values.get(key)
        return value if isinstance(value, bool) else self._refuse(key)

    def number(self, key: str) -> float:
        value = self._values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._refuse(key)
        return value

    def number_or_none(self, key: str) -> float | None:
        return None if self._values.get(key) is None else self.number(key)

    def count(self, key: str) -> int:
        value = self.number(key)
        return value if isinstance(value, int) and value >= 0 else self._refuse(key)

    def count_or_none(self, key: str) -> int | None:
        return None if self._values.get(key) is None else self.count(key)

    def address(self, key: str) -> Address:
        try:
            return ip_address(self.text(key))
        except ValueError:
            self._refuse(key)

    def counted(self, key: str) -> tuple[tuple[str, int], ...]:
        rows = self._values.get(key)
        if not isinstance(rows, list):
            self._refuse(key)
        return tuple(self._counted_row(key, row) for row in rows)

    def _counted_row(self, key: str, row: object) -> tuple[str, int]:
        match row:
            case [str(name), int(count)]:
                return name, count
            case _:
                return self._refuse(key)

    def inner(self, key: str) -> _Fields:
        values = self._values.get(key)
        if not isinstance(values, dict):
            self._refuse(key)
        return _Fields(values, f"{self._where}{key}.")

    def inner_or_none(self, key: str) -> _Fields | None:
        return None if self._values.get(key) is None else self.inner(key)

    def _refuse(self, key: str) -> NoReturn:
        raise ControlError(
            attempted="read the status document",
            got=f"{self._where}{key} is {self._values.get(key)!r:.60}",
            remedy="the watchdog and this command differ in version: restart the container",
        )
