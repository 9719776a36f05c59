"""The port `Accounting`, in the network namespace of the calling thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sidecar.core.sights import Account
from sidecar.drivers.accounting.netlink import Counters, counter_question, stats_question
from sidecar.drivers.accounting.offloads import counts_alike

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sidecar.drivers.accounting.netlink import Link

_SAMPLES: Final = 48
"""At most: a sample takes 25 µs, so that a busy device costs 1.2 ms."""

_STILL_SAMPLES: Final = 3
"""Enough of those during which nothing was accepted: the lowest has the fewest frames in flight, mostly none."""


class KernelAccounting:
    """`Accounting`, for real.

    Args:
        table: the lock's table of the family netdev.
        counter_of: the name of the counter of all that a device's egress rules accept, by the device's name.
    """

    def __init__(self, table: str, counter_of: Callable[[str], str]) -> None:
        self._table = table
        self._counter_of = counter_of

    def read(self, devices: tuple[str, ...]) -> tuple[Account, ...]:
        """See `Accounting.read`. Raises LinkError."""
        with Counters() as counters:
            read = (self._read(counters, device) for device in sorted(set(devices)))
            return tuple(account for account in read if account is not None)

    def _read(self, counters: Counters, device: str) -> Account | None:
        link, ruleset = counters.link(device), counters.ruleset(self._table)
        if link is None or ruleset is None:
            return None
        is_exact = counts_alike(device, link)
        counter = counter_question(self._table, self._counter_of(device))
        samples = list(_samples(counters, link, counter))
        if not samples or counters.ruleset(self._table) != ruleset:
            return None
        before, after, transmitted, dropped = min(samples, key=_doubt)
        return Account(device, link.index, ruleset, before, after, transmitted, dropped, is_exact)


def _doubt(sample: tuple[int, int, int, int]) -> tuple[int, int]:
    """Order samples: first those during which least was accepted, then those with the fewest frames in flight."""
    before, after, transmitted, dropped = sample
    return after - before, before - transmitted - dropped


def _samples(counters: Counters, link: Link, counter: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield (accepted before, accepted after, transmitted, dropped); nothing more once either side is gone."""
    stats = stats_question(link.index)
    still = 0
    for _ in range(_SAMPLES):
        before, sent, after = counters.accepted(counter), counters.sent(stats), counters.accepted(counter)
        if before is None or sent is None or after is None:
            return
        yield before, after, sent.transmitted, sent.dropped
        still += before == after
        if still == _STILL_SAMPLES:
            return
