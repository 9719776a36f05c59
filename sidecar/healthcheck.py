"""Decide from the status file alone whether the sidecar is healthy: one line, exit 0 or 1.

The image's HEALTHCHECK runs this as a script, `python3 -I -S healthcheck.py`, every few seconds for as long as the
container lives. So it is alone: json, time and sys, nothing of ours, nothing installed; and the numbers it shares with
the rest are written here a second time (a test holds the two together).

Whatever cannot be read, understood or trusted is unhealthy, with the reason on the line that Docker shows.
"""

from __future__ import annotations

import json
import sys
import time

STATUS_PATH = "/run/sidecar/status.json"
STATUS_VERSION = 1

STALE_CYCLES = 3
"""A heartbeat older than this many cycles is stale: the watchdog hangs, is stopped, or is dead."""
STALE_FLOOR_S = 5.0
"""No heartbeat younger than this is stale, so that a short cycle on a loaded machine raises no false alarm."""
LONGEST_CYCLE_S = 300.0
"""A cycle above this is not believed: it would make any heartbeat fresh."""
FUTURE_TOLERANCE_S = 1.0
"""A heartbeat may be rounded up by this much; one further ahead is from another boot or clock."""

LARGEST_NUMBER = 10**12
"""No machine has been up for this many seconds (30,000 years)."""

MAXIMUM_BYTES = 256 * 1024
MAXIMUM_LINE_CHARACTERS = 1000
"""Docker keeps the first 4096 bytes of a health check's output. Source: moby, daemon/health.go, maxOutputLen."""


class Untrusted(Exception):  # noqa: N818 - it is a judgement about the file, not a malfunction of ours
    """The status file says nothing that may be believed; the message is a clause with its remedy."""


def load(path: str) -> dict[str, object]:
    """Read the status document.

    Raises:
        Untrusted: it is missing, unreadable, too large, not JSON, not an object, or of another version.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib would take 7 of the 80 ms that this process may
            raw = file.read(MAXIMUM_BYTES + 1)
    except FileNotFoundError:
        raise Untrusted(f"{path} does not exist: the watchdog has not started yet; see the container's log") from None
    except OSError as error:
        raise Untrusted(f"{path} cannot be read: {error.strerror}; run this as root inside the sidecar") from None
    if len(raw) > MAXIMUM_BYTES:
        raise Untrusted(f"{path} is larger than {MAXIMUM_BYTES} bytes, so the watchdog did not write it; remove it")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise Untrusted(f"{path} is not the JSON that the watchdog writes; see the container's log") from None
    if not isinstance(document, dict):
        raise Untrusted(f"{path} holds no JSON object; see the container's log")
    version = document.get("version")
    if type(version) is not int or version != STATUS_VERSION:
        raise Untrusted(f"{path} is of version {version!r}, not {STATUS_VERSION}; restart the container to update both")
    return document


def require_fresh(document: dict[str, object], now_boottime_s: float) -> float:
    """Return the age of the heartbeat in seconds, on CLOCK_BOOTTIME, which runs on through a suspend.

    Raises:
        Untrusted: the heartbeat is missing, stale, or from the future.
    """
    heartbeat_s = _number(document, "heartbeat_boottime_s")
    cycle_s = _number(document, "cycle_s")
    if not 0 < cycle_s <= LONGEST_CYCLE_S:
        raise Untrusted(f"the status file names a cycle of {cycle_s:g} s; see the container's log")
    age_s = now_boottime_s - heartbeat_s
    if age_s < -FUTURE_TOLERANCE_S:
        raise Untrusted(f"the last heartbeat is {-age_s:.0f} s in the future: the status file is of another boot")
    if age_s > max(STALE_CYCLES * cycle_s, STALE_FLOOR_S):
        raise Untrusted(f"the watchdog does not answer: last heartbeat {int(age_s)} s ago; see the container's log")
    return max(age_s, 0.0)


def judge(path: str, now_boottime_s: float) -> tuple[bool, str]:
    """Return whether the sidecar is healthy, and the one line that says so or why not."""
    try:
        document = load(path)
        require_fresh(document, now_boottime_s)
        reasons = _reasons(document)
        sentence = _text(document, "sentence")
    except Untrusted as error:
        return False, _one_line(f"unhealthy: {error}")
    if document.get("healthy") is not True or reasons:
        return False, _one_line("unhealthy: " + ("; ".join(reasons) or sentence))
    return True, _one_line(sentence)


def _number(document: dict[str, object], key: str) -> float:
    value = document.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Untrusted(f"the status file has no number {key}; see the container's log")
    if not abs(value) <= LARGEST_NUMBER:
        raise Untrusted(f"the status file's {key} is no time; see the container's log")
    return float(value)


def _text(document: dict[str, object], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not _one_line(value):
        raise Untrusted(f"the status file has no {key}; see the container's log")
    return value


def _reasons(document: dict[str, object]) -> list[str]:
    reasons = document.get("reasons")
    if not isinstance(reasons, list) or not all(isinstance(reason, str) for reason in reasons):
        raise Untrusted("the status file has no list of reasons; see the container's log")
    return reasons


def _one_line(text: str) -> str:
    """Fold every run of blanks and control characters: a name in a file may hold what a terminal obeys."""
    visible = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(visible.split())[:MAXIMUM_LINE_CHARACTERS]


def main(arguments: list[str]) -> int:
    """Print the line; return the exit code that Docker expects: 0 healthy, 1 not (2 is reserved)."""
    path = arguments[0] if arguments else STATUS_PATH
    healthy, line = judge(path, time.clock_gettime(time.CLOCK_BOOTTIME))
    # Bytes, because isolated mode under a C locale may not encode what a reason holds.
    sys.stdout.buffer.write(line.encode("utf-8", "replace") + b"\n")
    sys.stdout.buffer.flush()
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
