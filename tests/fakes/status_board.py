"""A status board that remembers everything that was on it."""

from __future__ import annotations

import json
from typing import Any

from sidecar.errors import ControlError


class FakeStatusBoard:
    """Keeps every document, as its reader would see it. `broken` makes it fail as a full tmpfs would."""

    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []
        self.broken = False

    def publish(self, document: dict[str, object]) -> None:
        attempted = "write the status"
        if self.broken:
            raise ControlError(attempted=attempted, got="No space left on device", remedy="make room")
        try:
            text = json.dumps(document, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ControlError(attempted=attempted, got=str(error), remedy="report it") from error
        self.published.append(json.loads(text))

    @property
    def latest(self) -> dict[str, Any]:
        return self.published[-1]
