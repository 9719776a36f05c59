from __future__ import annotations

import errno
import hashlib
import json
import os
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.sights import Latch, Persisted
from sidecar.drivers.state import JsonStateStore
from sidecar.drivers.state.disk import Disk
from sidecar.drivers.state.document import (
    LARGEST_BYTES,
    Damaged,
    decode_latch,
    decode_state,
    encode_latch,
    encode_state,
)
from sidecar.drivers.state.store import DAMAGED_KEPT
from sidecar.errors import StateError
from sidecar.ports import Loaded

if TYPE_CHECKING:
    from pathlib import Path

LATCH = Latch("a frame left eth0 outside the tunnel", "IPv4 10.77.0.2:5 > 203.0.113.9:53 UDP, 43 bytes")
RUNNING = Persisted("20-backup", "ab" * 32, 2, None, (("eth0", ip_address("10.77.0.1")),))
HALTED = replace(RUNNING, latch=LATCH)

latches = st.builds(Latch, reason=st.text(), evidence=st.text())
states = st.builds(
    Persisted,
    active=st.none() | st.text(),
    list_digest=st.text(),
    bad_cycles=st.integers(min_value=0),
    latch=st.none() | latches,
    gateways=st.lists(st.tuples(st.text(), st.ip_addresses())).map(tuple),
)


