from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sidecar.drivers.capture.burst import DISTINCT_FRAMES, WINDOW_S, Burst
from sidecar.drivers.capture.frames import parse

if TYPE_CHECKING:
    from sidecar.core.sights import Frame


def frame(number: int) -> Frame:
    return parse("eth0", bytes(12) + b"\x88\xb5" + struct.pack("!I", number), 18 + number)


def test_the_same_frame_is_reported_once_a_window() -> None:
    burst = Burst()
    assert [burst.admits(frame(1), at_s) for at_s in (0.0, 0.5, WINDOW_S, WINDOW_S + 0.5)] == [True, False, True, False]


def test_a_flood_of_one_frame_does_not_hide_another() -> None:
    burst = Burst()
    for _ in range(10 * DISTINCT_FRAMES):
        burst.admits(frame(1), 0.0)
    assert burst.admits(frame(2), 0.1)


def test_a_flood_of_different_frames_is_cut_off_until_the_next_window() -> None:
    burst = Burst()
    admitted = sum(burst.admits(frame(number), 0.0) for number in range(10 * DISTINCT_FRAMES))
    assert admitted == DISTINCT_FRAMES
    assert not burst.admits(frame(100_000), WINDOW_S / 2)
    assert burst.admits(frame(100_000), WINDOW_S)


def udp(data: bytes) -> Frame:
    header = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(data), 1, 0, 64, 17, 0) + bytes([10, 77, 0, 2, 203, 0, 113, 9])
    whole = bytes(12) + b"\x08\x00" + header + struct.pack("!HHHH", 5, 53, 8 + len(data), 0) + data
    return parse("eth0", whole, len(whole))


def test_frames_of_one_flow_are_one_whatever_they_carry_so_that_they_cannot_hide_another() -> None:
    burst = Burst()
    assert [burst.admits(udp(b"x" * length), 0.0) for length in range(3)] == [True, False, False]
    assert burst.admits(frame(1), 0.0)


def test_frames_without_ports_that_differ_in_one_byte_are_two() -> None:
    burst = Burst()
    permitted, forged = (bytes(12) + b"\x08\x06" + bytes(27) + end for end in (b"\x01", b"\x02"))
    assert [burst.admits(parse("eth0", data, 42), 0.0) for data in (permitted, forged)] == [True, True]
