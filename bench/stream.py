"""A workload's steady requests: a DNS question through the tunnel every few milliseconds; when each was answered."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Self

from bench import arrivals
from bench.subject import opened_in, sleep_until

if TYPE_CHECKING:
    from bench.subject import Subject

FAR_SIDE = ("198.51.100.10", 53)
QUESTION = b"\x01\x00\0\1\0\0\0\0\0\0" + b"\6whoami\4test\0" + b"\0\1\0\1"
MOST_REQUESTS = 60_000
ANSWER_WITHIN_S = 2.0


class Stream:
    """Runs for the `with` block, in the namespace that the workload joined.

    Every request is one datagram, never repeated: what is lost stays lost.
    """

    def __init__(self, subject: Subject, period_s: float) -> None:
        self._period_s = period_s
        self._socket = opened_in(subject.pid(), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._socket.settimeout(0.2)
        arrivals.stamp(self._socket)
        self.sent: list[float] = []
        self.answered: dict[int, float] = {}
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._send, self._receive)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(5)
        self._socket.close()

    def _send(self) -> None:
        next_s = time.time()
        while not self._stopping.is_set() and len(self.sent) < MOST_REQUESTS:
            number = len(self.sent)
            self.sent.append(time.time())
            with contextlib.suppress(OSError):  # refused: a request that is never answered
                self._socket.sendto(struct.pack("!H", number) + QUESTION, FAR_SIDE)
            next_s = max(next_s + self._period_s, time.time())
            sleep_until(next_s)

    def _receive(self) -> None:
        while not self._stopping.is_set():
            try:
                data, at_s, _ = arrivals.receive(self._socket, 2048)
            except OSError:
                continue
            self.answered.setdefault(struct.unpack_from("!H", data)[0], at_s)

    def answer_after(self, at_s: float, deadline_s: float = 30.0) -> float:
        """Wait for the first answer after a moment; return when it came."""
        end_s = time.time() + deadline_s
        while time.time() < end_s:
            later = [answer_s for answer_s in tuple(self.answered.values()) if answer_s > at_s]
            if later:
                return min(later)
            time.sleep(self._period_s)
        raise AssertionError(f"no answer within {deadline_s:g} s")

    def gap(self, from_s: float, to_s: float) -> float:
        """Return the longest time without an answer, of those that ended between these moments."""
        moments = sorted(self.answered.values())
        return max(
            (later - earlier for earlier, later in itertools.pairwise(moments) if from_s <= later <= to_s),
            default=0.0,
        )

    def lost(self, from_s: float, to_s: float) -> int:
        """Return how many requests sent between these moments were never answered; waits for late answers."""
        sleep_until(to_s + ANSWER_WITHIN_S)
        asked = [number for number, at_s in enumerate(self.sent) if from_s <= at_s <= to_s]
        return len(set(asked) - self.answered.keys())
