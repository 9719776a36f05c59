"""What survives every restart: the `StateStore` port."""

from __future__ import annotations

from sidecar.drivers.state.store import JsonStateStore

__all__ = ["JsonStateStore"]
