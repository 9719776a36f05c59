from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scapy.utils import RawPcapReader

from sidecar.core.sights import Latch
from sidecar.drivers.capture.evidence import KEPT_BYTES, KEPT_HALTS, KEPT_S, PcapEvidence
from sidecar.drivers.capture.frames import SNAPSHOT_BYTES
from sidecar.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable

LATCH = Latch("a frame left eth0 outside the tunnel", "IPv4 10.77.0.2:5 > 203.0.113.9:53 UDP, 43 bytes")
FRAME = bytes(12) + b"\x88\xb5" + b"leak"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000.25

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "evidence"


@pytest.fixture
def evidence(directory: Path, clock: Clock) -> PcapEvidence:
    return PcapEvidence(directory, clock)


def frames_beside(text: str) -> list[tuple[bytes, int]]:
    reader = RawPcapReader(str(Path(text).with_suffix(".pcap")))
    with reader:
        return [(data, metadata.wirelen) for data, metadata in reader]


def test_the_frames_are_saved_beside_the_reason(evidence: PcapEvidence, directory: Path) -> None:
    evidence.keep("eth0", FRAME, 1500)
    saved = evidence.save(LATCH)
    assert frames_beside(saved) == [(FRAME, 1500)]
    assert Path(saved).read_text() == (
        f"halted: {LATCH.reason}\nevidence: {LATCH.evidence}\n"
        "2027-01-15T08:00:00Z eth0 EtherType 0x88b5 00:00:00:00:00:00 > 00:00:00:00:00:00, 1500 bytes\n"
    )
    assert Path(saved).name == "halt-20270115T080000.250000Z.txt"
    assert sorted(path.suffix for path in directory.iterdir()) == [".pcap", ".txt"]


def test_nothing_is_for_other_eyes(evidence: PcapEvidence, directory: Path) -> None:
    evidence.keep("eth0", FRAME, 18)
    evidence.save(LATCH)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


def test_a_halt_without_a_frame_has_a_reason_and_no_pcap(evidence: PcapEvidence, directory: Path) -> None:
    saved = evidence.save(LATCH)
    assert [str(path) for path in directory.iterdir()] == [saved]


def test_nothing_is_written_before_a_halt(evidence: PcapEvidence, directory: Path) -> None:
    evidence.keep("eth0", FRAME, 18)
    assert not directory.exists()


def test_the_same_halt_after_a_restart_does_not_push_the_first_evidence_out(
    evidence: PcapEvidence, directory: Path, clock: Clock
) -> None:
    evidence.keep("eth0", FRAME, 18)
    saved = evidence.save(LATCH)
    for _ in range(3 * KEPT_HALTS):
        clock.now_s += 1
        assert PcapEvidence(directory, clock).save(LATCH) == saved
    assert len(list(directory.iterdir())) == 2


def test_another_halt_is_saved_anew_and_without_the_frames_of_the_first(evidence: PcapEvidence, clock: Clock) -> None:
    evidence.keep("eth0", FRAME, 18)
    first = evidence.save(LATCH)
    clock.now_s += 1
    evidence.keep("eth1", FRAME + b"2", 19)
    assert frames_beside(evidence.save(Latch("again", "")))[0] == (FRAME + b"2", 19)
    assert frames_beside(first) == [(FRAME, 18)]


def test_only_the_newest_halts_are_kept(evidence: PcapEvidence, directory: Path, clock: Clock) -> None:
    saved = []
    for number in range(KEPT_HALTS + 3):
        clock.now_s += 1
        evidence.keep("eth0", FRAME, 18)
        saved.append(evidence.save(Latch(f"halt {number}", "")))
    assert sorted(str(path) for path in directory.glob("*.txt")) == saved[3:]
    assert len(list(directory.glob("*.pcap"))) == KEPT_HALTS


def test_memory_and_file_are_bounded_and_the_newest_frames_stay(evidence: PcapEvidence, clock: Clock) -> None:
    for number in range(3 * KEPT_BYTES // SNAPSHOT_BYTES):
        clock.now_s += 0.001
        evidence.keep("eth0", struct.pack("!I", number).ljust(2 * SNAPSHOT_BYTES, b"\0"), 9000)
    saved = evidence.save(LATCH)
    assert Path(saved).with_suffix(".pcap").stat().st_size <= KEPT_BYTES + 24
    data, length = frames_beside(saved)[-1]
    assert (len(data), length) == (SNAPSHOT_BYTES, 9000)
    assert struct.unpack_from("!I", data) == (3 * KEPT_BYTES // SNAPSHOT_BYTES - 1,)


def test_a_frame_from_long_before_explains_no_halt(evidence: PcapEvidence, clock: Clock) -> None:
    evidence.keep("eth0", b"old" + FRAME, 21)
    clock.now_s += KEPT_S + 1
    evidence.keep("eth0", FRAME, 18)
    assert frames_beside(evidence.save(LATCH)) == [(FRAME, 18)]


def test_a_clock_that_was_set_back_loses_no_frame(evidence: PcapEvidence, clock: Clock) -> None:
    evidence.keep("eth0", FRAME, 18)
    clock.now_s -= 3600
    evidence.keep("eth0", FRAME + b"2", 19)
    assert len(frames_beside(evidence.save(LATCH))) == 2


def test_a_directory_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "evidence").write_text("in the way")
    evidence = PcapEvidence(tmp_path / "evidence", clock)
    with pytest.raises(CaptureError, match="free space on the state volume"):
        evidence.save(LATCH)


def full_for(suffix: str) -> Callable[..., int]:
    whole = os.open

    def opened(path: Path, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith(suffix):
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(path, flags, mode)

    return opened


@pytest.mark.parametrize(("full", "written"), [(".pcap", ".txt"), (".txt", ".pcap")])
def test_a_full_disk_costs_one_file_and_the_frames_stay_for_another_try(
    directory: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, full: str, written: str
) -> None:
    evidence = PcapEvidence(directory, clock)
    evidence.keep("eth0", FRAME, 18)
    with monkeypatch.context() as patched:
        patched.setattr("sidecar.drivers.capture.evidence.os.open", full_for(full))
        with pytest.raises(CaptureError, match="No space left on device"):
            evidence.save(LATCH)
    assert [path.suffix for path in directory.iterdir()] == [written]
    clock.now_s += 1
    assert frames_beside(evidence.save(LATCH)) == [(FRAME, 18)]
