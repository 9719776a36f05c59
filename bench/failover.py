"""What a workload sees of a failover, of an operator's switch, and of a watchdog that dies."""

from __future__ import annotations

import random
import time

from bench.figures import Report, load
from bench.stream import Stream
from bench.subject import BACKUP, PRIMARY, Subject, running
from integration.harness.waiting import wait_until

REQUEST_EVERY_S = 0.02
SWITCH_REQUEST_EVERY_S = 0.01
AROUND_S = 1.0


def blackouts(preset: str, runs: int) -> None:
    """Cut the primary at a random moment of the cycle; from the last answer through it to the first by the backup."""
    with running(preset) as subject:
        report = Report(f"failover, preset {preset}: a request every {1000 * REQUEST_EVERY_S:.0f} ms; {load()}")
        seen = [_blackout(subject) for _ in range(runs)]
        report.spread("last answer by the primary -> first by the backup", seen, "s", 2)


def _blackout(subject: Subject) -> float:
    cycle_s = float(subject.status()["cycle_s"])
    with Stream(subject, REQUEST_EVERY_S) as stream:
        stream.answer_after(time.time())
        time.sleep(cycle_s + random.uniform(0, cycle_s))  # noqa: S311 - no secret: the moment of the cut
        cut_s = time.time()
        subject.fault("primary", "cut")
        subject.reach("up", BACKUP)
        by_backup_s = stream.answer_after(cut_s + AROUND_S)
        gap_s = stream.gap(cut_s, by_backup_s)
    assert subject.leaves_by() == "backup"
    subject.fault("primary", "restore")
    subject.switch(PRIMARY)
    return gap_s


def switches(runs: int) -> None:
    """An operator's switch to and fro: what it costs requests that go on."""
    with running("default") as subject:
        report = Report(f"planned switch: a request every {1000 * SWITCH_REQUEST_EVERY_S:.0f} ms; {load()}")
        lost, gaps = [], []
        with Stream(subject, SWITCH_REQUEST_EVERY_S) as stream:
            for run in range(runs):
                began_s = stream.answer_after(time.time())
                time.sleep(AROUND_S / 2)
                subject.switch((BACKUP, PRIMARY)[run % 2])
                time.sleep(AROUND_S)
                ended_s = time.time()
                lost.append(stream.lost(began_s, ended_s))
                gaps.append(1000 * stream.gap(began_s, ended_s))
        report.spread("requests lost, of about 170 around each switch", lost, "requests", 0)
        report.spread("longest time without an answer", gaps, "ms", 0)


def watchdog_deaths(runs: int) -> None:
    """SIGKILL of the watchdog: what it costs requests that go on, and how soon its successor has judged the tunnel."""
    with running("default") as subject:
        report = Report(f"watchdog killed: a request every {1000 * SWITCH_REQUEST_EVERY_S:.0f} ms; {load()}")
        lost, gaps, back = [], [], []
        with Stream(subject, SWITCH_REQUEST_EVERY_S) as stream:
            for _ in range(runs):
                began_s = stream.answer_after(time.time())
                killed = subject.status()["pid"]
                killed_s = time.time()
                subject.kill("sidecar run")
                wait_until(lambda killed=killed: _succeeded(subject, killed), 30, "a new watchdog to be up", 0.01)
                back.append(time.time() - killed_s)
                time.sleep(AROUND_S)
                ended_s = time.time()
                lost.append(stream.lost(began_s, ended_s))
                gaps.append(1000 * stream.gap(began_s, ended_s))
        report.spread("requests lost around each death", lost, "requests", 0)
        report.spread("longest time without an answer", gaps, "ms", 0)
        report.spread("SIGKILL -> its successor calls the tunnel healthy", back, "s", 2)


def _succeeded(subject: Subject, killed: int) -> bool:
    document = subject.status()
    return document.get("pid") not in (None, killed) and bool(document.get("healthy"))
