"""What every attempt came to, and what all of them together are worth."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.prove.catalogue import Attack


class Control(Enum):
    """What the attack did where there is no lock."""

    OUT = "out"
    FAILED = "failed"
    IMPOSSIBLE = "impossible"


class Result(Enum):
    """What it did against the lock."""

    HELD = "held"
    OUT = "OUT"
    UNCLEAR = "unclear"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Shown:
    """The control of one attack.

    Attributes:
        why: where it was not seen: what was in the way, in words.
        tap_sees: a tap on the device has seen it too. Where it has not, a tap's silence says nothing.
    """

    control: Control
    why: str = ""
    tap_sees: bool = False


@dataclass(frozen=True, slots=True)
class Faced:
    """What became of one attack against the lock, on one uplink.

    Attributes:
        held_by: by what it was stopped, in words; for OUT where it was seen, for the others why nothing can be told.
        frames: how many got out, as far as known.
    """

    result: Result
    held_by: str
    frames: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One attack: its control and what it did on one uplink."""

    attack: Attack
    device: str
    shown: Shown
    faced: Faced

    @property
    def proves(self) -> bool:
        """Whether the row is worth anything: it was shown to work, and held."""
        return self.shown.control is Control.OUT and self.faced.result is Result.HELD

    @property
    def is_possible(self) -> bool:
        """Whether it can be tried here at all. What got out nevertheless was possible."""
        return self.shown.control is not Control.IMPOSSIBLE or self.faced.result is Result.OUT


@dataclass(frozen=True, slots=True)
class Proof:
    """All rows, and where the controls were.

    Attributes:
        place: where there was no lock, in words.
        remark: what else is to be said, such as that nobody answered; empty for nothing.
    """

    rows: tuple[Row, ...]
    place: str
    remark: str = ""

    @property
    def tried(self) -> tuple[Row, ...]:
        """The rows that count."""
        return tuple(row for row in self.rows if row.is_possible)

    @property
    def impossible(self) -> tuple[Row, ...]:
        """The rows that count for nothing, because nobody can try them here."""
        return tuple(row for row in self.rows if not row.is_possible)

    @property
    def out(self) -> tuple[Row, ...]:
        """The rows of what got out."""
        return tuple(row for row in self.rows if row.faced.result is Result.OUT)

    @property
    def without_control(self) -> tuple[Row, ...]:
        """The rows whose attack got nowhere even without a lock: they show nothing."""
        return tuple(row for row in self.tried if row.shown.control is not Control.OUT and row not in self.out)

    @property
    def open_questions(self) -> tuple[Row, ...]:
        """The rows that were shown to work and neither held nor got out, as far as can be told."""
        doubtful = (Result.UNCLEAR, Result.NOT_TRIED)
        return tuple(row for row in self.tried if row.shown.control is Control.OUT and row.faced.result in doubtful)

    @property
    def holds(self) -> bool:
        """Whether every attack that is possible here was shown to work without the lock, and was held by it."""
        return bool(self.tried) and all(row.proves for row in self.tried)
