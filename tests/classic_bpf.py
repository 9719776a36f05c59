"""An interpreter of the classic BPF that the taps' filters are written in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.drivers.capture.instructions import Instruction

OUTGOING = 4


def run(code: Sequence[Instruction], frame: bytes, packet_type: int = OUTGOING, *, tagged: bool = False) -> int:
    """Interpret as the kernel does; a load beyond the frame ends with 0."""
    accumulator, position = 0, 0
    while True:
        operation, jump_true, jump_false, operand = code[position]
        position += 1
        if operation == 0x06:
            return operand
        if operation == 0x15:
            position += jump_true if accumulator == operand else jump_false
        elif operation == 0x35:
            position += jump_true if accumulator >= operand else jump_false
        elif operation == 0x54:
            accumulator &= operand
        elif operation == 0x80:
            accumulator = len(frame)
        elif operation == 0x20 and operand >= 0xFFFFF000:
            accumulator = {4: packet_type, 48: int(tagged)}[operand - 0xFFFFF000]
        else:
            size = {0x20: 4, 0x28: 2, 0x30: 1}[operation]
            if operand + size > len(frame):
                return 0
            accumulator = int.from_bytes(frame[operand : operand + size], "big")
