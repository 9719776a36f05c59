from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from sidecar.core.sights import Latch, Persisted
from sidecar.drivers.state import JsonStateStore
from sidecar.ports import Loaded
from tests.fakes.state_store import FakeStateStore

if TYPE_CHECKING:
    from pathlib import Path

    from sidecar.ports import StateStore

FIRST = Persisted("10-primary", "ab" * 32, 0, None, (("eth0", ip_address("10.77.0.1")),))
SECOND = Persisted("20-backup", "cd" * 32, 2, None, (("eth0", ip_address("2001:db8::1")),))
HALTED = Persisted("20-backup", "cd" * 32, 2, Latch("a frame left eth0", "IPv4 10.77.0.2 > 203.0.113.9"))


@pytest.fixture(params=["fake", "json"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StateStore:
    return FakeStateStore() if request.param == "fake" else JsonStateStore(tmp_path)


def test_a_first_start_finds_nothing_and_no_damage(store: StateStore) -> None:
    assert store.load() == Loaded(None, None)


@pytest.mark.parametrize("persisted", [FIRST, SECOND, HALTED], ids=["first", "second", "halted"])
def test_what_was_saved_is_loaded(store: StateStore, persisted: Persisted) -> None:
    store.save(persisted)
    assert store.load() == Loaded(persisted, None)


def test_the_newest_state_is_loaded(store: StateStore) -> None:
    for persisted in (FIRST, HALTED, SECOND):
        store.save(persisted)
        assert store.load() == Loaded(persisted, None)


def test_loading_changes_nothing(store: StateStore) -> None:
    store.save(HALTED)
    assert store.load() == store.load()
