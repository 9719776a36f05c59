"""The kernel filter of a tap: outgoing frames, without those that the policy permits.

Written by hand in classic BPF, and not by libpcap's compiler, for one reason above all: a load beyond the frame's end
ends a program with 0, which means "not wanted". `not (udp and dst port 51820)` from a compiler therefore hides every
frame too short to have a port. Here each shape asks for the length first, and what fits no shape is delivered.

Permitted ARP and neighbour discovery are left out as well as the flows: a workload may send them by the thousand, and
the queue they would fill is the one that a leak must pass.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sidecar.drivers.capture.instructions import JUMP_IF_EQUAL, LOAD, RETURN, Instruction
from sidecar.drivers.capture.shapes import permitted
from sidecar.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.core.killswitch import Policy
    from sidecar.drivers.capture.instructions import Shape

MAXIMUM_INSTRUCTIONS = 4096
"""Source: BPF_MAXINSNS in <linux/bpf_common.h>."""
DELIVER_BYTES = 0x40000
"""As the verdict of a filter: pass the frame, this much of it at most."""

_ANCILLARY = 0xFFFFF000  # SKF_AD_OFF
_PACKET_TYPE = _ANCILLARY + 4  # SKF_AD_PKTTYPE
_VLAN_TAG_PRESENT = _ANCILLARY + 48  # SKF_AD_VLAN_TAG_PRESENT: a tag beside the frame, not in its bytes
_PACKET_OUTGOING = 4
_LONGEST_JUMP = 255


def program(policy: Policy, device: str) -> tuple[Instruction, ...]:
    """Return the filter for `device` under `policy`.

    Raises:
        CaptureError: the policy does not fit into a program that the kernel takes.
    """
    code = [
        Instruction(LOAD[4], 0, 0, _PACKET_TYPE),
        Instruction(JUMP_IF_EQUAL, 1, 0, _PACKET_OUTGOING),
        Instruction(RETURN, 0, 0, 0),
        Instruction(LOAD[4], 0, 0, _VLAN_TAG_PRESENT),
        Instruction(JUMP_IF_EQUAL, 1, 0, 0),
        Instruction(RETURN, 0, 0, DELIVER_BYTES),
    ]
    for shape in permitted(policy, device):
        code += _leave_out(shape, device)
    code.append(Instruction(RETURN, 0, 0, DELIVER_BYTES))
    if len(code) > MAXIMUM_INSTRUCTIONS:
        raise _too_large(device, f"{len(code)} instructions, and the kernel takes {MAXIMUM_INSTRUCTIONS}")
    return tuple(code)


def encode(code: Iterable[Instruction]) -> bytes:
    """Return the program as an array of `struct sock_filter`."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _leave_out(shape: Shape, device: str) -> list[Instruction]:
    """Return code that ends with 0 for a frame of this shape, and runs on behind itself for every other."""
    size = sum(len(check.loads) + len(check.values) for check in shape) + 1
    if size > _LONGEST_JUMP:
        raise _too_large(device, f"one permitted flow takes {size} instructions, and a jump spans {_LONGEST_JUMP}")
    code: list[Instruction] = []
    for check in shape:
        code += check.loads
        for remaining, value in zip(reversed(range(len(check.values))), check.values, strict=True):
            otherwise = 0 if remaining else size - len(code) - 1
            code.append(Instruction(check.jump, remaining, otherwise, value))
    code.append(Instruction(RETURN, 0, 0, 0))
    return code


def _too_large(device: str, got: str) -> CaptureError:
    return CaptureError(
        attempted=f"make the capture filter for {device}", got=got, remedy="configure fewer endpoints or source ports"
    )
