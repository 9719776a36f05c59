"""What tells the ruleset in the kernel from the intended one, in words."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from sidecar.drivers.nftables.flows import LISTEN_PORTS
from sidecar.drivers.nftables.listing import ELIDED, without_marks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sidecar.drivers.nftables.listing import Block, Table

_ELEMENTS = re.compile(r"elements = \{.*")
_ITEMS_SHOWN = 6
_LONGEST_LINE = 160


def difference(wanted: Mapping[str, Table], found: Mapping[str, Table], name: str) -> str:
    """Return one line on what is missing from `found` and what is there without being wanted; empty where they agree.

    Args:
        wanted: tables by family.
        found: tables by family.
        name: what the tables are called.
    """
    items = list(_items(wanted, found, name))
    more = [f"and {len(items) - _ITEMS_SHOWN} more"] if len(items) > _ITEMS_SHOWN else []
    return without_marks("; ".join([*items[:_ITEMS_SHOWN], *more]))


def _items(wanted: Mapping[str, Table], found: Mapping[str, Table], name: str) -> Iterator[str]:
    for family in sorted({*wanted, *found}):
        if family not in found:
            yield f"missing: table {family} {name}"
        elif family not in wanted:
            yield f"unexpected: table {family} {name}"
        else:
            yield from _in_table(family, wanted[family], found[family])


def _in_table(family: str, wanted: Table, found: Table) -> Iterator[str]:
    yield from _in_lines(f"table {family}", wanted.properties, found.properties)
    for block in sorted({*wanted.blocks, *found.blocks}):
        yield from _in_block(family, block, wanted.blocks.get(block), found.blocks.get(block))


def _in_block(
    family: str, block: Block, wanted: tuple[str, ...] | None, found: tuple[str, ...] | None
) -> Iterator[str]:
    place = f"{family} {block.kind} {block.name}"
    if wanted is None:
        yield f"unexpected: {place}"
    elif found is None:
        yield f"missing: {place}"
    else:
        for item in _in_lines(place, wanted, found):
            yield _ELEMENTS.sub(f"elements = {{ {ELIDED} }}", item) if block.name == LISTEN_PORTS else item


def _in_lines(place: str, wanted: tuple[str, ...], found: tuple[str, ...]) -> Iterator[str]:
    missing, unexpected = Counter(wanted) - Counter(found), Counter(found) - Counter(wanted)
    yield from (f"missing: {place}: {line}" for line in _clipped(missing.elements()))
    yield from (f"unexpected: {place}: {line}" for line in _clipped(unexpected.elements()))
    if wanted != found and not missing and not unexpected:
        yield f"out of order: {place}"


def _clipped(lines: Iterable[str]) -> Iterator[str]:
    return (line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…" for line in lines)
