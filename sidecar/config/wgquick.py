"""Reads a wg-quick `.conf` file into `Fields`: lines, sections and keys, not yet their values.

Accepts what wg-quick(8) accepts, but says so where wg-quick would take the last of two values, or run a command.

Source: wg(8) "CONFIGURATION FILE FORMAT"; wg-quick(8) "CONFIGURATION"; wireguard-tools, src/config.c.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sidecar.config.draft import Entry, Fields
from sidecar.config.mistakes import Mistakes, line_of, nearest, shown

if TYPE_CHECKING:
    from pathlib import Path

SECTIONS: dict[str, tuple[str, ...]] = {
    "Interface": ("PrivateKey", "Address", "DNS", "MTU"),
    "Peer": ("PublicKey", "PresharedKey", "Endpoint", "AllowedIPs", "PersistentKeepalive"),
}

NOT_HONOURED: dict[str, str] = {
    "ListenPort": "has no effect: the sidecar draws its source ports itself",
    "FwMark": "has no effect: the sidecar draws its mark itself",
    "Table": "has no effect: the sidecar makes its routes itself",
    "PreUp": "is never run",
    "PostUp": "is never run",
    "PreDown": "is never run",
    "PostDown": "is never run",
    "SaveConfig": "has no effect: the sidecar never writes this file",
}
"""Keys of [Interface] that wg-quick knows and a killswitch must not obey."""

_KEY_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,23}")
"""Short enough that a key pasted on a line of its own is not taken for a name, and so is never repeated."""

_SECTION_OF = {key: section for section, keys in SECTIONS.items() for key in keys} | dict.fromkeys(
    NOT_HONOURED, "Interface"
)
_BY_LOWER = {key.lower(): key for key in _SECTION_OF}


def parse(text: str, path: Path, mistakes: Mistakes, warnings: list[str]) -> Fields | None:
    """Read the text of the file at `path`; None if it has a mistake, which is then in `mistakes`."""
    parser = _Parser(path, warnings)
    for number, line in enumerate(_lines(text), start=1):
        parser.take(number, line)
    parser.finish()
    mistakes.extend(parser.mistakes)
    return None if parser.mistakes else parser.fields()


def _lines(text: str) -> list[str]:
    """Split at the line ends of Unix, Windows and old Macs, as editors count lines; nothing else ends one."""
    return re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff"))


class _Parser:
    def __init__(self, path: Path, warnings: list[str]) -> None:
        self.mistakes = Mistakes()
        self._path = path
        self._warnings = warnings
        self._section: str | None = None
        self._skipping = False
        self._section_lines: dict[str, int] = {}
        self._entries: dict[str, list[Entry]] = {}

    def fields(self) -> Fields:
        titles = {key: key for keys in SECTIONS.values() for key in keys}
        entries = {key: tuple(found) for key, found in self._entries.items()}
        return Fields(self._path.stem, str(self._path), titles, entries)

    def take(self, number: int, line: str) -> None:
        content = line.partition("#")[0].strip()
        if not content:
            return
        if content.startswith("["):
            self._open_section(number, content)
        elif not self._skipping:
            self._take_pair(number, content)

    def finish(self) -> None:
        """Say what is missing as a whole; once something is wrong, a missing section is likely its consequence."""
        for section, keys in SECTIONS.items():
            if section not in self._section_lines and not self.mistakes:
                remedy = f"add a line [{section}] and the keys {', '.join(keys)}"
                self.mistakes.add(str(self._path), f"there is no [{section}] section", remedy)

    def _open_section(self, number: int, content: str) -> None:
        name = content.strip("[]").strip()
        section = next((known for known in SECTIONS if known.lower() == name.lower()), None)
        self._section, self._skipping = section, False
        if section is None or not content.endswith("]"):
            self._skipping = True
            self._add(number, f"{shown(content)} is no section", "use [Interface] and [Peer]")
        elif section in self._section_lines:
            self._skipping = True
            got = f"a second [{section}] section, after line {self._section_lines[section]}"
            remedy = "keep one server a file; for a backup, write a second file"
            self._add(number, got, remedy if section == "Peer" else "keep one of them")
        else:
            self._section_lines[section] = number

    def _take_pair(self, number: int, content: str) -> None:
        written, equals, value = (part.strip() for part in content.partition("="))
        key = _BY_LOWER.get(written.lower())
        if not equals or (key is None and (not value.strip("=") or not _KEY_NAME.fullmatch(written))):
            # Not repeated: this may be a key on a line of its own.
            self._add(number, "this line is not `Key = value`", "write one key and its value a line; comments need a #")
        elif key is None:
            close = nearest(written, _BY_LOWER.values())
            remedy = f"write {close}" if close else "remove the line"
            self._add(number, f"the key {written} is unknown", remedy)
        elif self._section is None:
            self._add(number, f"{key} stands before any section", f"put [{_SECTION_OF[key]}] above it")
        elif _SECTION_OF[key] != self._section:
            self._add(number, f"{key} stands in [{self._section}]", f"move it to [{_SECTION_OF[key]}]")
        elif key in NOT_HONOURED:
            self._warnings.append(f"{line_of(self._path, number)}: {key} {NOT_HONOURED[key]}")
        elif not value:
            self._add(number, f"{key} has no value", "write the value, or remove the line")
        else:
            self._entries.setdefault(key, []).append(Entry(line_of(self._path, number), value))

    def _add(self, number: int, got: str, remedy: str) -> None:
        self.mistakes.add(line_of(self._path, number), got, remedy)
