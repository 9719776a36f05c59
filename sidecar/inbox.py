"""What reaches the loop from elsewhere: taps, the kernel, probes, operators, signals. One queue, one reader."""

from __future__ import annotations

import queue
from concurrent.futures import Future
from dataclasses import dataclass, field

from sidecar.core.messages import Observation
from sidecar.errors import EXIT_TEMPFAIL
from sidecar.joiners import JoinersSeen

REQUEST_TIMEOUT_S = 20.0
"""An operator's request waits for the loop: a survey and a switch, each far below a second when all is well."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operator's request came to; `data` is what the command promises beyond words."""

    accepted: bool
    text: str
    exit_code: int = 0
    data: object = None


@dataclass(frozen=True, slots=True)
class Ask:
    """An operator's request on its way to the loop: a word of the control socket's, such as "converge"."""

    command: str
    name: str | None
    answer: Future[Answer] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Wake:
    """Something changed in the kernel; look again."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the loop. The lock stays."""


@dataclass(frozen=True, slots=True)
class Crashed:
    """Another thread of ours ended by an exception that nobody may raise."""

    error: BaseException


Message = Observation | Ask | Wake | Stop | Crashed | JoinersSeen


class Inbox:
    """Any thread and any signal handler may put; only the loop takes."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._wake_waits = False

    def post(self, message: Message) -> None:
        """Hand a message to the loop."""
        self._queue.put(message)

    def wake(self, _kind: str) -> None:
        """Have the loop look again. Of a burst of changes only one waits here."""
        if not self._wake_waits:
            self._wake_waits = True
            self.post(Wake())

    def ask(self, command: str, name: str | None = None) -> Answer:
        """Put an operator's request and wait, bounded, for what came of it."""
        ask = Ask(command, name)
        self.post(ask)
        try:
            return ask.answer.result(REQUEST_TIMEOUT_S)
        except TimeoutError:
            text = f"the watchdog did not get to it within {REQUEST_TIMEOUT_S:g} s; see its log"
            return Answer(accepted=False, text=text, exit_code=EXIT_TEMPFAIL)

    def take(self, wait_s: float) -> Message | None:
        """Return the next message, or None when `wait_s` is over; at once if it is not above zero.

        So a flood of messages cannot hold up a tick that is due.
        """
        if wait_s <= 0:
            return None
        try:
            message = self._queue.get(timeout=wait_s)
        except queue.Empty:
            return None
        if isinstance(message, Wake):
            self._wake_waits = False  # before the look, so that a change during the look wakes once more
        return message


class Pace:
    """Lets a burst of wakes through at once, and a storm at a bounded rate.

    A fault that cannot be mended makes the kernel notify us of each attempt: without this the loop would chase itself.
    """

    def __init__(self, burst: int = 20, per_s: float = 5.0) -> None:
        self._burst = burst
        self._per_s = per_s
        self._left = float(burst)
        self._at_s = 0.0

    def allows(self, now_s: float) -> bool:
        """Whether one more look may be taken now."""
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
