"""`make bench`, `make bench-leak`: numbers of real containers, printed and never asserted.

python -m bench                 every benchmark but the leak, with the usual number of runs
python -m bench leak restore    these
python -m bench --runs 3 leak   these, as often
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from bench import cost, failover, leak, start, throughput
from bench.figures import machine, say
from integration.harness import engine

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARKS: dict[str, tuple[Callable[[int], None], int]] = {
    "failover": (lambda runs: failover.blackouts("default", runs), 10),
    "failover-fast": (lambda runs: failover.blackouts("fast", runs), 20),
    "switch": (failover.switches, 20),
    "watchdog": (failover.watchdog_deaths, 10),
    "cost": (cost.idle, 30),
    "throughput": (throughput.pairs, 16),
    "start": (start.starts, 5),
    "leak": (leak.leaks, 100),
    "restore": (leak.restores, 100),
}
"""What each takes is how many runs, by default as many as stand beside it."""

LEAKS = ("leak", "restore")


def main() -> int:
    """Run what was asked for, one after the other; a failure of one is told at once and ends the whole."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure the sidecar on real containers.")
    parser.add_argument("--runs", type=int, help="how many runs of each, instead of the usual number")
    parser.add_argument("benchmark", nargs="*", choices=[*BENCHMARKS, []], help="default: all but the leak's")
    arguments = parser.parse_args()
    reason = engine.why_not()
    if reason:
        sys.stderr.write(f"bench: cannot run here: {reason}\n")
        return 1
    say(machine())
    for name in arguments.benchmark or [name for name in BENCHMARKS if name not in LEAKS]:
        measure, usual = BENCHMARKS[name]
        measure(arguments.runs or usual)
    return 0


if __name__ == "__main__":
    sys.exit(main())
