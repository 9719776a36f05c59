"""Numbers into words: percentiles, a table a topic, and what the machine was doing meanwhile."""

from __future__ import annotations

import math
import os
import platform
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed (nearest rank).

    No interpolation: a p99 of fewer than a hundred runs is their maximum, and does not claim to be more.
    """
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


@dataclass
class Report:
    """What one benchmark found; printed line by line, as it is found."""

    title: str
    rows: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        say(f"\n## {self.title}")

    def spread(self, what: str, values: Sequence[float], unit: str, digits: int = 1) -> None:
        """Tell how values spread: p50, p95, p99, largest, and how many there were."""
        if not values:
            self.fact(what, "nothing to measure in any run")
            return
        parts = [f"p{100 * share:.0f} {percentile(values, share):.{digits}f}" for share in (0.5, 0.95, 0.99)]
        self.fact(what, f"{'  '.join(parts)}  max {max(values):.{digits}f} {unit}  (n={len(values)})")

    def fact(self, what: str, words: str) -> None:
        """Tell one thing."""
        self.rows.append(f"{what:<58} {words}")
        say(self.rows[-1])


def say(words: str) -> None:
    """Print a line at once."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def load() -> str:
    """Return how busy the machine is, for every table: a shared machine tells other numbers."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def machine() -> str:
    """Return what the numbers were measured on."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    kibibytes = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    processor = models[0] if models else platform.machine()
    return f"{processor}, {os.cpu_count()} cores, {kibibytes / 2**20:.0f} GiB, Linux {platform.release()}; {load()}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
