from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.drivers.xdp.shelf import VARIABLE, Item, Shelf
from sidecar.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf.new()
    yield made
    made.close()


@pytest.fixture
def descriptor() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(writing)
    yield reading
    os.close(reading)


def _contents(shelf: Shelf) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []

    def look(item: Item) -> bool:
        os.fstat(item.descriptor)
        seen.append((item.device_index, item.queue))
        return True

    shelf.review(look)
    return seen


def test_what_is_put_in_stays_in_order_however_often_it_is_looked_at(shelf: Shelf, descriptor: int) -> None:
    for queue in range(20):
        shelf.put(7, queue, descriptor)
    for _ in range(3):
        assert _contents(shelf) == [(7, queue) for queue in range(20)]


def test_an_empty_shelf_shows_nothing(shelf: Shelf) -> None:
    assert _contents(shelf) == []


def test_what_is_not_wanted_goes_and_is_closed(shelf: Shelf) -> None:
    reading, writing = os.pipe()
    shelf.put(1, 0, reading)
    os.close(reading)
    os.write(writing, b"the shelf has the other end")
    shelf.review(lambda _: False)
    with pytest.raises(BrokenPipeError):
        os.write(writing, b"nobody has it")
    os.close(writing)
    assert _contents(shelf) == []


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after", range(4))
def test_a_turn_that_is_cut_short_loses_nothing(shelf: Shelf, descriptor: int, after: int) -> None:
    for queue in range(3):
        shelf.put(1, queue, descriptor)
    looks = iter(range(10))

    def cut_short(_: Item) -> bool:
        if next(looks) == after:
            raise Killed
        return True

    if after < 3:
        with pytest.raises(Killed):
            shelf.review(cut_short)
    assert set(_contents(shelf)) == {(1, 0), (1, 1), (1, 2)}
    assert len(_contents(shelf)) == 3


def test_no_descriptor_is_left_open_behind(shelf: Shelf, descriptor: int) -> None:
    shelf.put(1, 0, descriptor)
    before = sorted(Path("/proc/self/fd").iterdir())
    _contents(shelf)
    shelf.review(lambda _: False)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_another_program_inherits_it(shelf: Shelf, descriptor: int) -> None:
    shelf.put(3, 1, descriptor)
    environment = shelf.bequeath(os.environ)
    program = (
        "import os; from sidecar.drivers.xdp.shelf import Shelf\n"
        "Shelf.inherited(os.environ).review(lambda item: print(item.device_index, item.queue) is None)"
    )
    ends = [int(end) for end in environment[VARIABLE].split(",")]
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, pass_fds=ends, capture_output=True, text=True, check=True
    )
    assert done.stdout == "3 1\n"
    assert _contents(shelf) == [(3, 1)]


def test_where_none_is_named_there_is_none() -> None:
    assert Shelf.inherited({}) is None


@pytest.mark.parametrize("value", ["", "1", "3,4,5", "a,b", "1023,1022"])
def test_a_shelf_that_is_not_there_is_an_error_that_names_the_variable(value: str) -> None:
    with pytest.raises(LockError, match=VARIABLE):
        Shelf.inherited({VARIABLE: value})
