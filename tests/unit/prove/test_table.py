"""The proof as people and programs read it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sidecar.prove.table import document, lines, summary
from tests.unit.prove import rows as a

if TYPE_CHECKING:
    from sidecar.prove.verdict import Proof


def table(proof: Proof) -> list[str]:
    return [line.text for line in lines(proof)]


def told(proof: Proof) -> list[str]:
    return [line.text for line in summary(proof)]


def tones(proof: Proof) -> set[str]:
    return {line.tone for line in summary(proof)}


def test_a_row_tells_attack_need_control_result_and_rule_in_columns() -> None:
    head, group, *rows = table(a.proof(a.row("a_frame"), a.row("past_the_queue", a.PAST_TAPS, needs="")))
    assert head.split("  ")[0].strip() or head.strip().startswith("attack")
    assert group == "AF_PACKET: frames that no inet hook sees"
    assert rows[0].split() == ["✓", "A", "frame", "NET_RAW", "out", "held", "egress", "eth0"]
    assert "nothing" in rows[1]
    assert "out, past taps" in rows[1]
    assert rows[0].index("held") == rows[1].index("held") == head.index("with it")


def test_several_uplinks_are_told_apart() -> None:
    text = table(a.proof(a.row(), a.row(device="eth1")))
    assert [line for line in text if line.endswith(("(eth0)", "(eth1)"))] == [
        "AF_PACKET: frames that no inet hook sees (eth0)",
        "AF_PACKET: frames that no inet hook sees (eth1)",
    ]


def test_what_got_out_says_how_much_and_where_it_was_seen() -> None:
    (line,) = (text for text in table(a.proof(a.row(faced=a.ESCAPED))) if "✗" in text)
    assert line.endswith("OUT        nothing: 3 frames, seen by a tap on the uplink")


def test_a_control_that_failed_says_why() -> None:
    (line,) = (text for text in table(a.proof(a.row(shown=a.FAILED))) if "✗" in text)
    assert "nothing came" in line
    assert "without the lock: Operation not permitted" in line


def test_the_sentence_of_a_proof() -> None:
    proof = a.proof(a.row("one"), a.row("two"), a.row("sctp", a.IMPOSSIBLE))
    assert told(proof)[0] == "2 ways out tried, each shown to work without the lock: 0 got out."
    assert told(proof)[1] == "2 of them do not exist for a workload with `cap_drop: [NET_RAW]`."
    assert told(proof)[2] == "1 not possible here, not counted: Sctp (Protocol not supported)"
    assert tones(proof) == {"good", "void"}


def test_the_sentence_of_a_failure_does_not_claim_what_was_not_shown() -> None:
    proof = a.proof(
        a.row("one"), a.row("two", a.OUT, a.ESCAPED), a.row("three", a.FAILED), a.row("four", a.OUT, a.NOT_TRIED)
    )
    said = told(proof)
    assert said[0] == "4 ways out tried, not all of them shown to work: 1 got out."
    assert said[1] == "1 got out: Two"
    assert said[2].startswith("1 got nowhere even without a lock")
    assert said[3] == "1 cannot be told, or were not tried any more: Four"
    assert any("halt" in line for line in said)
    assert "good" not in tones(proof)


def test_a_remark_is_told() -> None:
    proof = a.proof(a.row(shown=a.FAILED), remark="ask the watchdog: no answer within 5 s")
    assert "The lock was in the way of the controls: ask the watchdog: no answer within 5 s" in told(proof)


def test_long_lists_are_cut_short_and_say_so() -> None:
    rows = [a.row(f"number_{number}", a.OUT, a.ESCAPED) for number in range(9)]
    assert told(a.proof(*rows))[1].endswith("Number 4, and 4 more")


def test_the_document_has_everything_for_scripts() -> None:
    proof = a.proof(a.row("good"), a.row("bad", a.OUT, a.ESCAPED), a.row("sctp", a.IMPOSSIBLE))
    read = json.loads(json.dumps(document(proof)))
    assert (read["holds"], read["tried"], read["out"], read["not_possible"]) == (False, 2, 1, 1)
    good, bad, _ = read["attacks"]
    assert (good["control"], good["result"], good["stopped_by"]) == ("out", "held", "egress eth0")
    assert (bad["result"], bad["stopped_by"], bad["frames"]) == ("out", "", 3)
