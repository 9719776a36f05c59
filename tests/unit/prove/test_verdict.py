"""What counts as proof, and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.prove import rows as a

if TYPE_CHECKING:
    from sidecar.prove.verdict import Proof, Row


def test_a_proof_is_that_everything_possible_got_out_without_the_lock_and_nothing_with_it() -> None:
    assert a.proof(a.row(), a.row("another", a.PAST_TAPS)).holds


def test_nothing_tried_is_no_proof() -> None:
    assert not a.proof().holds
    assert not a.proof(a.row("sctp", a.IMPOSSIBLE, a.UNCLEAR)).holds


@pytest.mark.parametrize(
    "spoiler",
    [
        a.row("bad", a.OUT, a.ESCAPED),
        a.row("bad", a.OUT, a.UNCLEAR),
        a.row("bad", a.OUT, a.NOT_TRIED),
        a.row("bad", a.FAILED, a.HELD),
        a.row("bad", a.FAILED, a.ESCAPED),
        a.row("bad", a.IMPOSSIBLE, a.ESCAPED),
    ],
    ids=["out", "unclear", "not tried", "without control", "out without control", "out though impossible"],
)
def test_one_bad_row_among_good_ones_is_no_proof(spoiler: Row) -> None:
    assert not a.proof(a.row(), spoiler, a.row("third")).holds


def test_what_is_impossible_here_neither_proves_nor_disproves() -> None:
    proof = a.proof(a.row(), a.row("sctp", a.IMPOSSIBLE, a.UNCLEAR))
    assert proof.holds
    assert [row.attack.name for row in proof.impossible] == ["sctp"]
    assert [row.attack.name for row in proof.tried] == ["a_frame"]


def test_every_row_is_counted_once() -> None:
    proof: Proof = a.proof(
        a.row("held"),
        a.row("out", a.FAILED, a.ESCAPED),
        a.row("shown not", a.FAILED, a.UNCLEAR),
        a.row("unclear", a.OUT, a.UNCLEAR),
        a.row("impossible", a.IMPOSSIBLE, a.HELD),
    )
    parts = (proof.out, proof.without_control, proof.open_questions, proof.impossible)
    assert [[row.attack.name for row in part] for part in parts] == [
        ["out"],
        ["shown not"],
        ["unclear"],
        ["impossible"],
    ]
