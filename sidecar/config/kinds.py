"""The kinds of value that a setting can have: each reads TOML and text, and says in words what it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from sidecar.config.mistakes import UnusableError, nearest, shown
from sidecar.config.values import unicast, words_of
from sidecar.core.model import ProbeKind, ProbeTarget

if TYPE_CHECKING:
    from enum import Enum

TargetList = tuple[ProbeTarget, ...]

MOST_TARGETS = 16
"""Every probe goes to all of them; more would be a load and no better evidence."""

_DECIMAL = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?")
_DEVICE = re.compile(r"[a-zA-Z0-9_=+.-]{1,15}")
"""Source: wg-quick(8), "any free-form string"; the kernel's IFNAMSIZ allows 15 characters."""

_NOT_A_TUNNEL = re.compile(r"\.{1,2}|lo|all|default|eth[0-9]+")
"""Names with a meaning of their own: loopback, the sysctl directories, and the uplinks that Docker makes."""

_TARGET = re.compile(r"(?P<kind>[a-z]+)://(?:\[(?P<bracketed>[^\]]+)\]|(?P<bare>.+))")
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


class Kind(Protocol):
    """How one setting is read. All three raise `UnusableError` or nothing."""

    def from_toml(self, value: object) -> object:
        """Read what tomllib made of it."""

    def from_text(self, text: str) -> object:
        """Read what a variable or a file holds."""

    def takes(self) -> str:
        """Say what may be written, for a table and for a remedy."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """A length of time, both ends included."""

    low: float
    high: float

    def from_toml(self, value: object) -> float:
        """Read an integer or a float; not a number (nan) is out of every range."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UnusableError(f"{shown(str(value))} is not a number", f"write {self.takes()}, without quotes")
        if not self.low <= value <= self.high:
            raise UnusableError(f"{value} is out of range", f"use {self.takes()}")
        return float(value)

    def from_text(self, text: str) -> float:
        """Read a decimal number."""
        if not _DECIMAL.fullmatch(text):
            raise UnusableError(f"{shown(text)} is not a number", f"use {self.takes()}")
        return self.from_toml(float(text))

    def takes(self) -> str:
        """Say the range and the unit."""
        return f"{self.low:g} to {self.high:g} seconds"


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number of `unit`, both ends included."""

    low: int
    high: int
    unit: str

    def from_toml(self, value: object) -> int:
        """Read an integer."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise UnusableError(f"{shown(str(value))} is not a whole number", f"write {self.takes()}, without quotes")
        if not self.low <= value <= self.high:
            raise UnusableError(f"{value} is out of range", f"use {self.takes()}")
        return value

    def from_text(self, text: str) -> int:
        """Read decimal digits."""
        if not re.fullmatch(r"[+-]?[0-9]{1,15}", text):
            raise UnusableError(f"{shown(text)} is not a whole number", f"use {self.takes()}")
        return self.from_toml(int(text))

    def takes(self) -> str:
        """Say the range and the unit."""
        return f"{self.low} to {self.high} {self.unit}"


@dataclass(frozen=True, slots=True)
class Switch:
    """On or off."""

    def from_toml(self, value: object) -> bool:
        """Read a TOML boolean."""
        if not isinstance(value, bool):
            raise UnusableError(f"{shown(str(value))} is neither true nor false", "write true or false, without quotes")
        return value

    def from_text(self, text: str) -> bool:
        """Read one of the words that people use for it."""
        if text.lower() not in _TRUE | _FALSE:
            raise UnusableError(f"{shown(text)} is neither true nor false", "use true or false")
        return text.lower() in _TRUE

    def takes(self) -> str:
        """Say both words."""
        return "true or false"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the values of an enumeration."""

    of: type[Enum]

    def from_toml(self, value: object) -> Enum:
        """Read a TOML string."""
        return self.from_text(_string(value, self.takes()))

    def from_text(self, text: str) -> Enum:
        """Read the word, in any case."""
        words = {str(member.value): member for member in self.of}
        if text.lower() not in words:
            close = nearest(text, words)
            raise UnusableError(f"{shown(text)} is no choice", f"use {close or self.takes()}")
        return words[text.lower()]

    def takes(self) -> str:
        """List the words."""
        return ", ".join(str(member.value) for member in self.of)


@dataclass(frozen=True, slots=True)
class DeviceName:
    """The name of a network device of ours."""

    def from_toml(self, value: object) -> str:
        """Read a TOML string."""
        return self.from_text(_string(value, self.takes()))

    def from_text(self, text: str) -> str:
        """Read a name that cannot be mistaken for another device."""
        if not _DEVICE.fullmatch(text) or _NOT_A_TUNNEL.fullmatch(text):
            raise UnusableError(f"{shown(text)} cannot name the tunnel", f"use {self.takes()}, such as wg0")
        return text

    def takes(self) -> str:
        """Say the rule."""
        return "up to 15 of a-z A-Z 0-9 _ = + . -, and no uplink's name (ethN)"


@dataclass(frozen=True, slots=True)
class SocketPath:
    """The path of a unix socket; empty means none, as None."""

    def from_toml(self, value: object) -> PurePosixPath | None:
        """Read a TOML string."""
        return self.from_text(_string(value, self.takes()))

    def from_text(self, text: str) -> PurePosixPath | None:
        """Read an absolute path."""
        if text and (not text.startswith("/") or "\0" in text):
            raise UnusableError(f"{shown(text)} is not an absolute path", f"use {self.takes()}")
        return PurePosixPath(text) if text else None

    def takes(self) -> str:
        """Say the rule."""
        return "an absolute path, or nothing"


@dataclass(frozen=True, slots=True)
class Targets:
    """Whom to probe through the tunnel."""

    def from_toml(self, value: object) -> TargetList:
        """Read a TOML list of strings."""
        if not isinstance(value, list):
            raise UnusableError(f"{shown(str(value))} is not a list", f"write {self.takes()}")
        return self._read([_string(item, self.takes()) for item in value])

    def from_text(self, text: str) -> TargetList:
        """Read a comma-separated list."""
        return self._read(list(words_of(text)))

    def _read(self, words: list[str]) -> TargetList:
        if len(words) > MOST_TARGETS:
            raise UnusableError(f"{len(words)} targets are too many", f"use {MOST_TARGETS} at most")
        return tuple(dict.fromkeys(self._target(word) for word in words))

    def _target(self, word: str) -> ProbeTarget:
        parts = _TARGET.fullmatch(word)
        kinds = {kind.value: kind for kind in ProbeKind}
        if not parts or parts["kind"] not in kinds:
            raise UnusableError(f"{shown(word)} is not a probe target", f"write {self.takes()}")
        return ProbeTarget(kinds[parts["kind"]], unicast(parts["bracketed"] or parts["bare"]))

    def takes(self) -> str:
        """Show one of each."""
        return '"dns://ADDRESS" or "icmp://ADDRESS", in a list'


def _string(value: object, takes: str) -> str:
    if not isinstance(value, str):
        raise UnusableError(f"{shown(str(value))} is not text in quotes", f"write {takes}, in quotes")
    return value
