"""Waiting for something to become true, with a deadline: the only kind of waiting that tests do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

POLL_S = 0.01


def wait_until(predicate: Callable[[], T], deadline_s: float, what: str) -> T:
    """Return the first truthy answer of `predicate`; fail the test with `what` if there is none within `deadline_s`."""
    give_up_at_s = time.monotonic() + deadline_s
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() >= give_up_at_s:
            raise AssertionError(f"waited {deadline_s:g} s in vain for {what}; last answer: {answer!r}")
        time.sleep(POLL_S)
