"""What the sidecar costs while nothing happens: processor time and memory."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bench.figures import Report, load
from bench.subject import Subject, running

IDLE_S = 40.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def idle(health_checks: int) -> None:
    """Measure the health check, then the watchdog with an idle workload, for both presets."""
    for preset in ("default", "fast"):
        with running(preset) as subject:
            report = Report(f"idle, preset {preset}; {load()}")
            if preset == "default":
                _health_check(subject, report, health_checks)
            _watchdog(subject, report)
            _memory(subject, report)


def _health_check(subject: Subject, report: Report, runs: int) -> None:
    processor, wall = [], []
    inside = ["nsenter", "-t", str(subject.pid()), "-m", "-n", "-i", "-u"]
    for _ in range(runs):
        began_s = time.monotonic()
        child = os.posix_spawnp("nsenter", [*inside, "sidecar", "healthcheck"], os.environ, file_actions=_silent())
        _, status, usage = os.wait4(child, 0)
        wall.append(1000 * (time.monotonic() - began_s))
        processor.append(1000 * (usage.ru_utime + usage.ru_stime))
        if os.waitstatus_to_exitcode(status) != 0:
            raise AssertionError("the health check calls an idle, healthy sidecar unhealthy")
    report.spread("health check, processor time (user + system)", processor, "ms")
    report.spread("health check, wall time (without docker exec)", wall, "ms")


def _silent() -> list[tuple[int, int, str, int, int]]:
    return [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in (0, 1, 2)]


def _watchdog(subject: Subject, report: Report) -> None:
    (pid,) = subject.processes("sidecar run")
    cycle_s = float(subject.status()["cycle_s"])
    before_s, began_s = processor_s(pid), time.monotonic()
    time.sleep(IDLE_S)
    used_s, elapsed_s = processor_s(pid) - before_s, time.monotonic() - began_s
    per_cycle_ms = 1000 * used_s / (elapsed_s / cycle_s)
    share = 100 * used_s / elapsed_s
    report.fact(f"watchdog, processor time a cycle of {cycle_s:g} s", f"{per_cycle_ms:.1f} ms, {share:.1f} % of a core")
    rollup = _rollup(pid)
    report.fact("watchdog, memory", f"RSS {rollup['Rss'] / 1024:.1f} MiB, of it its own {rollup['own'] / 1024:.1f} MiB")


def _memory(subject: Subject, report: Report) -> None:
    total = 0
    for pid, line in subject.container("vpn").top(ps_args="-eo pid,args")["Processes"]:
        own = _rollup(int(pid))["own"]
        total += own
        if own > 1024:  # noqa: PLR2004 - KiB: the supervisor's own processes are a few hundred
            report.fact(f"  private memory of {line.split()[0].rsplit('/', 1)[-1]}", f"{own / 1024:.1f} MiB")
    usage = subject.container("vpn").stats(stream=False)["memory_stats"]
    cache = usage.get("stats", {}).get("total_inactive_file", usage.get("stats", {}).get("inactive_file", 0))
    report.fact("container, private memory of all its processes", f"{total / 1024:.1f} MiB")
    report.fact("container, as docker stats counts it", f"{(usage['usage'] - cache) / 2**20:.1f} MiB")


def processor_s(pid: int) -> float:
    """Return the processor time of a process and of the children that it waited for. Source: proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS_PER_S


def _rollup(pid: int) -> dict[str, int]:
    """Return a process's memory in KiB: resident ("Rss"), and what nobody shares with it ("own")."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return sizes | {"own": sizes["Private_Clean"] + sizes["Private_Dirty"]}
