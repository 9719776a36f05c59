"""Which endpoint the tunnel uses: forward when one is dead, never back by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.harness.traffic import flood
from integration.harness.waiting import stays, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.harness.stack import Stack
    from integration.harness.upstream import Upstream

PRIMARY, BACKUP = "10-primary", "20-backup"


@pytest.fixture
def on_primary(stack: Stack) -> Stack:
    """The module's stack, brought back to a good beginning."""
    for peer in ("primary", "backup"):
        stack.fault(peer, "restore")
    if (stack.status().get("endpoint") or {}).get("name") != PRIMARY:
        code, output = stack.sidecar("converge")
        assert code == 0, output
    stack.wait_for("up", PRIMARY)
    return stack


def moves(stack: Stack) -> list[str]:
    return [event["text"] for event in stack.events("failover")]


def cut_over(stack: Stack) -> None:
    stack.fault("primary", "cut")
    stack.wait_for("up", BACKUP)


@pytest.mark.parametrize("fault", ["cut", "drop-data", "blackhole"])
def test_a_dead_primary_is_left_for_the_backup(on_primary: Stack, fault: str) -> None:
    before = len(moves(on_primary))
    on_primary.fault("primary", fault)
    on_primary.wait_for("up", BACKUP)
    assert on_primary.leaves_by() == "backup"
    assert len(moves(on_primary)) == before + 1


def test_exactly_a_threshold_of_bad_cycles_leads_to_the_backup(on_primary: Stack) -> None:
    seen = len(on_primary.events())
    cut_over(on_primary)
    kinds = [event["kind"] for event in on_primary.events()[seen:]]
    before = kinds[: kinds.index("failover")]
    assert before.count("bad-cycle") == on_primary.status()["threshold_cycles"] - 1


def test_a_primary_that_is_gone_from_the_network_is_left_for_the_backup(on_primary: Stack) -> None:
    on_primary.container("peer-primary").pause()
    try:
        on_primary.wait_for("up", BACKUP)
        assert on_primary.leaves_by() == "backup"
    finally:
        on_primary.container("peer-primary").unpause()


def test_traffic_of_a_workload_goes_on_after_a_failover(on_primary: Stack) -> None:
    assert on_primary.leaves_by() == "primary"
    cut_over(on_primary)
    wait_until(lambda: on_primary.leaves_by() == "backup", 10, "the workload to leave by the backup")


def test_a_primary_that_is_back_is_not_returned_to(on_primary: Stack) -> None:
    cut_over(on_primary)
    before = len(moves(on_primary))
    on_primary.fault("primary", "restore")
    stays(lambda: on_primary.leaves_by() == "backup", 4, "leaving by the backup")
    assert len(moves(on_primary)) == before


def test_converge_is_the_way_back(on_primary: Stack) -> None:
    cut_over(on_primary)
    on_primary.fault("primary", "restore")
    code, output = on_primary.sidecar("converge")
    assert code == 0, output
    on_primary.wait_for("up", PRIMARY)
    assert on_primary.leaves_by() == "primary"


def test_switch_moves_by_name_and_stays(on_primary: Stack) -> None:
    code, output = on_primary.sidecar("switch", BACKUP)
    assert code == 0, output
    on_primary.wait_for("up", BACKUP)
    stays(lambda: on_primary.leaves_by() == "backup", 2, "leaving by the backup")


def test_switch_to_a_name_that_is_not_there_is_refused(on_primary: Stack) -> None:
    code, output = on_primary.sidecar("switch", "30-nowhere")
    assert code == 75
    assert "30-nowhere" in output
    assert on_primary.leaves_by() == "primary"


def test_a_restart_of_the_container_is_no_failback(on_primary: Stack) -> None:
    cut_over(on_primary)
    on_primary.fault("primary", "restore")
    on_primary.container("vpn").restart(timeout=4)
    on_primary.wait_for("up", BACKUP)
    on_primary.rejoin("workload", "attacker")
    assert on_primary.leaves_by() == "backup"


def test_a_container_made_anew_from_the_same_files_is_no_failback(on_primary: Stack) -> None:
    cut_over(on_primary)
    on_primary.fault("primary", "restore")
    old = on_primary.container("vpn").id
    on_primary.compose("up", "-d", "--no-build", "--force-recreate", "--no-deps", "vpn")
    assert on_primary.container("vpn").id != old
    on_primary.wait_for("up", BACKUP)
    on_primary.rejoin("workload", "attacker")
    assert on_primary.leaves_by() == "backup"


def test_a_changed_list_begins_with_its_first_endpoint(on_primary: Stack) -> None:
    cut_over(on_primary)
    on_primary.fault("primary", "restore")
    added = on_primary.endpoints / "05-newest.conf"
    text = (on_primary.endpoints / f"{PRIMARY}.conf").read_text()
    (on_primary.endpoints / f"{PRIMARY}.conf").rename(added)
    try:
        on_primary.container("vpn").restart(timeout=4)
        on_primary.wait_for("up", "05-newest")
        on_primary.rejoin("workload", "attacker")
        assert on_primary.leaves_by() == "primary"
    finally:
        added.unlink()
        (on_primary.endpoints / f"{PRIMARY}.conf").write_text(text)


def test_all_endpoints_dead_is_said_and_nothing_leaks(on_primary: Stack, upstream: Upstream) -> None:
    for peer in ("primary", "backup"):
        on_primary.fault(peer, "cut")
    document = on_primary.wait_for("exhausted", BACKUP)
    assert document["healthy"] is False
    on_primary.wait_docker_health("unhealthy", "exhausted")
    with flood(on_primary, "attacker", 3) as locked, flood(on_primary, "unlocked", 3) as unlocked:
        locked.wait(20)
        unlocked.wait(20)
        assert upstream.holding(unlocked.token.encode()), "the control got nothing out, so this test shows nothing"
        assert upstream.holding(locked.token.encode()) == []
    assert upstream.leaks([on_primary.interface()], [on_primary.interface("unlocked")]) == []


def test_the_last_endpoint_is_tried_again_and_taken_when_it_answers(on_primary: Stack) -> None:
    for peer in ("primary", "backup"):
        on_primary.fault(peer, "cut")
    on_primary.wait_for("exhausted", BACKUP)
    on_primary.fault("backup", "restore")
    on_primary.wait_for("up", BACKUP, deadline_s=60)
    assert on_primary.leaves_by() == "backup"


def test_short_cuts_below_the_threshold_do_not_switch(make_stack: Callable[..., Stack]) -> None:
    # Forty cycles of patience, so that a slow machine cannot make a short cut a long one.
    stack = make_stack("workload", threshold_cycles=40)
    stack.wait_for("up", PRIMARY)
    for _ in range(4):
        stack.fault("primary", "cut")
        wait_until(lambda: stack.status().get("bad_cycles", 0) >= 2, 20, "two bad cycles")
        stack.fault("primary", "restore")
        stack.wait_for("up", PRIMARY)
        assert stack.status()["bad_cycles"] == 0
    assert moves(stack) == []
    assert stack.leaves_by() == "primary"
