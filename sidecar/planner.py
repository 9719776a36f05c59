"""The plan in force, and how it changes: whole, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.messages import Announce, Severity
from sidecar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.core.model import Plan
    from sidecar.ports import Configuration, EventLog


class Planner:
    """Keeps the plan. Without a usable configuration it is the sealed plan, whose `fault` says why.

    Args:
        configuration: files and environment.
        sealed: makes the sealed plan from the reason.
        events: hears of faults and warnings.
    """

    def __init__(self, configuration: Configuration, sealed: Callable[[str], Plan], events: EventLog) -> None:
        self._configuration = configuration
        self._sealed = sealed
        self._events = events
        self._fingerprint = ""
        self.plan = sealed("the configuration is not read yet")
        self.warnings: tuple[str, ...] = ()

    def begin(self) -> None:
        """Read the configuration for the first time."""
        try:
            self.plan = self.read()
        except ConfigError as error:
            self._fault(error)

    def reconsider(self) -> bool:
        """While there is a fault and the files have changed: read them again. Return whether they are usable now."""
        if self.plan.fault is None or self._configuration.fingerprint() == self._fingerprint:
            return False
        try:
            self.plan = self.read()
        except ConfigError as error:
            self._fault(error)
            return False
        return True

    def read(self) -> Plan:
        """Return what is on disk now; the plan in force stays what it is.

        Raises:
            ConfigError: it cannot be used.
        """
        self._fingerprint = self._configuration.fingerprint()
        plan = self._configuration.load()
        self.warnings = tuple(self._configuration.warnings)
        for warning in self.warnings:
            self._events.append(Announce("config-warning", warning, Severity.WARNING))
        return plan

    def _fault(self, error: ConfigError) -> None:
        self._events.append(Announce("config-error", str(error), Severity.ERROR))
        self.plan = self._sealed(str(error))
