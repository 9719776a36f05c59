from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sidecar import healthcheck
from sidecar.drivers.control.status_file import StatusFile
from sidecar.errors import ControlError
from tests.fakes.status_board import FakeStatusBoard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sidecar.ports import StatusBoard

    Board = tuple[StatusBoard, Callable[[], dict[str, Any]]]


@pytest.fixture(params=["fake", "file"])
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Board:
    """A board, and what its reader sees."""
    if request.param == "fake":
        fake = FakeStatusBoard()
        return fake, lambda: fake.latest
    path = tmp_path / "run" / "status.json"
    return StatusFile(path), lambda: healthcheck.load(str(path))


def test_the_reader_sees_the_newest_document(board: Board) -> None:
    publisher, read = board
    publisher.publish({"version": 1, "n": 1})
    publisher.publish({"version": 1, "n": 2, "rows": [["egress eth0", 3]], "none": None})
    assert read() == {"version": 1, "n": 2, "rows": [["egress eth0", 3]], "none": None}


def test_changing_a_document_afterwards_changes_nothing_for_the_reader(board: Board) -> None:
    publisher, read = board
    document: dict[str, object] = {"version": 1, "reasons": ["one"]}
    publisher.publish(document)
    document["reasons"] = []
    assert read()["reasons"] == ["one"]


@pytest.mark.parametrize("value", [object(), float("nan"), {1}])
def test_what_is_no_json_is_a_control_error_and_the_reader_keeps_the_old(board: Board, value: object) -> None:
    publisher, read = board
    publisher.publish({"version": 1})
    with pytest.raises(ControlError):
        publisher.publish({"version": 1, "odd": value})
    assert read() == {"version": 1}
