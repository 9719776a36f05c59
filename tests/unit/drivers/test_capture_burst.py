from __future__ import annotations

import struct

from sidecar.drivers.capture.burst import DISTINCT_FRAMES, WINDOW_S, Burst
from sidecar.drivers.capture.frames import parse


def frame(number: int) -> object:
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
