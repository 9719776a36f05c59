"""No death opens the lock, and what died comes back by itself."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from integration.harness.traffic import download, flood
from integration.harness.waiting import wait_until

if TYPE_CHECKING:
    from integration.harness.stack import Stack
    from integration.harness.upstream import Upstream

WATCHDOG = "-m sidecar run"
WIREGUARD = "wireguard-go -f"
FILE_BYTES = 6_000_000


def wait_for_new_process(stack: Stack, word: str, old: int) -> None:
    wait_until(lambda: [pid for pid in stack.processes(word) if pid != old], 20, f"a new process of '{word}'")


def wait_for_new_watchdog(stack: Stack, old: object) -> None:
    def back() -> bool:
        document = stack.status()
        return document.get("pid") not in (None, old) and document.get("phase") == "up"

    wait_until(back, 30, "a new watchdog to call the tunnel up")


def test_downloads_go_on_while_the_watchdog_dies_and_it_comes_back(stack: Stack, upstream: Upstream) -> None:
    old = stack.status()["pid"]
    with download(stack, "/tmp/while-dying", FILE_BYTES, "1500k") as downloading, flood(stack, "attacker", 4) as locked:
        killed = stack.kill(WATCHDOG)
        wait_for_new_process(stack, WATCHDOG, killed)
        assert downloading.wait(60) == 0
        locked.wait(20)
    size = stack.check("workload", "stat", "-c", "%s", "/tmp/while-dying")
    assert int(size) == FILE_BYTES
    wait_for_new_watchdog(stack, old)
    assert upstream.leaks([stack.interface()], [stack.interface("unlocked")]) == []
    assert stack.events("failover") == []


def test_the_lock_stands_while_there_is_no_watchdog(stack: Stack, upstream: Upstream) -> None:
    (stopped,) = stack.processes(WATCHDOG)
    os.kill(stopped, signal.SIGSTOP)
    try:
        with flood(stack, "attacker", 3) as locked, flood(stack, "unlocked", 3) as unlocked:
            locked.wait(20)
            unlocked.wait(20)
            assert upstream.holding(unlocked.token.encode()), "the control got nothing out, so this test shows nothing"
            assert upstream.holding(locked.token.encode()) == []
        assert stack.leaves_by() == "primary"
        stack.wait_docker_health("unhealthy", "watchdog")
    finally:
        os.kill(stopped, signal.SIGCONT)
    stack.wait_for("up", "10-primary")
    assert stack.events("failover") == []


def test_a_dead_wireguard_process_is_repaired_in_place(stack: Stack, upstream: Upstream) -> None:
    if stack.status()["tunnel"]["kind"] != "userspace":
        return  # the kernel's WireGuard has no process to kill
    with flood(stack, "attacker", 6) as locked:
        killed = stack.kill(WIREGUARD)
        wait_for_new_process(stack, WIREGUARD, killed)
        wait_until(lambda: stack.leaves_by() == "primary", 30, "the workload to leave by the primary again")
        locked.wait(30)
    stack.wait_for("up", "10-primary")
    assert upstream.leaks([stack.interface()], [stack.interface("unlocked")]) == []
    assert stack.events("failover") == []


def test_killing_anything_but_pid_1_ends_neither_the_container_nor_the_way_out(stack: Stack) -> None:
    container = stack.container("vpn")
    started, first = container.attrs["State"]["StartedAt"], stack.pid()
    for pid in stack.processes(""):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # it went with one that was killed before it
            continue
    wait_until(lambda: stack.leaves_by() == "primary", 40, "the workload to leave by the primary again")
    stack.wait_for("up", "10-primary")
    container.reload()
    assert container.attrs["State"]["StartedAt"] == started
    assert stack.pid() == first
    assert stack.events("failover") == []
