"""Rows of a proof, right unless told otherwise."""

from __future__ import annotations

from typing import Any

from sidecar.prove.catalogue import NET_RAW, UPLINK, Attack
from sidecar.prove.runner import SCRATCH
from sidecar.prove.verdict import Control, Faced, Proof, Result, Row, Shown

OUT = Shown(Control.OUT, tap_sees=True)
PAST_TAPS = Shown(Control.OUT, tap_sees=False)
FAILED = Shown(Control.FAILED, "Operation not permitted")
IMPOSSIBLE = Shown(Control.IMPOSSIBLE, "Protocol not supported")
HELD = Faced(Result.HELD, "egress eth0")
ESCAPED = Faced(Result.OUT, "seen by a tap on the uplink", 3)
UNCLEAR = Faced(Result.UNCLEAR, "it left no trace")
NOT_TRIED = Faced(Result.NOT_TRIED, "eth0 is down")


def attack(name: str = "a_frame", **changes: Any) -> Attack:
    values: dict[str, Any] = {
        "title": name.replace("_", " ").capitalize(),
        "group": "packets",
        "attempt": lambda _: None,
        "needs": NET_RAW,
        "where": UPLINK,
        "is_late": False,
        **changes,
    }
    return Attack(name=name, **values)


def row(name: str = "a_frame", shown: Shown = OUT, faced: Faced = HELD, device: str = "eth0", **changes: Any) -> Row:
    return Row(attack(name, **changes), device, shown, faced)


def proof(*rows: Row, remark: str = "") -> Proof:
    return Proof(rows, SCRATCH, remark)
