"""Healthy means that everything is known and good; every single thing that is not must be named."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sidecar.core import killswitch, report
from sidecar.core.model import Health, LeakStatus
from sidecar.core.sights import Latch
from sidecar.core.state import Exhausted, Run, State
from tests import builders

NOW_S = 1000.0
PLAN = builders.plan()
POLICY = builders.permit()
HEALTHY = State(
    active="10-primary",
    list_digest=PLAN.digest,
    policy=POLICY,
    lock=builders.INTACT,
    uplinks=(builders.uplink(),),
    health=Health.ALIVE,
    health_at_s=NOW_S - 1,
    unknown=(),
    active_since_s=NOW_S - 240,
)
SURROUNDINGS = report.Surroundings("userspace", ("PostUp is never run",), 7)

BAD = {
    "never looked": State(),
    "halted": replace(HEALTHY, latch=Latch("a frame left outside the tunnel", "IPv4 to a stranger")),
    "no policy yet": replace(HEALTHY, policy=None),
    "sealed": replace(HEALTHY, policy=killswitch.sealed(["eth0"])),
    "ruleset changed": replace(HEALTHY, lock=builders.CHANGED),
    "ruleset unreadable": replace(HEALTHY, lock=builders.UNREADABLE),
    "policy not applied": replace(HEALTHY, lock_failures=1),
    "something not seen": replace(HEALTHY, unknown=("links could not be listed",)),
    "no tap": replace(HEALTHY, blind=("eth0",)),
    "local fault": replace(HEALTHY, faults=("wg0 is down",)),
    "uplink fault": replace(HEALTHY, excuse="uplink eth0 has no carrier"),
    "a failed effect": replace(HEALTHY, failures=("save the state: disk full",)),
    "a failed effect a cycle ago": replace(HEALTHY, earlier_failures=("save the state: disk full",)),
    "dead": replace(HEALTHY, health=Health.DEAD),
    "unknown health": replace(HEALTHY, health=Health.UNKNOWN),
    "never judged": replace(HEALTHY, health_at_s=None),
    "judged too long ago": replace(HEALTHY, health_at_s=NOW_S - 7),
    "exhausted": replace(HEALTHY, run=Run(4, exhausted=Exhausted(NOW_S, NOW_S + 4, 4.0))),
}


def test_all_known_and_good_is_healthy() -> None:
    document = report.document(HEALTHY, PLAN, NOW_S, SURROUNDINGS)
    assert document["healthy"] is True
    assert document["reasons"] == []
    assert report.leak_status(HEALTHY) is LeakStatus.CLEAN


@pytest.mark.parametrize("state", BAD.values(), ids=BAD.keys())
def test_one_thing_that_is_not_good_is_unhealthy_with_a_reason(state: State) -> None:
    document = report.document(state, PLAN, NOW_S, SURROUNDINGS)
    assert document["healthy"] is False
    assert document["reasons"]
    assert all(document["reasons"])


def test_a_plan_with_a_fault_is_unhealthy_whatever_the_state_says() -> None:
    assert report.unhealthy_reasons(HEALTHY, builders.plan((), fault="no endpoint"), NOW_S) == ("sealed: no endpoint",)


@pytest.mark.parametrize(
    "name", ["no tap", "something not seen", "no policy yet", "ruleset changed", "ruleset unreadable"]
)
def test_without_sight_of_every_uplink_no_leak_is_not_said(name: str) -> None:
    assert report.leak_status(BAD[name]) is LeakStatus.UNKNOWN


def test_the_document_is_json_and_shows_no_secret() -> None:
    for state in (HEALTHY, *BAD.values()):
        text = json.dumps(report.document(state, PLAN, NOW_S, SURROUNDINGS), allow_nan=False)
        for endpoint in PLAN.endpoints:
            assert endpoint.private_key.reveal() not in text
        assert str(builders.FWMARK) not in text
        assert not any(str(port) in text for port in builders.LISTEN_PORTS)


def test_the_sentence_says_through_what_and_how_it_came_to_that() -> None:
    state = replace(HEALTHY, active="20-backup", note="moved from 10-primary: 3 bad cycles")
    expected = "Through 20-backup (203.0.113.2:51820) for 4 min, locked; moved from 10-primary: 3 bad cycles."
    assert report.sentence(state, PLAN, NOW_S) == expected


@pytest.mark.parametrize(
    ("seconds", "words"), [(4, "4 s"), (60, "1 min"), (3599, "60 min"), (7200, "2 h"), (200000, "2 days")]
)
def test_durations_are_for_people(seconds: float, words: str) -> None:
    state = replace(HEALTHY, active_since_s=NOW_S - seconds)
    assert f"for {words}," in report.sentence(state, PLAN, NOW_S)
