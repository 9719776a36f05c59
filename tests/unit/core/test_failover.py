from __future__ import annotations

import pytest

from sidecar.core.failover import Move, decide
from sidecar.core.model import Plan, Timing
from sidecar.core.state import Exhausted, Run
from tests import builders as a


def moves(
    plan: Plan, index: int, count: int, *, every_s: float = 2.0, run: Run | None = None, laps: int = 0
) -> list[Move]:
    """Return what `count` bad cycles in a row lead to, on one endpoint; ends with the first that leaves it."""
    run, made = run or Run(), []
    for number in range(count):
        decision = decide(run, index=index, laps=laps, plan=plan, at_s=number * every_s)
        run = decision.run
        made.append(decision.move)
        if decision.move in (Move.ADVANCE, Move.WRAP):
            assert run == Run()
            break
    return made


@pytest.mark.parametrize(
    ("threshold", "rebind", "expected"),
    [
        (1, True, [Move.ADVANCE]),
        (2, True, [Move.REBIND, Move.ADVANCE]),
        (3, True, [Move.STAY, Move.REBIND, Move.ADVANCE]),
        (3, False, [Move.STAY, Move.STAY, Move.ADVANCE]),
        (5, True, [Move.STAY, Move.STAY, Move.STAY, Move.REBIND, Move.ADVANCE]),
    ],
)
def test_the_next_endpoint_comes_at_the_threshold_and_a_fresh_port_just_before(
    threshold: int, *, rebind: bool, expected: list[Move]
) -> None:
    plan = a.plan(timing=Timing(threshold_cycles=threshold), rebind=rebind)
    assert moves(plan, 0, 10) == expected
    assert moves(plan, 1, 10) == expected


@pytest.mark.parametrize("endpoints", [a.THREE, (a.PRIMARY,)])
def test_the_last_endpoint_is_exhausted_where_another_would_be_left(endpoints: tuple[a.Endpoint, ...]) -> None:
    plan = a.plan(endpoints)
    assert moves(plan, len(endpoints) - 1, 3) == [Move.STAY, Move.REBIND, Move.EXHAUST]


def test_an_exhausted_list_is_tried_again_ever_more_rarely_and_no_more_rarely_than_that() -> None:
    timing = Timing(exhausted_first_retry_s=4.0, exhausted_last_retry_s=16.0)
    plan = a.plan((a.PRIMARY,), timing=timing)
    made = moves(plan, 0, 40, every_s=1.0)
    retries = [at_s for at_s, move in enumerate(made) if move is Move.RETRY]
    assert made[2] is Move.EXHAUST
    assert retries == [2 + 4, 6 + 8, 14 + 16, 30 + 16][: len(retries)]
    assert len(retries) >= 3
    assert set(made[3:]) == {Move.STAY, Move.RETRY}


def test_an_exhausted_run_does_not_change_every_cycle() -> None:
    run = Run(3, exhausted=Exhausted(since_s=0.0, retry_at_s=100.0, wait_s=4.0))
    assert decide(run, index=2, laps=0, plan=a.plan(), at_s=50.0).run == run


def test_the_list_begins_anew_only_with_wrap_and_only_after_the_hold_down() -> None:
    run = Run(3, exhausted=Exhausted(since_s=0.0, retry_at_s=1_000.0, wait_s=4.0))
    never, wrapping = a.plan(), a.plan(wrap=True)

    def at(plan: Plan, at_s: float, laps: int = 0) -> Move:
        return decide(run, index=2, laps=laps, plan=plan, at_s=at_s).move

    assert at(never, 10**6) is Move.RETRY
    assert at(wrapping, 59.9) is Move.STAY
    assert at(wrapping, 60.0) is Move.WRAP
    assert at(wrapping, 119.9, laps=1) is Move.STAY
    assert at(wrapping, 120.0, laps=1) is Move.WRAP
    assert at(a.plan((a.PRIMARY,), wrap=True), 10**6) is Move.RETRY


def test_a_run_that_ends_in_exhaustion_forgets_its_fresh_port_since_that_did_not_help() -> None:
    decision = decide(Run(2, rebound=True), index=2, laps=0, plan=a.plan(), at_s=6.0)
    assert decision.move is Move.EXHAUST
    assert not decision.run.rebound
