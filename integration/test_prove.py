"""The user's proof, typed as users type it: of a lock that holds, and of one that somebody took away unseen."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

from integration.harness.traffic import Background, flood
from integration.harness.waiting import wait_until

if TYPE_CHECKING:
    from integration.harness.stack import Stack
    from integration.harness.upstream import Upstream

WATCHDOG = "-m sidecar run"
DOWNLOAD = "http://198.51.100.10/file?bytes=200000000"
NOT_ON_EVERY_KERNEL = {"sctp", "dccp", "udp_by_io_uring"}
ONLY_THE_LOCK_COUNTS_IT = "a_frame_past_the_queue"


def proved(stack: Stack, exit_code: int) -> dict[str, Any]:
    code, output = stack.sidecar("prove", "--json")
    assert code == exit_code, output
    return json.loads(output)


def results(document: dict[str, Any], result: str) -> set[str]:
    return {attack["name"] for attack in document["attacks"] if attack["result"] == result}


def test_every_way_out_works_without_the_lock_and_none_with_it(stack: Stack, upstream: Upstream) -> None:
    document = proved(stack, 0)
    assert document["holds"] is True
    assert document["out"] == document["without_control"] == document["unclear"] == 0
    assert document["tried"] > 80
    impossible = {attack["name"] for attack in document["attacks"] if attack["control"] == "impossible"}
    assert impossible <= NOT_ON_EVERY_KERNEL
    assert all(attack["stopped_by"] for attack in document["attacks"] if attack["control"] == "out")
    assert upstream.leaks([stack.interface()], [stack.interface("unlocked")]) == []


def test_a_proof_leaves_nothing_behind(stack: Stack) -> None:
    code, output = stack.sidecar("prove")
    assert code == 0, output
    assert "each shown to work without the lock: 0 got out." in output
    wait_until(lambda: "proof0" not in stack.enter(stack.pid(), "ip", "link"), 10, "the proof's device to go")
    code, listing = stack.sidecar("killswitch")
    assert code == 0, listing
    assert "proof0" not in listing
    document = stack.wait_for("up", "10-primary")
    assert document["healthy"] is True
    assert stack.events("halted") == []
    assert stack.events("failover") == []
    assert stack.leaves_by() == "primary"


def test_a_proof_is_no_less_certain_among_traffic_and_other_attempts(stack: Stack, upstream: Upstream) -> None:
    loop = f"while :; do curl -sS -m 60 --limit-rate 40M -o /dev/null '{DOWNLOAD}'; done"
    downloads = Background(stack, "workload", ("timeout", "60", "sh", "-c", loop))
    with downloads, flood(stack, "attacker", 20):
        before = stack.status()["tunnel"]["rx_bytes"]
        document = proved(stack, 0)
        assert stack.status()["tunnel"]["rx_bytes"] > before + 50_000_000, "there was hardly any traffic"
    assert document["unclear"] == document["out"] == 0
    assert upstream.leaks([stack.interface()], [stack.interface("unlocked")]) == []
    assert stack.events("halted") == []


def test_a_lock_taken_away_unseen_is_found_out_and_halts_as_soon_as_the_watchdog_looks(
    stack: Stack, upstream: Upstream
) -> None:
    (stopped,) = stack.processes(WATCHDOG)
    os.kill(stopped, signal.SIGSTOP)
    try:
        stack.enter(stack.pid(), "nft", "flush", "ruleset")
        document = proved(stack, 1)
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert document["holds"] is False
    out = results(document, "out")
    assert {"udp_bound_to_the_device", "a_frame", "arp_with_a_trailer", "the_outer_flow_without_the_mark"} <= out
    assert document["out"] == len(out) > 60
    assert "no answer within" in document["remark"]
    assert results(document, "unclear") <= {ONLY_THE_LOCK_COUNTS_IT}
    own = stack.interface().mac
    assert [frame for frame in upstream.sent_by(stack.container("vpn")) if frame.ether_type != 0x0806], own
    halted = stack.wait_for("halted")
    assert halted["latch"]["reason"]


def test_there_is_nothing_to_prove_while_halted(stack: Stack) -> None:
    code, output = stack.sidecar("prove")
    assert code == 69, output
    assert "no uplink is up" in output
