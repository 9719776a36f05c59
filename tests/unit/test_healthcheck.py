from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar import healthcheck
from sidecar.core import report
from sidecar.drivers.control.paths import RuntimePaths

SCRIPT = Path(healthcheck.__file__)
NOW_S = 5000.0


def document(**changes: Any) -> dict[str, Any]:
    healthy = {
        "version": 1,
        "healthy": True,
        "reasons": [],
        "heartbeat_boottime_s": NOW_S - 1,
        "cycle_s": 2.0,
        "sentence": "Through 10-primary for 4 min, locked.",
    }
    return {**healthy, **changes}


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in document().items() if name != key}


def judge(tmp_path: Path, content: object) -> tuple[bool, str]:
    path = tmp_path / "status.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return healthcheck.judge(str(path), NOW_S)


def test_a_fresh_healthy_document_is_healthy_and_its_sentence_is_the_line(tmp_path: Path) -> None:
    assert judge(tmp_path, document()) == (True, "Through 10-primary for 4 min, locked.")


def test_the_reasons_are_the_line_of_an_unhealthy_document(tmp_path: Path) -> None:
    unhealthy = document(healthy=False, reasons=["no live tap on eth0", "10-primary does not answer"])
    assert judge(tmp_path, unhealthy) == (False, "unhealthy: no live tap on eth0; 10-primary does not answer")


def test_an_unhealthy_document_without_reasons_shows_its_sentence(tmp_path: Path) -> None:
    assert judge(tmp_path, document(healthy=False, sentence="Sealed.")) == (False, "unhealthy: Sealed.")


@pytest.mark.parametrize("value", [1, "true", "yes", None, [True], 1.0])
def test_only_the_word_true_means_healthy(tmp_path: Path, value: object) -> None:
    assert judge(tmp_path, document(healthy=value))[0] is False


def test_a_document_that_says_healthy_and_why_not_is_unhealthy(tmp_path: Path) -> None:
    assert judge(tmp_path, document(reasons=["halted"])) == (False, "unhealthy: halted")


@pytest.mark.parametrize(("age_s", "cycle_s", "fresh"), [
    (4.9, 0.5, True),
    (5.1, 0.5, False),
    (5.9, 2.0, True),
    (6.1, 2.0, False),
    (29.9, 10.0, True),
    (30.1, 10.0, False),
    (-0.9, 2.0, True),
    (-1.1, 2.0, False),
    (-1e9, 2.0, False),
])  # fmt: skip
def test_a_heartbeat_is_fresh_for_three_cycles_or_five_seconds(
    tmp_path: Path, age_s: float, cycle_s: float, *, fresh: bool
) -> None:
    healthy, line = judge(tmp_path, document(heartbeat_boottime_s=NOW_S - age_s, cycle_s=cycle_s))
    assert healthy is fresh
    assert fresh or "heartbeat" in line


@pytest.mark.parametrize("cycle_s", [0, -2, 301, 1e300, True, "2", None])
def test_a_cycle_that_nobody_can_have_set_is_not_believed(tmp_path: Path, cycle_s: object) -> None:
    healthy, line = judge(tmp_path, document(cycle_s=cycle_s))
    assert not healthy
    assert "cycle" in line


@pytest.mark.parametrize("version", [0, 2, "1", None, True, 1.0])
def test_another_version_is_not_believed(tmp_path: Path, version: object) -> None:
    healthy, line = judge(tmp_path, document(version=version))
    assert not healthy
    assert "version" in line


@pytest.mark.parametrize("key", sorted(document()))
def test_a_document_without_any_one_of_its_fields_is_unhealthy(tmp_path: Path, key: str) -> None:
    assert judge(tmp_path, without(key))[0] is False


