"""The lock, the taps' filters and the judge must permit the same frames of ARP and neighbour discovery.

Where the lock permits more than the judge, the kernel's own question halts everything; where it permits less, the
next hop is lost; where the filter hides more than either, a leak is not seen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sidecar.core import leak
from sidecar.core.frames import resolution_frames
from sidecar.drivers.capture.bpf import program
from sidecar.drivers.capture.frames import parse
from sidecar.drivers.nftables.render import render
from tests import policies
from tests.classic_bpf import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sidecar.core.killswitch import Policy

    Permits = Callable[[str, bytes], bool]

EXPECTED_FRAMES = {"sealed": 0, "unresolved": 1, "gateway": 5, "on_link": 6, "two_uplinks": 8, "ipv6": 10}


def lock_of(policy: Policy) -> Permits:
    """Return the egress rules as a function, by reading what the renderer wrote."""
    text = render(policy)
    rules = {device: rules_of(text, device) for device in policy.devices}

    def permits(device: str, frame: bytes) -> bool:
        return any(matches(rule, frame) for rule in rules.get(device, ()))

    return permits


def rules_of(text: str, device: str) -> list[str]:
    body = re.search(
        rf"\tchain egress_{device.replace('-', '_2d').replace('.', '_2e')} {{\n(.*?)\n\t}}", text, re.DOTALL
    )
    assert body
    # Whoever asks for the mark asks for a flow; the frames here carry none.
    return [line for line in body[1].splitlines() if " accept" in line and "meta mark" not in line]


def matches(rule: str, frame: bytes) -> bool:
    length = re.search(r"meta length (\d+) ", rule)
    compared = re.findall(r"@(ll|nh),(\d+),(\d+) (0x[0-9a-f]+)", rule)
    assert length
    assert compared
    if len(frame) != int(length[1]):
        return False
    for base, at_bit, bits, value in compared:
        start = (14 if base == "nh" else 0) + int(at_bit) // 8
        if int.from_bytes(frame[start : start + int(bits) // 8], "big") != int(value, 16):
            return False
    return True


def filter_of(policy: Policy) -> Permits:
    code = {device: program(policy, device) for device in policy.devices}
    return lambda device, frame: run(code[device], frame) == 0


def judge_of(policy: Policy) -> Permits:
    return lambda device, frame: leak.permitted(parse(device, frame, len(frame)), (policy,))


def permitted(policy: Policy) -> set[tuple[str, bytes]]:
    return {
        (resolution.device, exact.frame)
        for resolution in policy.resolutions
        for exact in resolution_frames(resolution, policy.flows)
    }


def near_misses(frame: bytes) -> Iterator[bytes]:
    for at in range(len(frame)):
        for difference in (0x01, 0x20, 0xFF):
            yield frame[:at] + bytes((frame[at] ^ difference,)) + frame[at + 1 :]
    yield frame[:-1]
    yield frame + b"\0"


@pytest.mark.parametrize("name", policies.EVERY)
@pytest.mark.parametrize("view", [lock_of, filter_of, judge_of])
def test_every_resolution_frame_of_the_policy_is_permitted(view: Callable[[Policy], Permits], name: str) -> None:
    permits, allowed = view(policies.EVERY[name]), permitted(policies.EVERY[name])
    assert len(allowed) == EXPECTED_FRAMES[name]
    for device, frame in allowed:
        assert permits(device, frame), frame.hex(" ")


@pytest.mark.parametrize("name", [name for name, count in EXPECTED_FRAMES.items() if count])
@pytest.mark.parametrize("view", [lock_of, filter_of, judge_of])
def test_a_resolution_frame_with_one_byte_wrong_missing_or_added_is_not(
    view: Callable[[Policy], Permits], name: str
) -> None:
    permits, allowed = view(policies.EVERY[name]), permitted(policies.EVERY[name])
    for device, frame in allowed:
        for wrong in near_misses(frame):
            if (device, wrong) not in allowed:
                assert not permits(device, wrong), wrong.hex(" ")


@pytest.mark.parametrize("view", [lock_of, filter_of, judge_of])
def test_the_frames_of_one_uplink_may_not_leave_by_another(view: Callable[[Policy], Permits]) -> None:
    policy, permits = policies.TWO_UPLINKS, view(policies.TWO_UPLINKS)
    for device, frame in permitted(policy):
        (other,) = set(policy.devices) - {device}
        assert not permits(other, frame)
