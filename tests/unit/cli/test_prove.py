"""What is typed, printed and asked of the watchdog for a proof; the proof itself has tests of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sidecar.drivers.control.protocol import Command, Request, Response
from sidecar.drivers.control.server import ControlServer
from sidecar.errors import LinkError
from tests.unit.prove import rows as a

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from click.testing import Result

    from sidecar.drivers.control.paths import RuntimePaths
    from sidecar.prove.verdict import Proof

    Invoke = Callable[..., Result]


class Stage:
    """Stands in for the attacks: comes to `proof`, with what the watchdog said as its remark."""

    def __init__(self) -> None:
        self.rows = (a.row("one"), a.row("two"))
        self.remark = ""

    def __call__(self, _: object, leave_out: Callable[[], AbstractContextManager[str]]) -> Proof:
        with leave_out() as self.remark:
            return a.proof(*self.rows, remark=self.remark)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setattr("sidecar.prove.facts.gather", lambda _: None)
    monkeypatch.setattr("sidecar.prove.runner.prove", made)
    return made


@pytest.fixture
def asked(paths: RuntimePaths) -> Iterator[list[Request]]:
    requests: list[Request] = []

    def answer(request: Request) -> Response:
        requests.append(request)
        return Response(accepted=True, text="it is left out")

    server = ControlServer(paths.socket, answer)
    yield requests
    server.close()


def test_a_proof_ends_with_its_sentence_and_0(invoke: Invoke, stage: Stage, asked: list[Request]) -> None:
    result = invoke("prove")
    assert result.exit_code == 0
    assert "2 ways out tried, each shown to work without the lock: 0 got out." in result.output
    assert asked == [Request(Command.BEGIN_PROOF), Request(Command.END_PROOF)]
    assert stage.remark == ""


def test_anything_out_is_1_and_named(invoke: Invoke, stage: Stage, asked: list[Request]) -> None:
    stage.rows = (a.row("one"), a.row("two", faced=a.ESCAPED))
    result = invoke("prove")
    assert result.exit_code == 1
    assert "1 got out: Two" in result.output
    assert asked[-1] == Request(Command.END_PROOF)


def test_a_failed_control_is_1(invoke: Invoke, stage: Stage, asked: list[Request]) -> None:
    stage.rows = (a.row("one"), a.row("two", shown=a.FAILED))
    assert invoke("prove").exit_code == 1
    assert asked


def test_json_is_nothing_but_json(invoke: Invoke, stage: Stage, asked: list[Request]) -> None:
    result = invoke("prove", "--json")
    assert json.loads(result.output)["holds"] is True
    assert len(stage.rows) == len(asked) == 2


def test_a_refusal_of_the_watchdog_is_a_remark(invoke: Invoke, stage: Stage, paths: RuntimePaths) -> None:
    asked: list[Request] = []

    def refuse(request: Request) -> Response:
        asked.append(request)
        return Response(accepted=False, text="halted: no", exit_code=75)

    server = ControlServer(paths.socket, refuse)
    try:
        assert invoke("prove").exit_code == 0
    finally:
        server.close()
    assert stage.remark == "halted: no"
    assert asked == [Request(Command.BEGIN_PROOF)], "the end of somebody else's proof"


def test_a_watchdog_that_is_not_there_is_a_remark_and_the_attacks_are_tried(invoke: Invoke, stage: Stage) -> None:
    assert "nobody" not in stage.remark
    invoke("prove")
    assert "ask the watchdog" in stage.remark


def test_nothing_to_attack_is_an_error_with_its_remedy(
    invoke: Invoke, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gather(_: object) -> None:
        raise LinkError(attempted="find an uplink to attack", got="no uplink is up", remedy="see `sidecar status`")

    monkeypatch.setattr("sidecar.prove.facts.gather", gather)
    result = invoke("prove")
    assert result.exit_code == 69
    assert "no uplink is up" in result.output
    assert stage.remark == ""