@pytest.mark.parametrize("content", [
    b"",
    b"null",
    b"[]",
    b"\xff\xfe\x00",
    b'{"version": 1, "healthy": true, "reas',
    b"[" * 100_000,
    b"9" * 10_000,
    b" " * (healthcheck.MAXIMUM_BYTES + 1),
    json.dumps(document()).replace("4999.0", "NaN").encode(),
    json.dumps(document()).replace("4999.0", "-Infinity").encode(),
    json.dumps(document()).replace("4999.0", "1e999").encode(),
    json.dumps(document()).replace("4999.0", "1" + "0" * 400).encode(),
])  # fmt: skip
def test_whatever_is_no_document_is_unhealthy_with_one_line(tmp_path: Path, content: bytes) -> None:
    healthy, line = judge(tmp_path, content)
    assert not healthy
    assert line.startswith("unhealthy: ")


@settings(deadline=None)
@given(content=st.binary(max_size=200))
def test_no_bytes_at_all_make_it_healthy_or_make_it_raise(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    assert judge(tmp_path_factory.mktemp("garbage"), content)[0] is False


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(key=st.sampled_from(sorted(document())), value=JSON)
def test_no_value_of_any_field_makes_it_raise_and_the_line_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    _, line = judge(tmp_path_factory.mktemp("fields"), document(**{key: value}))
    assert line.isprintable()
    assert 0 < len(line) <= 1000


@settings(deadline=None)
@given(cut=st.integers(min_value=0, max_value=len(json.dumps(document())) - 1))
def test_a_truncated_document_is_never_healthy(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    whole = json.dumps(document()).encode()
    assert judge(tmp_path_factory.mktemp("cut"), whole[:cut])[0] is False


def test_what_a_terminal_would_obey_is_taken_out_of_the_line(tmp_path: Path) -> None:
    line = judge(tmp_path, document(healthy=False, reasons=["\x1b[2Jcleared\nsecond line\r"]))[1]
    assert line == "unhealthy: [2Jcleared second line"


def test_a_missing_file_is_unhealthy_and_says_what_to_look_at(tmp_path: Path) -> None:
    healthy, line = healthcheck.judge(str(tmp_path / "none.json"), NOW_S)
    assert not healthy
    assert "does not exist" in line
    assert "log" in line


def test_a_directory_in_its_place_is_unhealthy(tmp_path: Path) -> None:
    assert healthcheck.judge(str(tmp_path), NOW_S)[0] is False


# --- the process that Docker starts ---------------------------------------------------------------------------------


def run(path: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(path)]
    return subprocess.run(command, capture_output=True, timeout=30, check=False, env=environment)


def now(**changes: Any) -> bytes:
    return json.dumps(document(heartbeat_boottime_s=time.clock_gettime(time.CLOCK_BOOTTIME), **changes)).encode()


def test_the_process_exits_with_0_and_prints_the_sentence(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(now())
    done = run(path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Through 10-primary for 4 min, locked.\n", b"")


def test_the_process_exits_with_1_and_prints_the_reasons(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(now(healthy=False, reasons=["halted: a frame left"]))
    done = run(path)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"unhealthy: halted: a frame left\n", b"")


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"version": 1}'])
def test_the_process_exits_with_1_on_what_it_cannot_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "status.json"
    if content is not None:
        path.write_bytes(content)
    done = run(path)
    assert done.returncode == 1
    assert done.stdout.startswith(b"unhealthy: ")
    assert done.stderr == b""


def test_the_process_can_say_any_character_under_the_plainest_locale(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(now(sentence="Through Zürich → \ud800, locked."))
    done = run(path, LC_ALL="C")
    assert done.returncode == 0
    assert done.stdout == "Through Zürich → , locked.\n".encode()


def test_it_needs_nothing_but_the_standard_library() -> None:
    listing = f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}); print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", listing], capture_output=True, text=True, timeout=30, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded <= sys.stdlib_module_names | {"__main__"}


def test_what_it_writes_down_a_second_time_is_the_same_as_elsewhere() -> None:
    assert RuntimePaths().status == Path(healthcheck.STATUS_PATH)
    assert report.VERSION == healthcheck.STATUS_VERSION
    assert report.FRESH_CYCLES == healthcheck.STALE_CYCLES
