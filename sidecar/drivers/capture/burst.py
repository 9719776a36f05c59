"""How many frames a tap reports: enough for every kind of leak, too few to drown the watchdog."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.core.sights import Frame

WINDOW_S = 1.0
DISTINCT_FRAMES = 50
"""More than there are kinds of frame that the core may find innocent, so that those cannot use up the window and hide
a leak behind them: whoever fills it has been reported."""


class Burst:
    """Admits a frame once a window, and so many different ones.

    Frames of one flow are the same whatever they carry, since nobody judges them by it; others are the same if all
    that is told of them is.
    """

    def __init__(self) -> None:
        self._began_s = float("-inf")
        self._seen: set[Frame] = set()

    def admits(self, frame: Frame, now_s: float) -> bool:
        """Whether `frame` is to be reported."""
        if now_s - self._began_s >= WINDOW_S:
            self._began_s = now_s
            self._seen.clear()
        kind = frame if frame.source_port is None else replace(frame, length_bytes=0, summary="", data=b"")
        if kind in self._seen or len(self._seen) >= DISTINCT_FRAMES:
            return False
        self._seen.add(kind)
        return True
