"""One line an event: when, who, what."""
# ruff: noqa: INP001 - a directory that is run as a script

from __future__ import annotations

import sys
import threading
import time

# Source: ECMA-48, Select Graphic Rendition.
STYLES = {
    "title": "1",
    "time": "2",
    "workload": "36",
    "peer": "35",
    "sidecar": "33",
    "you": "1",
    "good": "32",
    "bad": "31",
}


class Timeline:
    """Prints one line an event: when, who, what. In colour on a terminal only."""

    def __init__(self) -> None:
        self._began_s: float | None = None
        self._colours = sys.stdout.isatty()
        self._lock = threading.Lock()

    def chapter(self, title: str) -> None:
        """Begin a part of the story; the clock starts with the first."""
        self._began_s = self._began_s or time.monotonic()
        with self._lock:
            self._write(f"\n{self._styled(title, 'title')}")

    def tell(self, who: str, what: str, style: str = "") -> None:
        """Add one line."""
        elapsed = f"{time.monotonic() - (self._began_s or time.monotonic()):6.1f} s"
        with self._lock:
            text = self._styled(what, style) if style else what
            self._write(f"  {self._styled(elapsed, 'time')}  {self._styled(f'{who:<9}', who)} {text}")

    def _styled(self, text: str, style: str) -> str:
        code = STYLES.get(style)
        return f"\033[{code}m{text}\033[0m" if self._colours and code else text

    @staticmethod
    def _write(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
