"""How a mistake is found, told and kept: what was read, what is wrong with it, and what to write instead."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from sidecar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_KEYLIKE_RUN = re.compile(r"[A-Za-z0-9+/=]{20,}")
_SHOWN_CHARACTERS = 60


class UnusableError(Exception):
    """A value that cannot be used, before anyone knows where it was written; never leaves this package.

    Args:
        got: what is wrong with the value; must not contain a secret.
        remedy: what to write instead, an imperative clause.
    """

    def __init__(self, got: str, remedy: str) -> None:
        self.got = got
        self.remedy = remedy
        super().__init__(got)


class Mistakes:
    """Collects every mistake of one reading, so that an operator can correct them all at once."""

    def __init__(self) -> None:
        self._found: list[ConfigError] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, where: str, got: str, remedy: str) -> None:
        """Keep one mistake; `where` names the file and line, or the variable."""
        self._found.append(ConfigError(attempted=f"read {where}", got=got, remedy=remedy))

    def extend(self, mistakes: Mistakes) -> None:
        """Keep the mistakes of another reading after these."""
        self._found.extend(mistakes._found)

    def raise_if_any(self) -> None:
        """Raise the first mistake, which carries the others.

        Raises:
            ConfigError: if anything was added.
        """
        if self._found:
            first, *rest = self._found
            first.also = tuple(rest)
            raise first


def line_of(path: Path | str, line: int | None) -> str:
    """Return the words that name a place in a file; a mistake of the whole file has no line."""
    return str(path) if line is None else f"{path} line {line}"


def shown(text: str) -> str:
    """Return `text` fit for a message: in quotes, short, printable, and with whatever might be a key left out.

    A key can end up in any field by a slip of the clipboard, so every value that a message repeats goes through here.
    """
    printable = "".join(character if character.isprintable() else "?" for character in text)
    hidden = _KEYLIKE_RUN.sub("…", printable)
    return f'"{hidden}"' if len(hidden) <= _SHOWN_CHARACTERS else f'"{hidden[:_SHOWN_CHARACTERS]}…"'


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the one of `words` that `word` was most likely meant to be, ignoring case; None if nothing is close."""
    by_lower = {candidate.lower(): candidate for candidate in words}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None
