"""What is made of what was seen and counted: out where anything shows it, held only where something stopped it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.prove.attempter import Tried
from sidecar.prove.catalogue import LOOPBACK, TUNNEL
from sidecar.prove.judgement import Evidence, Traces, judge
from sidecar.prove.nowhere import Nowhere
from sidecar.prove.verdict import Faced, Result
from tests.unit.prove import rows as a

SCENE = Nowhere(()).scene()
MARKED = b"frame " + SCENE.token
OTHER = b"frame of somebody else's"
BEFORE = Traces([], [], [], {"output": 7, "egress eth0": 3}, 0)
SENT = Tried((), None)
REFUSED = Tried(("EPERM",), None)
BUSY = Tried(("EBUSY",), None)


def faced(attack: Any = None, tried: Tried = SENT, *, blind: bool = False, missed: int = 0, **seen: Any) -> Faced:
    after = replace(BEFORE, **seen)
    return judge(attack or a.attack(), SCENE, Evidence(BEFORE, after, tried, blind, missed))


def caught(**more: int) -> dict[str, int]:
    return {**BEFORE.blocked, **{place.replace("_", " "): count for place, count in more.items()}}


def test_a_marked_frame_on_the_uplink_is_out_whatever_the_counters_say() -> None:
    got = faced(uplink=[MARKED, MARKED, OTHER], blocked=caught(output=8), tried=REFUSED)
    assert got == Faced(Result.OUT, "seen by a tap on the uplink", 2)


def test_frames_that_the_lock_never_accepted_are_out_though_no_tap_saw_them() -> None:
    assert faced(unaccounted=8, blocked=caught(output=8)).result is Result.OUT


@pytest.mark.parametrize("where", [TUNNEL, LOOPBACK])
def test_what_must_not_go_elsewhere_is_watched_there(where: str) -> None:
    assert faced(a.attack(where=where), **{where: [MARKED]}).result is Result.OUT
    assert faced(a.attack(where=where), uplink=[OTHER], blocked=caught(output=8)).result is Result.HELD


def test_a_drop_that_counted_it_held_it() -> None:
    got = faced(blocked=caught(egress_eth0=4))
    assert got == Faced(Result.HELD, "egress eth0")


def test_a_refusal_of_the_kernels_own_is_told_in_its_words_before_any_counter() -> None:
    assert faced(tried=BUSY, blocked=caught(output=9)) == Faced(Result.HELD, "the kernel: Device or resource busy")
    assert faced(tried=Tried((), "Protocol not supported")).held_by == "the kernel: Protocol not supported"


def test_a_refusal_by_a_rule_names_the_rules_counter() -> None:
    assert faced(tried=REFUSED, blocked=caught(output=8)).held_by == "output"
    assert faced(tried=REFUSED).held_by == "a rule: Operation not permitted"


def test_what_went_into_the_tunnel_went_where_it_should() -> None:
    assert faced(tunnel=[MARKED], blocked=caught(output=8)) == Faced(Result.HELD, "it went into the tunnel")


def test_what_left_no_trace_is_not_called_held() -> None:
    assert faced().result is Result.UNCLEAR


def test_a_tap_that_missed_frames_acquits_nobody() -> None:
    assert faced(missed=1, blocked=caught(output=8)).result is Result.UNCLEAR


def test_without_accounts_others_counters_do_not_acquit_what_no_tap_sees() -> None:
    assert faced(blind=True, unaccounted=None, blocked=caught(output=9)).result is Result.UNCLEAR
    assert faced(blind=True, unaccounted=0, blocked=caught(egress_eth0=4)).result is Result.HELD
    assert faced(blind=True, unaccounted=None, tried=BUSY).result is Result.HELD
