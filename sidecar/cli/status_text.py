"""`sidecar status` for people: one sentence, then a few aligned lines, then what to do if something is to be done."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from sidecar.cli.humane import duration, plural, printable, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.cli.status_document import Status, TunnelStatus

LABEL_CHARACTERS = 10
INDENT = "  "
MOST_HOOKS = 4

GOOD, UNSURE, BAD = "green", "yellow", "red"
MARKS = {
    "sealed": ("○", BAD),
    "starting": ("◌", UNSURE),
    "up": ("●", UNSURE),
    "degraded": ("◐", UNSURE),
    "exhausted": ("◇", BAD),
    "halted": ("■", BAD),
}
"""By phase, for what is not healthy; the healthy mark is a green dot."""
TONES = {"alive": GOOD, "intact": GOOD, "clean": GOOD, "unknown": UNSURE, "unreadable": UNSURE}
"""By the word that a status begins with; every other word is bad news."""

KINDS = {"kernel": "kernel WireGuard", "userspace": "wireguard-go"}


@dataclass(frozen=True, slots=True)
class Line:
    """One fact: its label, the word that judges it (coloured; may be empty) and the rest of it."""

    label: str
    word: str
    rest: str = ""
    tone: str | None = None


def render(status: Status, age_s: float, distrust: str | None, width: int | None) -> str:
    """Return the text, with colours in it (click.echo takes them out where they do not belong).

    Args:
        status: what the watchdog said.
        age_s: how long ago it said so.
        distrust: why it can no longer be believed; None while it can.
        width: columns to wrap at; None to leave lines as long as they are.
    """
    headline = _headline(status) if distrust is None else _mark("?", BAD, distrust)
    lines = _lines(status, age_s) if distrust is None else _last_words(status, age_s)
    return "\n".join([headline, "", *(_format(line, width) for line in lines)])


def _headline(status: Status) -> str:
    mark, tone = ("●", GOOD) if status.healthy else MARKS.get(status.phase, ("?", BAD))
    return _mark(mark, tone, status.sentence)


def _mark(mark: str, tone: str, sentence: str) -> str:
    return f"{click.style(mark, fg=tone, bold=True)} {click.style(printable(sentence), bold=True)}"


def _last_words(status: Status, age_s: float) -> Iterator[Line]:
    """Show what a silent watchdog said last, with no judgement: none of it is known to hold still."""
    yield Line("health", "unknown", f"what follows is {duration(age_s)} old", BAD)
    yield Line("it said", "", status.sentence)
    yield from (replace(line, word="", rest=_joined(line), tone=None) for line in _facts(status))
    yield _watchdog(status, age_s)


def _lines(status: Status, age_s: float) -> Iterator[Line]:
    yield from _health(status)
    yield from _facts(status)
    yield from (Line("warning", "", warning, UNSURE) for warning in status.warnings)
    yield _watchdog(status, age_s)
    remedy = _next(status)
    if remedy:
        yield Line("next", "", remedy)


def _facts(status: Status) -> Iterator[Line]:
    if status.endpoint is not None:
        yield Line("endpoint", "", f"{status.endpoint.name}, {status.endpoint.index + 1} of {status.endpoint.count}")
    if status.tunnel is not None:
        yield Line("tunnel", status.tunnel.health, _tunnel(status.tunnel))
    yield _lock(status)
    yield _leak(status)


def _watchdog(status: Status, age_s: float) -> Line:
    pid = "" if status.pid is None else f" (pid {status.pid})"
    return Line("watchdog", "", f"looked {duration(age_s)} ago, looks every {status.cycle_s:g} s{pid}")


def _health(status: Status) -> Iterator[Line]:
    if status.healthy:
        yield Line("health", "healthy", tone=GOOD)
        return
    yield Line("health", "unhealthy", tone=BAD)
    if status.latch is not None:
        yield Line("reason", "", status.latch[0], BAD)
        yield Line("evidence", "", status.latch[1])
    elif status.fault is not None:
        if status.fault not in status.sentence:
            yield Line("config", "", status.fault, BAD)
    else:
        yield from (Line("" if index else "reason", "", reason) for index, reason in enumerate(status.reasons))


def _tunnel(tunnel: TunnelStatus) -> str:
    facts = [KINDS.get(tunnel.kind, tunnel.kind)] if tunnel.kind else []
    if tunnel.rx_bytes is None or tunnel.tx_bytes is None:
        return "; ".join([*facts, "counters not read yet"])
    age_s = tunnel.latest_handshake_age_s
    facts.append("no handshake yet" if age_s is None else f"handshake {duration(age_s)} ago")
    facts.append(f"{size(tunnel.rx_bytes)} received, {size(tunnel.tx_bytes)} sent")
    return "; ".join(facts)


def _lock(status: Status) -> Line:
    word, detail = status.lock
    caught = sorted((row for row in status.blocked if row[1]), key=lambda row: -row[1])
    facts = [detail] if detail else []
    if caught:
        hooks = ", ".join(f"{hook} {count:,}" for hook, count in caught[:MOST_HOOKS])
        more = f", and {len(caught) - MOST_HOOKS} more" if len(caught) > MOST_HOOKS else ""
        facts.append(f"{plural(sum(count for _, count in caught), 'packet')} blocked: {hooks}{more}")
    else:
        facts.append("nothing blocked so far")
    return Line("lock", word, "; ".join(facts))


def _leak(status: Status) -> Line:
    word, detail = status.leak
    return Line("leaks", "none seen", tone=GOOD) if word == "clean" else Line("leaks", word, detail)


def _next(status: Status) -> str | None:
    """Say what an operator can do from here; None where there is nothing to be done."""
    if status.latch is not None:
        return "find the cause and remove it, then run: sidecar unlock"
    if status.fault is not None:
        return "correct it; the change is noticed. Every mistake is shown by: sidecar check"
    endpoint = status.endpoint
    if endpoint is None:
        return None
    if status.phase == "exhausted":
        others = [name for name in status.endpoints if name != endpoint.name]
        return f"it goes on trying; to try {' or '.join(others)} run: sidecar switch NAME" if others else None
    if status.phase == "degraded":
        bad = f"{status.bad_cycles} of {status.threshold_cycles} bad cycles"
        following = status.endpoints[endpoint.index + 1 : endpoint.index + 2]
        return f"{bad}; then it moves to {following[0]}" if following else f"{bad}; there is no further endpoint"
    if status.healthy and endpoint.index and status.endpoints:
        return f"it stays here; to go back to {status.endpoints[0]} run: sidecar converge"
    return None


def _joined(line: Line) -> str:
    return "; ".join(part for part in (line.word, line.rest) if part)


def _format(line: Line, width: int | None) -> str:
    word, text = printable(line.word), printable(_joined(line))
    hanging = " " * (len(INDENT) + LABEL_CHARACTERS)
    if width is not None and width > 2 * len(hanging):
        pieces = textwrap.wrap(text, width - len(hanging), break_long_words=False, break_on_hyphens=False) or [""]
    else:
        pieces = [text]
    label = click.style(f"{INDENT}{line.label:<{LABEL_CHARACTERS}}", dim=True)
    tone = line.tone or (TONES.get(word, BAD) if word else None)
    first = pieces[0]
    if word and first.startswith(word):
        pieces[0] = click.style(word, fg=tone) + first.removeprefix(word)
    elif tone:
        pieces = [click.style(piece, fg=tone) for piece in pieces]
    return label + f"\n{hanging}".join(pieces)
