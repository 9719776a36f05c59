from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.drivers.control.protocol import Command, Request, Response
from sidecar.drivers.control.server import ControlServer
from sidecar.errors import ConfigError
from tests.unit.cli.documents import HEALTHY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result

    from sidecar.drivers.control.paths import RuntimePaths

    Invoke = Callable[..., Result]

ROOT = Path(__file__).parents[3]
RULESET = 'table inet sidecar {\n\tchain output {\n\t\tcounter packets 3 bytes 180 drop comment "→"\n\t}\n}\n'


class Watchdog:
    """Answers every request with `response`, or raises `error`."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.response = Response(accepted=True, text="now on 10-primary")
        self.error: ConfigError | None = None

    def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return self.response


@pytest.fixture
def watchdog(paths: RuntimePaths) -> Iterator[Watchdog]:
    made = Watchdog()
    server = ControlServer(paths.socket, made)
    yield made
    server.close()


@pytest.mark.parametrize(("arguments", "request_"), [
    (["converge"], Request(Command.CONVERGE)),
    (["switch", "20-backup"], Request(Command.SWITCH, "20-backup")),
    (["unlock"], Request(Command.UNLOCK)),
])  # fmt: skip
def test_each_command_asks_for_what_it_says_and_prints_the_answer(
    arguments: list[str], request_: Request, invoke: Invoke, watchdog: Watchdog
) -> None:
    result = invoke(*arguments)
    assert watchdog.asked == [request_]
    assert (result.exit_code, result.stdout, result.stderr) == (0, "now on 10-primary\n", "")


@pytest.mark.parametrize("arguments", [["converge"], ["switch", "30-none"], ["unlock"], ["killswitch"]])
def test_a_refusal_is_an_error_with_its_reason(arguments: list[str], invoke: Invoke, watchdog: Watchdog) -> None:
    watchdog.response = Response(accepted=False, text="halted; find the cause", exit_code=75)
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (75, "")
    assert result.stderr == f"sidecar: {' '.join(arguments)}: halted; find the cause\n"


def test_a_refusal_that_forgot_its_exit_code_is_still_none(invoke: Invoke, watchdog: Watchdog) -> None:
    watchdog.response = Response(accepted=False, text="no", exit_code=0)
    assert invoke("converge").exit_code == 1


def test_a_mistake_in_the_configuration_ends_with_64_and_its_remedy(invoke: Invoke, watchdog: Watchdog) -> None:
    watchdog.error = ConfigError(attempted="read 10-primary.conf line 3", got="not base64", remedy="copy the key anew")
    result = invoke("converge")
    assert result.exit_code == 64
    assert result.stderr == "sidecar: converge: read 10-primary.conf line 3: not base64\n  → copy the key anew\n"


@pytest.mark.parametrize("arguments", [["converge"], ["switch", "20-backup"], ["unlock"], ["killswitch"]])
def test_without_a_watchdog_each_command_ends_with_69_and_says_where_to_run_it(
    arguments: list[str], invoke: Invoke
) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (69, "")
    assert "No such file" in result.stderr
    assert "  → run this inside the sidecar" in result.stderr


def test_the_answer_cannot_speak_to_the_terminal(invoke: Invoke, watchdog: Watchdog) -> None:
    watchdog.response = Response(accepted=True, text="now on \x1b[2Jx")
    assert "\x1b" not in invoke("converge", color=True).stdout


def ruleset(status: str, difference: str) -> Response:
    data = {"listing": RULESET, "status": status, "difference": difference, "blocked": [["output", 3]]}
    return Response(accepted=True, text=f"the ruleset in force is {status}", data=data)


def test_the_ruleset_is_printed_as_it_is_and_stays_nft_text(invoke: Invoke, watchdog: Watchdog) -> None:
    watchdog.response = ruleset("intact", "")
    result = invoke("killswitch")
    assert (result.exit_code, result.stdout) == (0, "# in force, and as intended\n" + RULESET)


@pytest.mark.parametrize("status", ["changed", "unreadable"])
def test_what_differs_comes_first_and_ends_with_1(status: str, invoke: Invoke, watchdog: Watchdog) -> None:
    watchdog.response = ruleset(status, "chain output\nhas no rule")
    result = invoke("killswitch")
    first, _, rest = result.stdout.partition("\n")
    assert first == f"# in force, but {status}: chain output has no rule"
    assert rest == RULESET
    assert result.exit_code == 1


@pytest.mark.parametrize("data", [None, {}, {"listing": 3, "status": "intact", "difference": ""}, "intact"])
def test_an_answer_without_a_ruleset_is_never_taken_for_an_intact_one(
    data: object, invoke: Invoke, watchdog: Watchdog
) -> None:
    watchdog.response = Response(accepted=True, text="", data=data)
    result = invoke("killswitch")
    assert (result.exit_code, result.stdout) == (1, "")


# --- completion -----------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
from pathlib import Path
from sidecar.cli import build
from sidecar.drivers.control.paths import RuntimePaths
build(lambda: 0, RuntimePaths(Path(sys.argv.pop(1))))()
"""


def complete(paths: RuntimePaths, typed: str) -> list[str]:
    """Ask as bash does; return what it would offer."""
    words = typed.split(" ")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "_SIDECAR_COMPLETE": "bash_complete",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    command = [sys.executable, "-c", PROGRAM, str(paths.directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.usefixtures("publish")
def test_the_shell_offers_the_endpoints_that_there_are(paths: RuntimePaths, publish: Callable[..., None]) -> None:
    publish(HEALTHY)
    assert complete(paths, "sidecar switch ") == ["10-primary", "20-backup"]
    assert complete(paths, "sidecar switch 2") == ["20-backup"]
    assert complete(paths, "sidecar sw") == ["switch"]


def test_the_shell_offers_no_endpoints_where_there_is_no_watchdog(paths: RuntimePaths) -> None:
    assert complete(paths, "sidecar switch ") == []


@pytest.mark.parametrize("config", [None, [], {}, {"endpoints": None}, {"endpoints": [1, {}]}])
def test_the_shell_survives_an_odd_status(config: object, paths: RuntimePaths, publish: Callable[..., None]) -> None:
    publish({**HEALTHY, "config": config})
    assert complete(paths, "sidecar switch ") == []
