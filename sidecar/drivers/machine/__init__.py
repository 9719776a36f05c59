"""Whether this machine can run the sidecar: a line each, with the remedy, and without a packet sent."""

from __future__ import annotations

from sidecar.drivers.machine.checks import Check, Needs, check_machine
from sidecar.drivers.machine.facts import Facts

__all__ = ["Check", "Facts", "Needs", "check_machine"]
