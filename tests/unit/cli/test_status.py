from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.cli.status_document import parse
from sidecar.cli.status_text import render
from sidecar.errors import ControlError
from tests.unit.cli.documents import BY_NAME, HEALTHY, variant

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from sidecar.drivers.control.paths import RuntimePaths

    Invoke = Callable[..., Result]
    Publish = Callable[..., None]

GOLDEN = Path(__file__).parent / "golden"
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("name", BY_NAME)
def test_each_way_in_which_things_can_stand_has_its_text(name: str, invoke: Invoke, publish: Publish) -> None:
    publish(BY_NAME[name])
    result = invoke("status")
    assert result.stdout == (GOLDEN / f"{name}.txt").read_text()
    assert result.stderr == ""
    assert result.exit_code == (0 if BY_NAME[name]["healthy"] else 1)


@pytest.mark.parametrize("name", ["up", "halted"])
def test_what_a_silent_watchdog_said_last_is_shown_as_such(name: str, invoke: Invoke, publish: Publish) -> None:
    publish(BY_NAME[name], age_s=754.5)
    result = invoke("status")
    assert result.stdout == (GOLDEN / f"silent-{name}.txt").read_text()
    assert result.exit_code == 69


def test_a_document_from_another_boot_is_not_believed(invoke: Invoke, publish: Publish) -> None:
    publish(HEALTHY, age_s=-3600)
    result = invoke("status")
    assert "of another boot" in result.stdout
    assert result.exit_code == 69


def test_without_a_document_it_says_where_to_run_it(invoke: Invoke) -> None:
    result = invoke("status")
    assert result.stdout == ""
    assert re.fullmatch(
        r"sidecar: read the status: .*does not exist.*\n  → run this inside the sidecar.*\n", result.stderr
    )
    assert result.exit_code == 69


def test_no_line_of_a_healthy_status_is_coloured_as_trouble_and_every_trouble_is(
    invoke: Invoke, publish: Publish
) -> None:
    for name, document in BY_NAME.items():
        publish(document)
        text = invoke("status", color=True).stdout
        assert ESCAPE.sub("", text) == (GOLDEN / f"{name}.txt").read_text()
        assert ("\x1b[31m" in text) is not document["healthy"], name
        assert ("\x1b[32mhealthy" in text) is document["healthy"], name


def test_no_color_is_heeded_on_a_terminal(invoke: Invoke, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(HEALTHY)
    assert "\x1b[" in invoke("status", color=True).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in invoke("status", color=True).stdout


def test_a_script_gets_the_document_as_it_is(invoke: Invoke, publish: Publish, paths: RuntimePaths) -> None:
    publish(BY_NAME["degraded"])
    result = invoke("status", "--json", color=True)
    assert json.loads(result.stdout) == json.loads(paths.status.read_text())
    assert result.exit_code == 1


def test_a_script_is_not_told_that_a_silent_watchdog_is_healthy(invoke: Invoke, publish: Publish) -> None:
    publish(HEALTHY, age_s=60)
    result = invoke("status", "--json")
    document = json.loads(result.stdout)
    assert document["healthy"] is False
    assert "last heartbeat" in document["reasons"][0]
    assert result.exit_code == 69


def test_names_cannot_speak_to_the_terminal(invoke: Invoke, publish: Publish) -> None:
    publish(variant(sentence="a\x1b[2Jb\nc", endpoint={**HEALTHY["endpoint"], "name": "\x1b]0;x\x07name"}))
    text = invoke("status").stdout
    assert "\x1b" not in text
    assert "\x07" not in text
    assert text.startswith("● a [2Jb c\n")


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("width", [40, 60, 80])
def test_on_a_narrow_terminal_lines_are_wrapped_and_no_word_is_lost(name: str, width: int) -> None:
    status = parse(BY_NAME[name])
    whole, wrapped = (ESCAPE.sub("", render(status, 1.5, None, columns)) for columns in (None, width))
    assert wrapped.split() == whole.split()
    facts = wrapped.split("\n")[2:]
    longest_word = max(len(word) for word in whole.split())
    assert max(len(line) for line in facts) <= max(width, 12 + longest_word)


@pytest.mark.parametrize(("key", "value"), [
    ("phase", None),
    ("healthy", 1),
    ("reasons", "none"),
    ("reasons", [1]),
    ("endpoint", {"name": "a"}),
    ("endpoint", {**HEALTHY["endpoint"], "address": "nowhere"}),
    ("endpoint", {**HEALTHY["endpoint"], "port": -1}),
    ("lock", None),
    ("lock", {"status": "intact", "detail": "", "blocked": [["egress"]]}),
    ("lock", {"status": "intact", "detail": "", "blocked": 3}),
    ("bad_cycles", 1.5),
    ("bad_cycles", True),
    ("config", {"fault": 3, "warnings": [], "endpoints": []}),
])  # fmt: skip
def test_a_document_with_a_field_of_another_form_is_an_error_that_names_it(
    key: str, value: object, invoke: Invoke, publish: Publish
) -> None:
    publish(variant(**{key: value}))
    result = invoke("status")
    assert result.stdout == ""
    assert f"read the status document: {key}" in result.stderr
    assert "restart the container" in result.stderr
    assert result.exit_code == 69


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(key=st.sampled_from(sorted(HEALTHY)), value=JSON)
def test_any_document_is_shown_or_refused(key: str, value: Any) -> None:
    try:
        status = parse(variant(**{key: value}))
    except ControlError:
        return
    assert render(status, 1.0, None, 80)
    assert render(status, 1.0, "silent", None)


def test_the_health_check_as_a_command_says_the_same_as_the_file_alone(invoke: Invoke, publish: Publish) -> None:
    publish(HEALTHY)
    result = invoke("healthcheck")
    assert (result.exit_code, result.stdout) == (0, HEALTHY["sentence"] + "\n")
    publish(BY_NAME["degraded"])
    result = invoke("healthcheck")
    assert result.exit_code == 1
    assert result.stdout.startswith("unhealthy: 10-primary does not answer")
