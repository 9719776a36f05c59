"""Waiting for an event with a deadline. Nothing in the tests sleeps for a fixed time in the hope that it is enough."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = TypeVar("Answer")

POLL_S = 0.1


def wait_until(question: Callable[[], Answer], deadline_s: float, what: str, poll_s: float = POLL_S) -> Answer:
    """Return the first true answer of `question`.

    Raises:
        AssertionError: there was none within `deadline_s`; the last answer is in the message.
    """
    end_s = time.monotonic() + deadline_s
    while not (answer := question()):
        if time.monotonic() > end_s:
            raise AssertionError(f"waited {deadline_s:g} s in vain for {what}; the last answer was {answer!r}")
        time.sleep(poll_s)
    return answer


def stays(question: Callable[[], bool], for_s: float, what: str, poll_s: float = POLL_S) -> None:
    """Require that `question` is true at every look for the whole of `for_s`: something must *not* happen.

    Raises:
        AssertionError: it was not true at one of the looks.
    """
    began_s = time.monotonic()
    while (elapsed_s := time.monotonic() - began_s) < for_s:
        if not question():
            raise AssertionError(f"{what}: no longer so after {elapsed_s:.1f} s")
        time.sleep(poll_s)
