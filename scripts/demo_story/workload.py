"""A workload that asks the far side again and again, and who answered when."""
# ruff: noqa: INP001, S108 - a directory that is run as a script; a path inside a container

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stack import compose, follow, wait_for

if TYPE_CHECKING:
    from timeline import Timeline

FAR_SIDE = "http://198.51.100.10/"
# One request after another; a silent one is given up after 0.3 s, which is how finely a blackout is measured.
ASK = f"rm -f /tmp/demo-stop; while [ ! -e /tmp/demo-stop ]; do curl -s -m 0.3 {FAR_SIDE} || echo -; sleep 0.05; done"


@dataclass
class Workload:
    """A workload's steady requests, and who answered when. `answers` are (monotonic seconds, peer)."""

    timeline: Timeline
    answers: list[tuple[float, str]] = field(default_factory=list)

    def start(self) -> None:
        """Begin to ask, in the workload's container."""
        self._process = follow("workload", "sh", "-c", ASK)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the requests; they run in the container, and would go on without us."""
        compose("exec", "-T", "workload", "touch", "/tmp/demo-stop")
        self._process.wait(20)

    def _listen(self) -> None:
        silent = 0
        for line in self._process.stdout or ():
            at_s = time.monotonic()
            try:
                peer = json.loads(line)["peer"]
            except ValueError:
                silent += 1
                if silent == 2:  # noqa: PLR2004 - one may be lost to anything
                    self.timeline.tell("workload", "no answer", "bad")
                continue
            before = self.answers[-1] if self.answers else None
            self.answers.append((at_s, peer))
            if before is None or before[1] != peer or silent > 1:
                gap = f", after {at_s - before[0]:.1f} s without an answer" if before and silent > 1 else ""
                self.timeline.tell("workload", f"answered through the {peer}{gap}", "good")
            silent = 0

    def since(self, at_s: float) -> list[tuple[float, str]]:
        """Return the answers from a moment on."""
        return [answer for answer in self.answers if answer[0] >= at_s]

    def wait_for_answer(self, peer: str, since_s: float) -> float:
        """Wait for an answer through this peer; return when it came."""

        def first() -> float | None:
            return next((at_s for at_s, by in self.since(since_s) if by == peer), None)

        return wait_for(first, f"an answer through the {peer}")

    def blackout_s(self, until_s: float) -> float:
        """Return how long the workload had waited when the answer at `until_s` came."""
        return until_s - max(at_s for at_s, _ in self.answers if at_s < until_s)
