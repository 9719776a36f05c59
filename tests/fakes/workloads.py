"""Joined containers that only remember what they were told."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.core.model import OnLeak
    from sidecar.core.sights import Joiner
    from sidecar.errors import WorkloadError


class FakeWorkloads:
    """Obeys.

    Attributes:
        told: in order.
        fault: raised by both methods where set.
        company: who is joined; None without the engine's socket.
    """

    def __init__(self) -> None:
        self.told: list[OnLeak] = []
        self.fault: WorkloadError | None = None
        self.company: tuple[Joiner, ...] | None = None

    def tell(self, on_leak: OnLeak) -> str:
        if self.fault is not None:
            raise self.fault
        self.told.append(on_leak)
        return f"told to {on_leak.value}"

    def joiners(self) -> tuple[Joiner, ...] | None:
        if self.fault is not None:
            raise self.fault
        return self.company
