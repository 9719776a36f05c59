"""Classic BPF instructions, and checks of a frame made of them.

Source: Documentation/networking/filter.rst; the encodings of <linux/filter.h>, <linux/bpf_common.h>.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sidecar.core.model import Address, MacAddress

LOAD = {1: 0x30, 2: 0x28, 4: 0x20}  # BPF_LD | BPF_ABS, by size
JUMP_IF_EQUAL = 0x15
RETURN = 0x06
_LOAD_LENGTH = 0x80  # BPF_LD | BPF_W | BPF_LEN
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP_IF_AT_LEAST = 0x35


class Instruction(NamedTuple):
    """One classic BPF instruction, as `struct sock_filter` has it."""

    code: int
    jump_true: int
    jump_false: int
    operand: int


@dataclass(frozen=True, slots=True)
class Check:
    """Load something, compare it with values; any of them will do."""

    loads: tuple[Instruction, ...]
    values: tuple[int, ...]
    jump: int = JUMP_IF_EQUAL


Shape = tuple[Check, ...]
"""A frame has the shape if every check holds. The first one is of the length: a load beyond the end ends it all."""


def length(length_bytes: int) -> Check:
    """The frame is this long."""
    return Check((Instruction(_LOAD_LENGTH, 0, 0, 0),), (length_bytes,))


def at_least(length_bytes: int) -> Check:
    """The frame is this long, or longer."""
    return Check((Instruction(_LOAD_LENGTH, 0, 0, 0),), (length_bytes,), _JUMP_IF_AT_LEAST)


def field(offset: int, size: int, *values: int, mask: int | None = None) -> Check:
    """The number of `size` bytes at `offset`, under `mask`, is one of `values`."""
    load = Instruction(LOAD[size], 0, 0, offset)
    return Check((load,) if mask is None else (load, Instruction(_AND, 0, 0, mask)), values)


def ethernet(source: MacAddress, destination: MacAddress) -> tuple[Check, ...]:
    """The frame goes from `source` to `destination`."""
    return *_mac(0, destination), *_mac(6, source)


def address(offset: int, value: Address) -> tuple[Check, ...]:
    """At `offset` stands `address`."""
    words = struct.iter_unpack("!I", value.packed)
    return tuple(field(offset + 4 * index, 4, word) for index, (word,) in enumerate(words))


def _mac(offset: int, value: MacAddress) -> tuple[Check, Check]:
    octets = bytes.fromhex(value.replace(":", ""))
    high, low = struct.unpack("!IH", octets)
    return field(offset, 4, high), field(offset + 4, 2, low)
