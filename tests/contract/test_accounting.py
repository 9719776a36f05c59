"""The port `Accounting`, on the fake and on the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from sidecar.core.account import audit
from sidecar.core.model import LeakStatus
from tests.fakes.accounting import FakeAccounting
from tests.netns import accounted, xdp_attack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.core.account import Ledger
    from sidecar.core.sights import Account
    from sidecar.ports import Accounting
    from tests.netns.world import World


class Stage(Protocol):
    """A counted eth0. `send` passes the lock, `leak` goes round it."""

    accounting: Accounting

    def send(self, frames: int) -> None: ...

    def leak(self, frames: int) -> None: ...

    def replace_device(self) -> None: ...

    def restart_ruleset(self) -> None: ...


class FakeStage:
    def __init__(self) -> None:
        self.accounting = self._fake = FakeAccounting()
        self._fake.add_device("eth0")

    def send(self, frames: int) -> None:
        self._fake.send("eth0", frames)

    def leak(self, frames: int) -> None:
        self._fake.leak("eth0", frames)

    def replace_device(self) -> None:
        self._fake.add_device("eth0")

    def restart_ruleset(self) -> None:
        self._fake.restart_ruleset()


class KernelStage:
    """In a namespace of its own; the test's thread is in it. What leaks does so by AF_XDP."""

    def __init__(self, world: World) -> None:
        self.accounting = accounted.accounting()
        self.namespace = world.namespace("counted")
        self._make_device()
        self.namespace.nft(accounted.rules("eth0"))

    def send(self, frames: int) -> None:
        accounted.send(frames)

    def leak(self, frames: int) -> None:
        report = xdp_attack.attack("eth0", 0, 0, frames=frames, marker=b"leak", seconds=5.0)
        assert report["taken"] == frames

    def replace_device(self) -> None:
        self.namespace.ip("link", "del", "eth0")
        self._make_device()
        self.restart_ruleset()

    def restart_ruleset(self) -> None:
        self.namespace.nft(f"delete table netdev {accounted.TABLE}\n{accounted.rules('eth0')}")

    def _make_device(self) -> None:
        # Nothing of the kernel's own accord: no IPv6, and a neighbour that needs no asking.
        self.namespace.ip("link", "add", "eth0", "type", "veth", "peer", "name", "far0")
        for device in ("eth0", "far0"):
            self.namespace.sysctl(f"net/ipv6/conf/{device}/disable_ipv6", "1")
            self.namespace.ip("link", "set", device, "up")
        self.namespace.ip("address", "add", "10.77.0.2/24", "dev", "eth0")
        self.namespace.ip("neighbour", "add", "10.77.0.1", "lladdr", "02:00:00:00:00:01", "dev", "eth0")


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.netns)])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    if request.param == "fake":
        yield FakeStage()
        return
    stage = KernelStage(request.getfixturevalue("world"))
    with stage.namespace.entered():
        yield stage


def _read(stage: Stage) -> Account:
    (account,) = stage.accounting.read(("eth0",))
    return account


def test_what_passes_the_lock_is_counted_on_both_sides(stage: Stage) -> None:
    before = _read(stage)
    stage.send(10)
    after = _read(stage)
    assert before.is_exact
    assert before.accepted_before == before.accepted_after
    assert after.accepted_before - before.accepted_before == 10
    assert after.transmitted - before.transmitted == 10
    assert after.dropped == before.dropped


def test_what_goes_round_the_lock_is_counted_on_one_side_alone(stage: Stage) -> None:
    before = _read(stage)
    stage.leak(3)
    after = _read(stage)
    assert after.accepted_after == before.accepted_before
    assert after.transmitted - before.transmitted == 3


def test_index_and_ruleset_stay_the_same_as_long_as_device_and_table_do(stage: Stage) -> None:
    before = _read(stage)
    stage.send(1)
    after = _read(stage)
    assert (after.index, after.ruleset) == (before.index, before.ruleset)


def test_another_table_is_another_ruleset_that_counts_from_nothing(stage: Stage) -> None:
    stage.send(5)
    before = _read(stage)
    stage.restart_ruleset()
    after = _read(stage)
    assert after.ruleset != before.ruleset
    assert (after.accepted_before, after.index) == (0, before.index)


def test_another_device_is_another_index(stage: Stage) -> None:
    before = _read(stage)
    stage.replace_device()
    assert _read(stage).index != before.index


def test_a_device_that_is_not_there_is_left_out_and_one_asked_for_twice_is_read_once(stage: Stage) -> None:
    assert [account.device for account in stage.accounting.read(("eth7", "eth0", "eth0"))] == ["eth0"]


def test_a_single_frame_round_the_lock_is_found_and_ordinary_traffic_is_not(stage: Stage) -> None:
    ledgers: tuple[Ledger, ...] = ()

    def look() -> LeakStatus:
        nonlocal ledgers
        ledgers, (finding,) = audit(ledgers, stage.accounting.read(("eth0",)), ("eth0",))
        return finding.status

    assert look() is LeakStatus.CLEAN
    stage.send(100)
    assert look() is LeakStatus.CLEAN
    stage.leak(1)
    assert look() is LeakStatus.LEAKING
    stage.send(100)
    assert look() is LeakStatus.LEAKING