def reseal(body: Any, version: Any = 1) -> bytes:
    """Return a document that is wrong in its body alone."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps({"version": version, "sha256": digest, "body": body}).encode()


def body_of(persisted: Persisted) -> dict[str, Any]:
    return json.loads(encode_state(persisted))["body"]


@given(states)
def test_every_state_survives_the_way_there_and_back(persisted: Persisted) -> None:
    assert decode_state(encode_state(persisted)) == persisted


@given(latches)
def test_every_latch_survives_the_way_there_and_back(latch: Latch) -> None:
    assert decode_latch(encode_latch(latch)) == latch


@given(st.binary(max_size=300))
def test_garbage_is_damage_and_nothing_else(data: bytes) -> None:
    for decode in (decode_state, decode_latch):
        with pytest.raises(Damaged):
            decode(data)


@pytest.mark.parametrize("length", range(len(encode_state(HALTED)) - 2))
def test_a_state_cut_off_anywhere_is_damaged(length: int) -> None:
    with pytest.raises(Damaged):
        decode_state(encode_state(HALTED)[:length])


def test_a_byte_changed_anywhere_is_noticed_or_says_the_same() -> None:
    whole = encode_state(HALTED)
    for offset in range(len(whole)):
        for change in (0x01, 0x20, 0x80, 0xFF):
            data = bytearray(whole)
            data[offset] ^= change
            try:
                assert decode_state(bytes(data)) == HALTED, offset
            except Damaged:
                continue


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"active": 3}, "'active' is not str"),
        ({"list_digest": None}, "'list_digest' is not str"),
        ({"bad_cycles": "2"}, "'bad_cycles' is not int"),
        ({"bad_cycles": True}, "'bad_cycles' is not int"),
        ({"bad_cycles": 1.0}, "'bad_cycles' is not int"),
        ({"bad_cycles": -1}, "negative"),
        ({"latch": "yes"}, "'latch' is not dict"),
        ({"latch": {}}, "'reason' is not str"),
        ({"latch": {"reason": "r", "evidence": None}}, "'evidence' is not str"),
        ({"gateways": {}}, "'gateways' is not list"),
        ({"gateways": [["eth0"]]}, "no pair"),
        ({"gateways": [["eth0", 5]]}, "no pair"),
        ({"gateways": [["eth0", "here"]]}, "holds 'here'"),
    ],
)
def test_a_wrong_type_under_a_right_checksum_is_damage(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(Damaged, match=said):
        decode_state(reseal(body_of(RUNNING) | changed))


@pytest.mark.parametrize("body", [None, [], "body", 5])
def test_a_body_of_another_kind_is_damage(body: Any) -> None:
    with pytest.raises(Damaged):
        decode_state(reseal(body))


@pytest.mark.parametrize("version", [0, 2, "1", 1.0, True, None])
def test_another_version_is_damage_that_says_so(version: Any) -> None:
    with pytest.raises(Damaged, match="this program reads version 1"):
        decode_state(reseal(body_of(RUNNING), version))


@pytest.mark.parametrize("data", [b"[" * LARGEST_BYTES, b" " * (LARGEST_BYTES + 1), b"9" * 5000, b'"\\ud800"'])
def test_what_breaks_parsers_is_damage(data: bytes) -> None:
    with pytest.raises(Damaged):
        decode_state(data)


@pytest.fixture
def store(tmp_path: Path) -> JsonStateStore:
    return JsonStateStore(tmp_path)


def test_a_damaged_state_is_set_aside_and_told(store: JsonStateStore, tmp_path: Path) -> None:
    store.save(RUNNING)
    (tmp_path / "state.json").write_text("{")
    loaded = store.load()
    assert loaded.persisted is None
    assert loaded.damage is not None
    assert "state.json is damaged (not JSON" in loaded.damage
    assert loaded.damage.endswith("set aside as state.json.damaged-1")
    assert (tmp_path / "state.json.damaged-1").read_text() == "{"
    assert store.load() == Loaded(None, None)


def test_a_damaged_state_does_not_lose_the_latch(store: JsonStateStore, tmp_path: Path) -> None:
    store.save(HALTED)
    (tmp_path / "state.json").write_bytes(b"\0" * 100)
    assert store.load().persisted == Persisted(active=None, list_digest="", bad_cycles=0, latch=LATCH)


@pytest.mark.parametrize("length", range(0, len(encode_state(HALTED)) - 2, 7))
def test_whatever_is_left_of_the_state_the_latch_is_kept(store: JsonStateStore, tmp_path: Path, length: int) -> None:
    store.save(HALTED)
    os.truncate(tmp_path / "state.json", length)
    persisted = store.load().persisted
    assert persisted is not None
    assert persisted.latch == LATCH


@pytest.mark.parametrize("length", range(len(encode_latch(LATCH)) - 2))
def test_a_damaged_latch_halts_and_says_that_it_cannot_be_excluded(
    store: JsonStateStore, tmp_path: Path, length: int
) -> None:
    store.save(RUNNING)
    (tmp_path / "halted.json").write_bytes(encode_latch(LATCH)[:length])
    loaded = store.load()
    assert loaded.persisted is not None
    assert loaded.persisted.active == RUNNING.active
    assert loaded.persisted.latch is not None
    assert "an earlier halt cannot be excluded" in loaded.persisted.latch.reason
    assert "halted.json is there and cannot be read" in loaded.persisted.latch.reason


def test_a_damaged_latch_file_gives_way_to_the_reason_in_the_state(store: JsonStateStore, tmp_path: Path) -> None:
    store.save(HALTED)
    (tmp_path / "halted.json").write_bytes(b"")
    loaded = store.load()
    assert loaded.persisted == HALTED
    assert loaded.damage is not None


def test_a_latch_in_the_state_alone_halts(store: JsonStateStore, tmp_path: Path) -> None:
    store.save(HALTED)
    (tmp_path / "halted.json").unlink()
    assert store.load().persisted == HALTED


def test_unlocking_a_damaged_latch_removes_it(store: JsonStateStore, tmp_path: Path) -> None:
    (tmp_path / "halted.json").write_bytes(b"garbage")
    store.save(RUNNING)
    assert store.load() == Loaded(RUNNING, None)


def test_damaged_files_do_not_pile_up(store: JsonStateStore, tmp_path: Path) -> None:
    for number in range(3 * DAMAGED_KEPT):
        (tmp_path / "state.json").write_text(f"damage {number}")
        store.load()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"state.json.damaged-{number}" for number in range(1, DAMAGED_KEPT + 1)}
    assert (tmp_path / f"state.json.damaged-{DAMAGED_KEPT}").read_text() == f"damage {3 * DAMAGED_KEPT - 1}"


def test_without_a_directory_nothing_is_halted_and_the_damage_is_told(tmp_path: Path) -> None:
    store = JsonStateStore(tmp_path / "volume")
    loaded = store.load()
    assert loaded.persisted is None
    assert loaded.damage is not None
    assert "mount a volume there" in loaded.damage
    store.save(HALTED)
    assert store.load() == Loaded(HALTED, None)


def test_a_directory_that_cannot_be_read_halts(tmp_path: Path) -> None:
    (tmp_path / "volume").write_text("a file where the directory should be")
    loaded = JsonStateStore(tmp_path / "volume").load()
    assert loaded.persisted is not None
    assert loaded.persisted.latch is not None
    assert "Not a directory" in loaded.persisted.latch.reason
    assert loaded.damage is not None


def test_a_latch_file_that_is_a_directory_halts(store: JsonStateStore, tmp_path: Path) -> None:
    (tmp_path / "halted.json").mkdir()
    persisted = store.load().persisted
    assert persisted is not None
    assert persisted.latch is not None


def test_nothing_is_for_other_eyes(store: JsonStateStore, tmp_path: Path) -> None:
    (tmp_path / "state.json.new").touch(mode=0o644)
    store.save(HALTED)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_volume_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "volume").write_text("")
    with pytest.raises(StateError, match="mount a writable volume"):
        JsonStateStore(tmp_path / "volume").save(RUNNING)


class ReadOnlyVolume(Disk):
    """Refuses every write below one directory."""

    def __init__(self, volume: Path) -> None:
        self._volume = volume

    def create(self, path: Path) -> int:
        if path.parent == self._volume:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return super().create(path)


def test_a_latch_that_the_volume_does_not_take_outlives_the_watchdog_beside_it(tmp_path: Path) -> None:
    volume, beside = tmp_path / "volume", tmp_path / "run"
    JsonStateStore(volume, beside=beside).save(RUNNING)
    with pytest.raises(StateError):
        JsonStateStore(volume, ReadOnlyVolume(volume), beside).save(HALTED)
    assert JsonStateStore(volume).load().persisted == RUNNING, "the control"
    assert JsonStateStore(volume, beside=beside).load().persisted == HALTED
    JsonStateStore(volume, beside=beside).save(RUNNING)
    assert JsonStateStore(volume, beside=beside).load().persisted == RUNNING


def test_a_latch_beside_a_volume_that_is_gone_still_halts(tmp_path: Path) -> None:
    beside = tmp_path / "run"
    JsonStateStore(tmp_path / "volume", beside=beside).save(HALTED)
    loaded = JsonStateStore(tmp_path / "another", beside=beside).load()
    assert loaded.persisted is not None
    assert loaded.persisted.latch == LATCH
    (beside / "halted.json").write_text("{")
    loaded = JsonStateStore(tmp_path / "another", beside=beside).load()
    assert loaded.persisted is not None
    assert loaded.persisted.latch is not None
