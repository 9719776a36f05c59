from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest

from sidecar.core.killswitch import sealed
from sidecar.core.sights import Latch
from sidecar.drivers.capture import PcapEvidence, ScapyCapture
from sidecar.drivers.capture.frames import parse
from sidecar.errors import CaptureError
from tests.fakes.capture import FakeCapture, FakeEvidence
from tests.netns.world import End, Namespace, World
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sidecar.core.sights import Frame
    from sidecar.ports import Capture, Evidence

DEADLINE_S = 5.0
LEAK = bytes.fromhex("020000000001020000000002 88b5") + b"leak".ljust(46, b"\0")


class Bench(Protocol):
    capture: Capture

    def leak(self, device: str) -> None: ...

    def remove(self, device: str) -> None: ...

    def add(self, device: str) -> None: ...


class FakeBench:
    def __init__(self) -> None:
        self.capture = FakeCapture(["eth0", "eth1"])

    def leak(self, device: str) -> None:
        self.capture.emit(parse(device, LEAK, len(LEAK)))

    def remove(self, device: str) -> None:
        self.capture.remove(device)

    def add(self, device: str) -> None:
        self.capture.devices.add(device)


@dataclass
class RealBench:
    capture: ScapyCapture
    world: World
    inside: Namespace
    outside: Namespace

    def leak(self, device: str) -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sending:
            sending.bind((device, 0))
            sending.send(LEAK)

    def remove(self, device: str) -> None:
        self.inside.ip("link", "del", device)

    def add(self, device: str) -> None:
        self.world.veth(End(self.inside, device), End(self.outside, device))


@pytest.fixture(params=["fake", pytest.param("scapy", marks=pytest.mark.netns)])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "fake":
        yield FakeBench()
        return
    with World() as world:
        made = RealBench(
            ScapyCapture(PcapEvidence(tmp_path)), world, world.namespace("inside"), world.namespace("outside")
        )
        for device in ("eth0", "eth1"):
            made.add(device)
        with made.inside.entered():
            yield made
            made.capture.close()


def seen_after(bench: Bench, device: str, seen: list[Frame]) -> Frame:
    """Let frames leave until one of them has been seen anew."""
    before = len(seen)

    def ours() -> list[Frame]:
        bench.leak(device)
        return [frame for frame in seen[before:] if frame.ether_type == 0x88B5]

    return wait_until(ours, DEADLINE_S, f"a frame seen on {device}")[0]


def test_every_device_of_the_policy_is_watched(bench: Bench) -> None:
    seen: list[Frame] = []
    bench.capture.ensure(sealed(["eth0", "eth1"]), seen.append)
    assert bench.capture.watched() == {"eth0", "eth1"}
    for device in ("eth0", "eth1"):
        assert seen_after(bench, device, seen).device == device


def test_asking_again_changes_nothing(bench: Bench) -> None:
    seen: list[Frame] = []
    for _ in range(3):
        bench.capture.ensure(sealed(["eth0"]), seen.append)
    assert bench.capture.watched() == {"eth0"}
    assert seen_after(bench, "eth0", seen).summary.startswith("EtherType 0x88b5")


def test_a_device_that_left_the_policy_is_watched_no_longer(bench: Bench) -> None:
    bench.capture.ensure(sealed(["eth0", "eth1"]), lambda _: None)
    bench.capture.ensure(sealed(["eth1"]), lambda _: None)
    assert bench.capture.watched() == {"eth1"}


def test_the_newest_callback_is_called(bench: Bench) -> None:
    old: list[Frame] = []
    new: list[Frame] = []
    bench.capture.ensure(sealed(["eth0"]), old.append)
    bench.capture.ensure(sealed(["eth0"]), new.append)
    seen_after(bench, "eth0", new)
    assert [frame for frame in old if frame.ether_type == 0x88B5] == []


def test_a_device_that_is_missing_is_an_error_and_costs_the_others_nothing(bench: Bench) -> None:
    seen: list[Frame] = []
    with pytest.raises(CaptureError):
        bench.capture.ensure(sealed(["eth0", "nosuch0"]), seen.append)
    assert bench.capture.watched() == {"eth0"}
    seen_after(bench, "eth0", seen)


def test_a_device_that_goes_is_not_watched_and_one_that_comes_back_is(bench: Bench) -> None:
    seen: list[Frame] = []
    bench.capture.ensure(sealed(["eth0", "eth1"]), seen.append)
    bench.remove("eth0")
    wait_until(lambda: bench.capture.watched() == {"eth1"}, DEADLINE_S, "the tap on a removed device to be dead")
    bench.add("eth0")
    assert bench.capture.watched() == {"eth1"}, "a new device of the old name is another device"
    bench.capture.ensure(sealed(["eth0", "eth1"]), seen.append)
    assert bench.capture.watched() == {"eth0", "eth1"}
    seen_after(bench, "eth0", seen)


def test_after_closing_nothing_is_watched_and_it_can_begin_anew(bench: Bench) -> None:
    seen: list[Frame] = []
    bench.capture.ensure(sealed(["eth0"]), seen.append)
    bench.capture.close()
    bench.capture.close()
    assert bench.capture.watched() == frozenset()
    bench.capture.ensure(sealed(["eth0"]), seen.append)
    seen_after(bench, "eth0", seen)


@pytest.mark.parametrize("kind", ["fake", "pcap"])
def test_evidence_says_where_it_was_put(kind: str, tmp_path: Path) -> None:
    evidence: Evidence = FakeEvidence() if kind == "fake" else PcapEvidence(tmp_path)
    assert evidence.save(Latch("a frame left eth0", "IPv4 10.77.0.2 > 203.0.113.9"))
