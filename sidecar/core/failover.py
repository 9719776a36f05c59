"""What a bad cycle leads to: patience, a fresh source port, the next endpoint, or trying the last one again.

Forward only: the index never falls, except round the end with `wrap`, which is off by default.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from sidecar.core.state import Exhausted, Run

if TYPE_CHECKING:
    from sidecar.core.model import Plan, Timing
    from sidecar.core.state import Baseline


FIRST_HANDSHAKE_S = 6.0
"""A first handshake that got lost is sent again after 5 s; an endpoint is not condemned before that could be answered.

Source: WireGuard whitepaper section 6.1, REKEY_TIMEOUT.
"""


class Move(Enum):
    """What to do after a bad cycle."""

    STAY = "stay"
    REBIND = "rebind"
    ADVANCE = "advance"
    EXHAUST = "exhaust"
    RETRY = "retry"
    WRAP = "wrap"


@dataclass(frozen=True, slots=True)
class Decision:
    """A move, and the run of bad cycles after it."""

    move: Move
    run: Run


def decide(run: Run, *, index: int, laps: int, plan: Plan, at_s: float) -> Decision:
    """Count one more bad cycle on endpoint `index` and say what follows.

    Args:
        run: before this cycle.
        index: the active endpoint's position in the plan.
        laps: how often the list was begun anew already; each doubles the hold-down.
        plan: the numbers and the length of the list.
        at_s: now, on the clock of all observations.
    """
    timing = plan.timing
    if run.exhausted is not None:
        return _while_exhausted(run, run.exhausted, laps=laps, plan=plan, at_s=at_s)
    run = replace(run, bad_cycles=run.bad_cycles + 1)
    if run.bad_cycles < timing.threshold_cycles:
        if plan.rebind and not run.rebound and run.bad_cycles == _rebind_at(timing):
            return Decision(Move.REBIND, replace(run, rebound=True))
        return Decision(Move.STAY, run)
    if index + 1 < len(plan.endpoints):
        return Decision(Move.ADVANCE, Run())
    wait_s = timing.exhausted_first_retry_s
    return Decision(Move.EXHAUST, Run(run.bad_cycles, exhausted=Exhausted(at_s, at_s + wait_s, wait_s)))


def is_arriving(since_s: float, at_s: float, baseline: Baseline | None, timing: Timing) -> bool:
    """Whether silence says nothing yet, because we have just come to this endpoint.

    The cycle of arriving never counts. Without a handshake yet, cycles count only from so late on that a run of them
    ends after the second attempt at one.
    """
    has_session = baseline is not None and baseline.peer.latest_handshake_age_s is not None
    patience_s = 0.0 if has_session else FIRST_HANDSHAKE_S - (timing.threshold_cycles - 1) * timing.cycle_s
    return at_s - since_s < max(timing.cycle_s, patience_s)


def _while_exhausted(run: Run, exhausted: Exhausted, *, laps: int, plan: Plan, at_s: float) -> Decision:
    timing = plan.timing
    hold_down_s = timing.wrap_hold_down_s * 2**laps
    if plan.wrap and len(plan.endpoints) > 1 and at_s - exhausted.since_s >= hold_down_s:
        return Decision(Move.WRAP, Run())
    if at_s < exhausted.retry_at_s:
        return Decision(Move.STAY, run)
    wait_s = min(exhausted.wait_s * 2, timing.exhausted_last_retry_s)
    return Decision(Move.RETRY, replace(run, exhausted=replace(exhausted, retry_at_s=at_s + wait_s, wait_s=wait_s)))


def _rebind_at(timing: Timing) -> int:
    """The bad cycle that earns a fresh source port: the last before the threshold, so that it costs no time."""
    return timing.threshold_cycles - 1
