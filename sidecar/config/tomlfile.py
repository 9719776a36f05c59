"""Reads sidecar.toml into dotted keys, each with the line it stands on."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidecar.config.mistakes import Mistakes, UnusableError, line_of, nearest, shown
from sidecar.config.reading import is_there, read_text
from sidecar.config.settings import BY_KEY, TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_AT_LINE = re.compile(r"\s*\(at (?:line (?P<line>[0-9]+), column [0-9]+|end of document)\)$")
_TABLE = re.compile(r"\s*\[\s*\"?(?P<table>[^\[\]\"]+?)\"?\s*\]")
_PAIR = re.compile(r"\s*\"?(?P<key>[A-Za-z0-9_.-]+)\"?\s*=")


QUOTE = '"'


@dataclass(frozen=True, slots=True)
class Written:
    """One value of the file: what tomllib made of it, and where it stands."""

    place: str
    value: object


def read_toml(path: Path, mistakes: Mistakes) -> Mapping[str, Written]:
    """Return what the file says, by dotted key; nothing if there is no such file."""
    if not is_there(path):
        return {}
    try:
        text = read_text(path)
    except UnusableError as error:
        mistakes.add(str(path), error.got, error.remedy)
        return {}
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # ValueError is more than tomllib's own: Python refuses integers of thousands of digits with a plain one.
        found = _AT_LINE.search(str(error))
        line = int(found["line"]) if found and found["line"] else None
        got = f"this is not TOML: {shown(_AT_LINE.sub('', str(error))).strip(QUOTE)}"
        mistakes.add(line_of(path, line), got, "correct it; the format is at https://toml.io/en/v1.0.0")
        return {}
    return _flat(document, _Places(path, text), mistakes)


class _Places:
    """Finds the lines of keys again: tomllib does not keep them. A key it cannot find has the file alone."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines: dict[str, int] = {}
        table = ""
        for number, line in enumerate(text.splitlines(), start=1):
            if found := _TABLE.match(line):
                table = found["table"]
                self._lines.setdefault(table, number)
            elif found := _PAIR.match(line):
                key = f"{table}.{found['key']}" if table else found["key"]
                self._lines.setdefault(key, number)

    def of(self, key: str) -> str:
        """Return the words for where `key` stands."""
        return line_of(self._path, self._lines.get(key))


def _flat(document: Mapping[str, object], places: _Places, mistakes: Mistakes) -> Mapping[str, Written]:
    found: dict[str, Written] = {}
    for table, content in document.items():
        if table not in TABLES:
            _unknown_table(table, places.of(table), mistakes)
        elif not isinstance(content, dict):
            mistakes.add(places.of(table), f"{table} is a table", f"write [{table}], and the keys below it")
        else:
            for name, value in content.items():
                key = f"{table}.{name}"
                if key in BY_KEY:
                    found[key] = Written(places.of(key), value)
                else:
                    _unknown_key(key, places.of(key), mistakes)
    return found


def _unknown_table(name: str, place: str, mistakes: Mistakes) -> None:
    """Refuse a name at the top, where there are only tables; it may be a key whose table was forgotten."""
    table, key = nearest(name, TABLES), _nearest_key(name)
    if table:
        remedy = f"write [{table}]"
    elif key:
        right_table, _, right_key = key.partition(".")
        remedy = f"write [{right_table}], and {right_key} below it"
    else:
        remedy = f"remove it; the tables are {', '.join(sorted(TABLES))}"
    mistakes.add(place, f"the key {shown(name)} is unknown", remedy)


def _unknown_key(key: str, place: str, mistakes: Mistakes) -> None:
    close = _nearest_key(key)
    remedy = f"write {close}" if close else "remove it; docs/configuration.md has every key"
    mistakes.add(place, f"the key {shown(key)} is unknown", remedy)


def _nearest_key(written: str) -> str | None:
    """Return the key whose last word is nearest, in whichever table: the table alone makes no two keys alike."""
    by_last_word = {key.rpartition(".")[2]: key for key in BY_KEY}
    close = nearest(written.rpartition(".")[2], by_last_word)
    return by_last_word[close] if close else None
