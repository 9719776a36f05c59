"""A state volume in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.ports import Loaded

if TYPE_CHECKING:
    from sidecar.core.sights import Persisted
    from sidecar.errors import StateError


class FakeStateStore:
    """Keeps what was saved last.

    Attributes:
        damage: told by every `load` where set.
        fault: raised by `save` where set; nothing is kept then.
    """

    def __init__(self, persisted: Persisted | None = None) -> None:
        self.persisted = persisted
        self.damage: str | None = None
        self.fault: StateError | None = None

    def load(self) -> Loaded:
        return Loaded(self.persisted, self.damage)

    def save(self, persisted: Persisted) -> None:
        if self.fault is not None:
            raise self.fault
        self.persisted = persisted
