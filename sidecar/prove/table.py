"""A proof as people read it, and as programs do."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from sidecar.prove.catalogue import MODULES, NET_RAW
from sidecar.prove.verdict import Control, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sidecar.prove.verdict import Proof, Row

HEADS = ("attack", "needs", "without the lock", "with it", "stopped by")
NO_CAPABILITY = "nothing"
NAMES_SHOWN = 5


class Line(NamedTuple):
    """A line of the table: "head", "good", "bad" or "void" (counts for nothing), and its words."""

    tone: str
    text: str


def lines(proof: Proof) -> Iterator[Line]:
    """Yield the table, group by group, and device by device where there are several."""
    width = max(len(row.attack.title) for row in proof.rows)
    several = len({row.device for row in proof.rows}) > 1
    columns = (width, 7, 16, 9)
    yield Line("head", f"    {_columns(HEADS, columns)}")
    for (device, group), rows in groupby(proof.rows, lambda row: (row.device, row.attack.group)):
        where = f" ({device})" if several else ""
        yield Line("head", f"{MODULES[group]}{where}")
        for row in rows:
            mark, tone = _mark(row)
            yield Line(tone, f"  {mark} {_columns(_cells(row), columns)}")


def _mark(row: Row) -> tuple[str, str]:
    if not row.is_possible:
        return "-", "void"
    return ("✓", "good") if row.proves else ("✗", "bad")


def _cells(row: Row) -> tuple[str, ...]:
    shown, faced = row.shown, row.faced
    needs = row.attack.needs or NO_CAPABILITY
    if not row.is_possible:
        return row.attack.title, needs, "not possible", "", shown.why
    control = "nothing came" if shown.control is not Control.OUT else "out" if shown.tap_sees else "out, past taps"
    held_by = faced.held_by
    if faced.result is Result.OUT:
        held_by = f"nothing: {faced.frames or 'some'} {'frame' if faced.frames == 1 else 'frames'}, {held_by}"
    elif shown.control is not Control.OUT:
        held_by = f"{held_by} (without the lock: {shown.why})"
    return row.attack.title, needs, control, faced.result.value, held_by


def _columns(cells: Iterable[str], widths: tuple[int, ...]) -> str:
    *padded, last = cells
    return "  ".join([*(f"{cell:<{width}}" for cell, width in zip(padded, widths, strict=True)), last]).rstrip()


def summary(proof: Proof) -> Iterator[Line]:
    """Yield what the table comes to: the one sentence, and whatever takes from it."""
    tried, out = len(proof.tried), len(proof.out)
    shown = "each shown to work without the lock" if not proof.without_control else "not all of them shown to work"
    tone = "good" if proof.holds else "bad"
    yield Line(tone, f"{_ways(tried)} out tried, {shown}: {out} got out.")
    for rows, text in (
        (proof.out, "got out"),
        (proof.without_control, "got nowhere even without a lock, and prove nothing"),
        (proof.open_questions, "cannot be told, or were not tried any more"),
    ):
        if rows:
            yield Line("bad", f"{len(rows)} {text}: {_titles(rows)}")
    if proof.remark:
        yield Line("bad", f"The lock was in the way of the controls: {proof.remark}")
    if proof.out:
        yield Line("bad", "A frame that gets out ends in a halt, in a proof too: see `sidecar status`.")
    raw = sum(row.attack.needs == NET_RAW for row in proof.tried)
    if raw:
        yield Line("void", f"{raw} of them do not exist for a workload with `cap_drop: [NET_RAW]`.")
    if proof.impossible:
        reasons = ", ".join(f"{row.attack.title} ({row.shown.why})" for row in proof.impossible)
        yield Line("void", f"{len(proof.impossible)} not possible here, not counted: {reasons}")
    yield Line("void", f"The controls were tried {proof.place}, everything as root with Docker's default capabilities.")


def _ways(count: int) -> str:
    return "1 way" if count == 1 else f"{count} ways"


def _titles(rows: tuple[Row, ...]) -> str:
    titles = list(dict.fromkeys(row.attack.title for row in rows))
    more = f", and {len(titles) - NAMES_SHOWN} more" if len(titles) > NAMES_SHOWN else ""
    return ", ".join(titles[:NAMES_SHOWN]) + more


def document(proof: Proof) -> dict[str, object]:
    """Return the proof as JSON can hold it."""
    return {
        "holds": proof.holds,
        "tried": len(proof.tried),
        "out": len(proof.out),
        "without_control": len(proof.without_control),
        "unclear": len(proof.open_questions),
        "not_possible": len(proof.impossible),
        "place": proof.place,
        "remark": proof.remark,
        "attacks": [_fields(row) for row in proof.rows],
    }


def _fields(row: Row) -> dict[str, object]:
    return {
        "name": row.attack.name,
        "title": row.attack.title,
        "group": row.attack.group,
        "needs": row.attack.needs,
        "device": row.device,
        "control": row.shown.control.value,
        "control_detail": row.shown.why,
        "a_tap_sees_it": row.shown.tap_sees,
        "result": row.faced.result.name.lower(),
        "stopped_by": row.faced.held_by if row.faced.result is Result.HELD else "",
        "detail": "" if row.faced.result is Result.HELD else row.faced.held_by,
        "frames": row.faced.frames,
    }
