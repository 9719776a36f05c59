"""The port `Lock`, on the fake and on the kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import pytest

from sidecar.core.killswitch import sealed
from sidecar.core.sights import LockStatus
from sidecar.drivers.nftables import NftablesLock
from sidecar.errors import LockError
from tests import policies
from tests.fakes.lock import NOT_PERMITTED, FakeLock
from tests.netns.world import End, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.ports import Lock

FOREIGN_RULE = 'oifname "eth0" accept'


class Stage(Protocol):
    lock: Lock

    def flush(self) -> None: ...
    def add_foreign_rule(self) -> None: ...
    def lose_the_right(self) -> None: ...


class FakeStage:
    def __init__(self) -> None:
        self._fake = FakeLock()
        self.lock: Lock = self._fake

    def flush(self) -> None:
        self._fake.flush()

    def add_foreign_rule(self) -> None:
        self._fake.add_foreign_rule(FOREIGN_RULE)

    def lose_the_right(self) -> None:
        self._fake.failing = NOT_PERMITTED


class KernelStage:
    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lock: Lock = NftablesLock()
        self.inside = world.namespace("inside")
        world.veth(End(self.inside, "eth0"), End(world.namespace("router"), "down0"))
        self._monkeypatch = monkeypatch

    def flush(self) -> None:
        self.inside.run(["nft", "flush", "ruleset"])

    def add_foreign_rule(self) -> None:
        self.inside.nft(f"insert rule inet sidecar output {FOREIGN_RULE}")

    def lose_the_right(self) -> None:
        """Stand where a process without CAP_NET_ADMIN stands: the library's own refusal, without dropping ours."""

        def refuse(commands: str, attempted: str) -> str:
            raise LockError(attempted=attempted, got=f"Operation not permitted: {commands[:12]}", remedy="NET_ADMIN")

        self._monkeypatch.setattr("sidecar.drivers.nftables.libnftables.run", refuse)


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.netns)])
def stage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    if request.param == "fake":
        yield FakeStage()
        return
    with World() as world:
        made = KernelStage(world, monkeypatch)
        with made.inside.entered():
            yield made


def test_a_policy_that_was_never_applied_is_not_in_force(stage: Stage) -> None:
    sight = stage.lock.inspect(policies.SEALED)
    assert sight.status is LockStatus.CHANGED
    assert "missing: table inet sidecar" in sight.difference


def test_an_applied_policy_is_in_force_and_no_other(stage: Stage) -> None:
    stage.lock.apply(policies.GATEWAY)
    assert stage.lock.inspect(policies.GATEWAY).status is LockStatus.INTACT
    assert stage.lock.inspect(policies.GATEWAY).difference == ""
    for other in (policies.SEALED, policies.UNRESOLVED, policies.ON_LINK, replace(policies.GATEWAY, fwmark=1)):
        assert stage.lock.inspect(other).status is LockStatus.CHANGED


def test_applying_twice_changes_nothing(stage: Stage) -> None:
    stage.lock.apply(policies.GATEWAY)
    stage.lock.apply(policies.GATEWAY)
    assert stage.lock.inspect(policies.GATEWAY).status is LockStatus.INTACT


def test_every_policy_can_follow_every_other(stage: Stage) -> None:
    every = [policy for policy in policies.EVERY.values() if policy.devices == ("eth0",)]
    for before in every:
        for after in every:
            stage.lock.apply(before)
            stage.lock.apply(after)
            assert stage.lock.inspect(after).status is LockStatus.INTACT


def test_a_flushed_ruleset_is_told_and_put_back(stage: Stage) -> None:
    stage.lock.apply(policies.GATEWAY)
    stage.flush()
    assert stage.lock.inspect(policies.GATEWAY).status is LockStatus.CHANGED
    stage.lock.apply(policies.GATEWAY)
    assert stage.lock.inspect(policies.GATEWAY).status is LockStatus.INTACT


def test_a_foreign_rule_in_our_table_is_told_and_replaced(stage: Stage) -> None:
    stage.lock.apply(policies.GATEWAY)
    stage.add_foreign_rule()
    sight = stage.lock.inspect(policies.GATEWAY)
    assert sight.status is LockStatus.CHANGED
    assert FOREIGN_RULE in sight.difference
    stage.lock.apply(policies.GATEWAY)
    assert stage.lock.inspect(policies.GATEWAY).status is LockStatus.INTACT


def test_what_cannot_be_read_is_unreadable_with_the_reason_and_never_intact(stage: Stage) -> None:
    stage.lock.apply(policies.SEALED)
    stage.lose_the_right()
    sight = stage.lock.inspect(policies.SEALED)
    assert sight.status is LockStatus.UNREADABLE
    assert "Operation not permitted" in sight.difference
    for refused in (lambda: stage.lock.apply(policies.SEALED), stage.lock.listing):
        with pytest.raises(LockError, match="Operation not permitted"):
            refused()


def test_a_listing_shows_what_is_in_force_but_not_the_mark(stage: Stage) -> None:
    stage.lock.apply(policies.GATEWAY)
    shown = stage.lock.listing().lower()
    assert "eth0" in shown
    assert "badcafe" not in shown
    assert str(policies.FWMARK) not in shown


def test_no_sight_shows_the_mark(stage: Stage) -> None:
    stage.lock.apply(replace(policies.GATEWAY, fwmark=policies.FWMARK + 1))
    sight = stage.lock.inspect(policies.GATEWAY)
    assert sight.status is LockStatus.CHANGED
    assert "badca" not in sight.difference.lower()


def test_a_policy_that_cannot_be_loaded_leaves_the_old_one_in_force(stage: Stage) -> None:
    stage.lock.apply(policies.GATEWAY)
    with pytest.raises(LockError):
        stage.lock.apply(sealed(["eth0", 'no"device']))
    assert stage.lock.inspect(policies.GATEWAY).status is LockStatus.INTACT
