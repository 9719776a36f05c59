"""What `core.report` really writes is what the health check and `sidecar status` read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sidecar.cli.status_document import parse
from sidecar.core import report
from sidecar.core.model import Health
from sidecar.core.sights import Latch
from sidecar.core.state import Baseline, Exhausted, Run, State
from tests import builders

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from sidecar.core.model import Plan

AT_S = 500_000.0
PLAN = builders.plan()
SEALED = builders.plan(())
UP = State(
    active="20-backup",
    policy=builders.permit(),
    lock=replace(builders.INTACT, blocked=(("egress eth0", 3),)),
    uplinks=(builders.uplink(),),
    health=Health.ALIVE,
    health_at_s=AT_S,
    baseline=Baseline(AT_S, builders.peer(builders.BACKUP)),
    unknown=(),
    active_since_s=AT_S - 240,
)
BAD = replace(UP, health=Health.DEAD, health_detail="no answer")
STATES: dict[str, tuple[State, Plan]] = {
    "up": (UP, PLAN),
    "starting": (State(active="10-primary"), PLAN),
    "degraded": (replace(BAD, run=Run(bad_cycles=2)), PLAN),
    "exhausted": (replace(BAD, run=Run(9, exhausted=Exhausted(AT_S - 30, AT_S + 30, 60.0))), PLAN),
    "halted": (replace(BAD, latch=Latch("a frame left", "IPv4 …")), PLAN),
    "sealed": (State(), SEALED),
}


def document(name: str) -> dict[str, object]:
    state, plan = STATES[name]
    surroundings = report.Surroundings("kernel", ("10-primary.conf line 9: PostUp is never run",), 17)
    return report.document(state, plan, AT_S, surroundings)


@pytest.mark.parametrize("phase", STATES)
def test_every_phase_is_understood_and_shown(
    phase: str, invoke: Callable[..., Result], publish: Callable[..., None]
) -> None:
    publish(document(phase))
    assert parse(document(phase)).phase == phase
    result = invoke("status")
    assert result.stderr == ""
    assert result.stdout.splitlines()[0].endswith(str(document(phase)["sentence"]))
    assert "  warning   10-primary.conf line 9: PostUp is never run\n" in result.stdout
    assert result.exit_code == (0 if phase == "up" else 1)


@pytest.mark.parametrize("phase", STATES)
def test_the_health_check_calls_only_up_healthy(
    phase: str, invoke: Callable[..., Result], publish: Callable[..., None]
) -> None:
    publish(document(phase))
    result = invoke("healthcheck")
    assert result.exit_code == (0 if phase == "up" else 1)
    assert result.stdout.startswith("unhealthy: ") is (phase != "up")
