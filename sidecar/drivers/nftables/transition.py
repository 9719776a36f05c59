"""The script that turns what is in the kernel into what should be, in one transaction, and leaves counters running.

A counter that exists is not touched by declaring it again, so tables are not deleted and made anew: their rules are
flushed, what does not belong is deleted, and the intended text is added. A chain with the intended hook stays, and
drops by its policy throughout; the kernel changes from the old rules to the new ones between two packets.

Source: nft(8), "Input file formats" (a file is one transaction); the generation mask in nf_tables_api.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.drivers.nftables.listing import Block

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sidecar.drivers.nftables.listing import Table

_KNOWN_KINDS = {"chain", "set", "counter"}


def converging(wanted: Mapping[str, Table], found: Mapping[str, Table], name: str, text: str) -> str:
    """Return the script that keeps the counters' values to the last packet.

    Args:
        wanted: tables by family; the parse of `text`.
        found: tables by family, as just listed.
        name: what the tables are called.
        text: the intended tables.
    """
    lines = [
        line
        for family, table in wanted.items()
        if family in found
        for line in _preparation(f"{family} {name}", table, found[family])
    ]
    return _script(lines, text)


def replacing(wanted: Mapping[str, Table], found: Mapping[str, Table], name: str, text: str) -> str:
    """Return the script that works on anything, at the price of what is counted while it runs."""
    lines: list[str] = []
    for family, table in wanted.items():
        lines += [f"add table {family} {name}", *_replacement(f"{family} {name}", table, found.get(family))]
    return _script(lines, text)


def _script(lines: list[str], text: str) -> str:
    return "".join(f"{line}\n" for line in lines) + text


def _preparation(table: str, wanted: Table, found: Table) -> Iterator[str]:
    if not _is_convertible(wanted, found):
        yield from _replacement(table, wanted, found)
        return
    yield f"flush table {table}"
    for block, lines in found.blocks.items():
        if not _stays(block, lines, wanted.blocks.get(block)):
            yield f"delete {block.kind} {table} {block.name}"


def _stays(block: Block, lines: tuple[str, ...], intended: tuple[str, ...] | None) -> bool:
    """Whether the block can be built upon: a counter of ours, or a base chain on the intended hook.

    A set never is, because adding elements to it would keep the old ones.
    """
    if intended is None or block.kind == "set":
        return False
    return block.kind == "counter" or lines[:1] == intended[:1]


def _is_convertible(wanted: Table, found: Table) -> bool:
    """Whether the table holds nothing but chains, sets and counters, and the counters are plain ones."""
    kinds = {block.kind for block in found.blocks}
    counters_alike = all(
        found.blocks[block] == lines
        for block, lines in wanted.blocks.items()
        if block.kind == "counter" and block in found.blocks
    )
    return found.properties == wanted.properties and kinds <= _KNOWN_KINDS and counters_alike


def _replacement(table: str, wanted: Table, found: Table | None) -> Iterator[str]:
    yield f"delete table {table}"
    counts = found.counts if found is not None else {}
    carried = {name: count for name, count in counts.items() if Block("counter", name) in wanted.blocks}
    if carried:
        yield f"add table {table}"
    for name, (packets, octets) in carried.items():
        yield f"add counter {table} {name} {{ packets {packets} bytes {octets}; }}"
