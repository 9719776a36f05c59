"""The shape of nft's own listing, written by us: a table is a list of blocks, a block a list of lines."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sidecar.core.model import Address


def table(family: str, name: str, blocks: Iterable[str]) -> str:
    """Return a table of these blocks."""
    return f"table {family} {name} {{\n" + "\n\n".join(blocks) + "\n}\n"


def counter(name: str) -> str:
    """Return a named counter. Declaring one that exists leaves its value as it is."""
    return _block(f"counter {name}", ["packets 0 bytes 0"])


def named_set(name: str, kind: str, elements: Sequence[str]) -> str:
    """Return a named set of at least one element; `kind` is the type of its key."""
    return _block(f"set {name}", [f"type {kind}", f"elements = {{ {', '.join(elements)} }}"])


def chain(name: str, hook: str, priority: str, rules: Iterable[str]) -> str:
    """Return a base chain that drops what no rule accepts. `hook` names the device too, in the netdev family."""
    return _block(f"chain {name}", [f"type filter hook {hook} priority {priority}; policy drop;", *rules])


def drop_counted(name: str) -> str:
    """Return a rule's ending that counts and drops."""
    return f'counter name "{name}" drop'


def accept_counted(name: str) -> str:
    """Return a rule's ending that counts and accepts."""
    return f'counter name "{name}" accept'


def raw(base: str, at_byte: int, value: bytes) -> str:
    """Return a comparison of the bytes that begin `at_byte` after the start of `base`, as nft lists it.

    Args:
        base: "ll" for the link header, "nh" for the network header.
        at_byte: offset, in bytes.
        value: at most 16 bytes, which is what one comparison in the kernel holds.

    Source: nft(8), "raw payload expression"; NFT_DATA_VALUE_MAXLEN in <linux/netfilter/nf_tables.h>.
    """
    return f"@{base},{at_byte * 8},{len(value) * 8} {int.from_bytes(value, 'big'):#x}"


def exact_packet(packet: bytes) -> str:
    """Return comparisons that pin every byte of `packet`, which begins with the network header.

    Eight bytes first, so that the pieces meet the bounds of fields in ARP and in IPv6.
    """
    cuts = [0, 8, *range(24, len(packet), 16), len(packet)]
    return " ".join(raw("nh", start, packet[start:end]) for start, end in pairwise(cuts))


def family_of(address: Address) -> str:
    """Return nft's keyword for the address's header fields."""
    return "ip" if address.version == 4 else "ip6"  # noqa: PLR2004 - the protocol's number


def _block(head: str, lines: Iterable[str]) -> str:
    return f"\t{head} {{\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}"
