"""What nft prints, read back: blocks of lines that can be held against other blocks, counters apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sidecar.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ELIDED = "…"
_BLOCK_HEAD = re.compile(r"\t(?P<kind>[a-z]+(?: [a-z]+)?) (?P<name>\S+) \{(?: #.*)?")
_COUNT = re.compile(r"packets (?P<packets>\d+) bytes (?P<bytes>\d+)")
_PORTS = re.compile(r"(?P<head>set listen_ports \{\n[^}]*?elements = \{)[^}]*\}")
_MARK = re.compile(r"\bmark (?P<operator>[!<>=]* ?)(?:0x[0-9a-fA-F]+|\d+)")


class Count(NamedTuple):
    """What a counter holds."""

    packets: int
    octets: int


class Block(NamedTuple):
    """What a part of a table is called, such as ("chain", "output")."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table as nft lists it, without what changes by itself.

    Attributes:
        properties: flags and comment; none in a table of ours.
        blocks: the lines of every chain, set, counter and whatever else is in the table, white space and the order of
            set elements made even. The values of counters are left out.
    """

    properties: tuple[str, ...]
    blocks: Mapping[Block, tuple[str, ...]]
    counts: Mapping[str, Count]


def tables(listing: str, name: str) -> dict[str, Table]:
    """Return the tables called `name` in `listing`, by family.

    Raises:
        LockError: the text is not a listing.
    """
    return {family: _table(lines) for family, lines in _sections(listing, name)}


def redacted(listing: str, name: str) -> str:
    """Return the text of the tables called `name` as nft printed it, without marks and our source ports."""
    texts = ("\n".join(lines) + "\n" for _, lines in _sections(listing, name))
    return "".join(_PORTS.sub(rf"\g<head> {ELIDED} }}", without_marks(text)) for text in texts)


def without_marks(text: str) -> str:
    """Return `text` with every number that a packet mark is compared with left out. `meta mark set 0` stays."""
    return _MARK.sub(rf"mark \g<operator>{ELIDED}", text)


def _sections(listing: str, name: str) -> Iterator[tuple[str, list[str]]]:
    lines = iter(listing.splitlines())
    head = re.compile(rf"table (?P<family>[a-z0-9]+) {re.escape(name)} \{{(?: #.*)?")
    for line in lines:
        if match := head.fullmatch(line):
            yield match["family"], [line, *_until(lines, "}")]


def _until(lines: Iterator[str], end: str) -> Iterator[str]:
    for line in lines:
        yield line
        if line == end:
            return
    raise LockError(
        attempted="read the ruleset back",
        got=f"nft's listing breaks off before {end!r}",
        remedy="print it with `nft list ruleset` and look for what is odd in it",
    )


def _table(section: list[str]) -> Table:
    properties: list[str] = []
    blocks: dict[Block, tuple[str, ...]] = {}
    counts: dict[str, Count] = {}
    lines = iter(section[1:-1])
    for line in lines:
        if match := _BLOCK_HEAD.fullmatch(line):
            block = Block(match["kind"], match["name"])
            body = list(_statements(list(_until(lines, "\t}"))[:-1]))
            if block.kind == "counter":
                counts[block.name], body = _count(body)
            blocks[block] = tuple(body)
        elif line.strip():
            properties.append(" ".join(line.split()))
    return Table(tuple(properties), blocks, counts)


def _statements(lines: Iterable[str]) -> Iterator[str]:
    """Yield the statements of a block, a set's elements in one, sorted."""
    remaining = iter(lines)
    for line in remaining:
        statement = " ".join(line.split())
        while statement.startswith("elements = {") and not statement.endswith("}"):
            following = next(remaining, None)
            statement += " }" if following is None else " " + " ".join(following.split())
        yield _sorted_elements(statement) if statement.startswith("elements = {") else statement


def _sorted_elements(statement: str) -> str:
    elements = statement.removeprefix("elements = {").removesuffix("}").split(",")
    return f"elements = {{ {', '.join(sorted(element.strip() for element in elements))} }}"


def _count(body: list[str]) -> tuple[Count, list[str]]:
    values = [match for statement in body if (match := _COUNT.fullmatch(statement))]
    rest = [statement for statement in body if not _COUNT.fullmatch(statement)]
    return (Count(int(values[0]["packets"]), int(values[0]["bytes"])) if values else Count(0, 0)), rest
