"""A leak made on purpose, and a foreign flush without one: how long, and how many frames."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import Report, load
from bench.subject import Subject, running
from bench.watchers import Transactions, Upstream
from integration.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAMES_PER_S = 1000
MOST_FRAMES = 15_000
SETTLE_S = 0.3
# The loop answers a storm of changes at a bounded rate (sidecar.inbox.Pace); runs this far apart are no storm.
APART_S = 1.0
HALT_DEADLINE_S = 10.0


@dataclass(frozen=True)
class Leak:
    """One leak, in milliseconds from the first frame that was seen upstream, but for `restored_ms`: from the flush.

    Attributes:
        frames: how many were seen upstream.
        exposed_ms: to the last one.
        halted_ms: to the event that says "halted"; None where the lock was back before anything left.
        restored_ms: from the foreign transaction to the sidecar's.
    """

    frames: int
    exposed_ms: float
    halted_ms: float | None
    restored_ms: float


def leaks(runs: int) -> None:
    """Flush the ruleset under a steady sender, unlock, and again."""
    with running("default", "vpn") as subject:
        report = Report(f"leak on purpose: {FRAMES_PER_S} frames/s by AF_PACKET, ruleset flushed; {load()}")
        made = [_leak(subject) for _ in range(runs)]
    real = [leak for leak in made if leak.frames]
    report.fact("runs in which frames got out, and of them halted", f"{len(real)} of {len(made)}, {_halted(real)}")
    report.spread("first leaked frame -> last one (sealed)", [leak.exposed_ms for leak in real], "ms")
    report.spread("frames that got out", [leak.frames for leak in real], "frames", 0)
    report.spread("foreign flush -> first transaction of the sidecar", [leak.restored_ms for leak in made], "ms")
    report.spread("first leaked frame -> told as halted", [leak.halted_ms for leak in real if leak.halted_ms], "ms")


def _halted(real: list[Leak]) -> int:
    return sum(leak.halted_ms is not None for leak in real)


def _leak(subject: Subject) -> Leak:
    token = f"bench-{secrets.token_hex(6)}"
    with Upstream(subject, token.encode()) as upstream, Transactions(subject) as ruleset:
        with _sender(subject, token):
            time.sleep(SETTLE_S)
            if upstream.seen:
                raise AssertionError(f"{len(upstream.seen)} frames got out under the lock")
            mark = len(ruleset.seen)
            subject.flush_ruleset()
            flushed = ruleset.wait_for(mark, HALT_DEADLINE_S, ours=False)
            answered = ruleset.wait_for(mark, HALT_DEADLINE_S, ours=True)
            time.sleep(SETTLE_S)
            halted_s = _await_halt(subject) if upstream.seen else None
            time.sleep(SETTLE_S)
        seen = sorted(upstream.seen)
    if halted_s is not None:
        subject.unlock()
    time.sleep(APART_S)
    restored_ms = 1000 * (answered.at_s - flushed.at_s)
    if not seen:
        return Leak(0, 0.0, None, restored_ms)
    return Leak(len(seen), 1000 * (seen[-1] - seen[0]), halted_s and 1000 * (halted_s - seen[0]), restored_ms)


def _await_halt(subject: Subject) -> float:
    """Return when the sidecar said that it has halted, to the millisecond."""
    subject.reach("halted", deadline_s=HALT_DEADLINE_S)
    return datetime.fromisoformat(subject.events("halted")[-1]["time"]).timestamp()


@contextmanager
def _sender(subject: Subject, token: str) -> Iterator[None]:
    """Send frames beside the tunnel from inside the namespace that workloads join, for the block."""
    script = Path(__file__).with_name("leaky_sender.py")
    inside = ["nsenter", "-t", str(subject.pid()), "-n"]
    command = [*inside, sys.executable, "-I", "-S", str(script), "eth0", str(FRAMES_PER_S), str(MOST_FRAMES), token]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"sending\n"
        try:
            yield
        finally:
            process.stdin.close()
            process.wait(10)


def restores(runs: int) -> None:
    """Flush the ruleset where nobody sends beside the tunnel: the lock is put back, and nothing halts."""
    with running("default", "vpn") as subject, Transactions(subject) as ruleset:
        report = Report(f"foreign flush, no leak; {load()}")
        restored = []
        for _ in range(runs):
            mark = len(ruleset.seen)
            subject.flush_ruleset()
            flushed = ruleset.wait_for(mark, HALT_DEADLINE_S, ours=False)
            answered = ruleset.wait_for(mark, HALT_DEADLINE_S, ours=True)
            restored.append(1000 * (answered.at_s - flushed.at_s))
            time.sleep(APART_S)
            wait_until(lambda: subject.status().get("healthy"), 20, "the sidecar to be healthy again")
        report.spread("foreign flush -> restored", restored, "ms")
