"""Accounting against a small world in which every frame's way is known."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.account import Ledger, audit
from sidecar.core.model import LeakStatus
from sidecar.core.sights import Account


@dataclass
class Device:
    """Counts as the kernel does. What is accepted is in flight, until it is sent, dropped, or vanishes uncounted."""

    accepted: int = 0
    in_flight: int = 0
    transmitted: int = 0
    dropped: int = 0
    leaked: int = 0
    vanished: int = 0

    def accept(self, frames: int) -> None:
        self.accepted += frames
        self.in_flight += frames

    def send(self, frames: int) -> None:
        sent = min(frames, self.in_flight)
        self.in_flight -= sent
        self.transmitted += sent

    def drop(self, frames: int) -> None:
        dropped = min(frames, self.in_flight)
        self.in_flight -= dropped
        self.dropped += dropped

    def leak(self, frames: int) -> None:
        self.leaked += frames
        self.transmitted += frames

    def leak_and_drop(self, frames: int) -> None:
        self.leaked += frames
        self.dropped += frames

    def vanish(self, frames: int) -> None:
        vanished = min(frames, self.in_flight)
        self.in_flight -= vanished
        self.vanished += vanished


few = st.integers(0, 5)
harmless = st.tuples(st.sampled_from(["accept", "send", "drop"]), few)
with_losses = harmless | st.tuples(st.just("vanish"), few)
anything = harmless | st.tuples(st.sampled_from(["leak", "leak_and_drop"]), few)


def history(moves: st.SearchStrategy[tuple[str, int]]) -> st.SearchStrategy[list[tuple[object, ...]]]:
    """Make cycles: what happens between readings, and in the middle of one, before and after the device's side.

    Of any three readings in a row one finds nothing in flight: what makes a balance settled.
    """
    some = st.lists(moves, max_size=6)
    return st.lists(st.tuples(some, some, some, st.booleans()), max_size=12)


def play(device: Device, moves: object) -> None:
    for name, frames in moves:  # type: ignore[attr-defined]
        getattr(device, name)(frames)


class Observer:
    def __init__(self) -> None:
        self.device = Device()
        self.ledgers: tuple[Ledger, ...] = ()
        self.busy = 0
        self.read((), ())

    def read(self, before: object, after: object) -> LeakStatus:
        """Take a reading that is torn apart by what happens meanwhile."""
        accepted_before = self.device.accepted
        play(self.device, before)
        transmitted, dropped = self.device.transmitted, self.device.dropped
        self.in_flight, self.leaked = self.device.in_flight, self.device.leaked
        play(self.device, after)
        account = Account("eth0", 2, 1, accepted_before, self.device.accepted, transmitted, dropped, is_exact=True)
        self.is_still = account.accepted_before == account.accepted_after
        self.ledgers, ((finding),) = audit(self.ledgers, (account,), ("eth0",))
        self.frames = finding.frames
        return finding.status

    def cycle(self, step: tuple[object, ...]) -> LeakStatus:
        between, before, after, quiet = step
        play(self.device, between)
        self.busy = 0 if quiet else self.busy + 1
        if self.busy >= 2:
            quiet, self.busy = True, 0
        if quiet:
            self.device.send(self.device.in_flight)
            before = after = ()
        return self.read(before, after)


@given(history(with_losses))
def test_without_a_leak_none_is_ever_found(steps: list[tuple[object, ...]]) -> None:
    observer = Observer()
    for step in steps:
        assert observer.cycle(step) is not LeakStatus.LEAKING


@given(history(anything))
def test_what_is_found_has_happened_and_is_never_more_than_has_happened(steps: list[tuple[object, ...]]) -> None:
    observer = Observer()
    for step in steps:
        if observer.cycle(step) is LeakStatus.LEAKING:
            assert observer.frames is not None
            assert 0 < observer.frames <= observer.device.leaked


@given(history(anything), st.integers(1, 5))
def test_a_single_quiet_reading_after_a_leak_finds_all_of_it(steps: list[tuple[object, ...]], frames: int) -> None:
    observer = Observer()
    for step in steps:
        observer.cycle(step)
    observer.device.leak(frames)
    assert observer.cycle(((), (), (), True)) is LeakStatus.LEAKING
    assert observer.frames == observer.device.leaked


@given(history(anything))
def test_clean_is_never_said_over_a_leak_unless_as_many_frames_were_in_flight(steps: list[tuple[object, ...]]) -> None:
    observer = Observer()
    for step in steps:
        if observer.cycle(step) is LeakStatus.CLEAN:
            assert observer.is_still
            assert observer.leaked <= observer.in_flight


@given(history(with_losses))
def test_frames_that_vanish_never_go_unmentioned(steps: list[tuple[object, ...]]) -> None:
    observer = Observer()
    for step in steps:
        vanished = observer.device.vanished
        status = observer.cycle(step)
        if observer.device.vanished > vanished:
            assert status is not LeakStatus.CLEAN
