from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar import __version__
from sidecar.cli import build
from sidecar.cli.failures import SECTIONS
from sidecar.errors import ConfigError, LockError

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Invoke = Callable[..., Result]

ROOT = Path(__file__).parents[3]
COMMANDS = sorted(build(lambda: 0).commands)


def test_run_is_what_was_passed_in_and_its_exit_code_counts(invoke: Invoke) -> None:
    assert invoke("run", run=lambda: 70).exit_code == 70
    assert invoke("run", run=lambda: 0).exit_code == 0


def test_an_error_of_ours_is_two_lines_and_its_own_exit_code(invoke: Invoke) -> None:
    def fail() -> int:
        raise LockError(attempted="load the sealed ruleset", got="Operation not\npermitted", remedy="add NET_ADMIN")

    result = invoke("run", run=fail)
    assert result.stderr == "sidecar: load the sealed ruleset: Operation not permitted\n  → add NET_ADMIN\n"
    assert (result.exit_code, result.stdout) == (69, "")


def test_every_mistake_of_a_configuration_is_told(invoke: Invoke) -> None:
    def fail() -> int:
        first = ConfigError(attempted="read a.conf line 1", got="no key", remedy="add one")
        first.also = (ConfigError(attempted="read b.conf line 2", got="port 0", remedy="use 1 to 65535"),)
        raise first

    result = invoke("run", run=fail)
    assert result.stderr.splitlines() == [
        "sidecar: read a.conf line 1: no key",
        "  → add one",
        "sidecar: read b.conf line 2: port 0",
        "  → use 1 to 65535",
    ]
    assert result.exit_code == 64


def test_the_help_lists_every_command_in_a_section_and_every_exit_code(invoke: Invoke) -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    assert sorted(name for names in SECTIONS.values() for name in names) == COMMANDS
    for name in COMMANDS:
        assert f"\n  {name} " in result.stdout
    for code in ("64", "69", "70", "75"):
        assert code in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_has_an_example(name: str, invoke: Invoke) -> None:
    text = invoke(name, "-h").stdout
    assert "  Example:\n    " in text
    assert name in text.partition("Example:")[2]


def test_what_is_typed_wrong_ends_with_2_and_a_hint(invoke: Invoke) -> None:
    for arguments in (["swich", "x"], ["switch"], ["status", "--jsn"], ["completion", "tcsh"], ["events", "-n", "x"]):
        result = invoke(*arguments)
        assert result.exit_code == 2, arguments
        assert "Usage:" in result.stderr
        assert "Traceback" not in result.output


def test_the_version_is_the_projects(invoke: Invoke) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert __version__ == project["version"]
    assert invoke("--version").stdout == f"sidecar, version {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_one_that_its_shell_accepts(shell: str, invoke: Invoke) -> None:
    result = invoke("completion", shell)
    assert result.exit_code == 0
    assert "_SIDECAR_COMPLETE" in result.stdout
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=result.stdout, text=True, check=True, timeout=20)


@pytest.mark.parametrize("arguments", [["status"], ["events"], ["converge"], ["--help"], ["healthcheck"]])
def test_what_people_type_loads_none_of_the_heavy_libraries(arguments: list[str], tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from sidecar.cli import build
from sidecar.drivers.control.paths import RuntimePaths
try:
    build(lambda: 0, RuntimePaths(Path(sys.argv.pop(1))))(prog_name="sidecar")
finally:
    print("LOADED", *sorted(sys.modules))
"""
    command = [sys.executable, "-c", program, str(tmp_path), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    loaded = done.stdout.partition("LOADED ")[2].split()
    assert "click" in loaded
    assert not {"scapy", "pyroute2", "docker", "loguru", "tenacity", "requests", "asyncio"} & set(loaded)
