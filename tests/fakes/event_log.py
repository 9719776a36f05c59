"""An event log that remembers everything that was said."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.core.messages import Announce


class FakeEventLog:
    """Keeps every announcement, in order."""

    def __init__(self) -> None:
        self.announced: list[Announce] = []

    def append(self, announce: Announce) -> None:
        self.announced.append(announce)

    @property
    def kinds(self) -> list[str]:
        return [announce.kind for announce in self.announced]
