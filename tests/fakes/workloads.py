"""Joined containers that only remember what they were told."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.core.model import OnLeak
    from sidecar.errors import WorkloadError


class FakeWorkloads:
    """Obeys.

    Attributes:
        told: in order.
        fault: raised by `tell` where set.
    """

    def __init__(self) -> None:
        self.told: list[OnLeak] = []
        self.fault: WorkloadError | None = None

    def tell(self, on_leak: OnLeak) -> str:
        if self.fault is not None:
            raise self.fault
        self.told.append(on_leak)
        return f"told to {on_leak.value}"
