"""Bad input: `check` names file, line and remedy; `run` stays, sealed and unhealthy, until the files are right."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from integration.harness import engine
from integration.harness.upstream import Upstream
from integration.harness.waiting import wait_until
from integration.mistakes import MISTAKES, Mistake

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from integration.harness.stack import Stack

EXIT_CONFIG = 64
IN_FILES = [mistake for mistake in MISTAKES if not mistake.environment and not mistake.toml]


def named(mistakes: list[Mistake]) -> list[object]:
    return [pytest.param(mistake, id=mistake.name.replace(" ", "-")) for mistake in mistakes]


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack]) -> Stack:
    """The module's stack, up: its files are good."""
    made = make_stack("workload", "unlocked")
    made.wait_for("up", "10-primary")
    return made


@pytest.fixture(scope="module")
def good(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the stack's good endpoint files."""
    return shutil.copytree(stack.endpoints, tmp_path_factory.mktemp("good") / "endpoints")


def check(configuration: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `sidecar check` in a container of its own, on a whole /etc/sidecar."""
    variables = [word for name, value in environment.items() for word in ("-e", f"{name}={value}")]
    labels = ("--label", f"{engine.LABEL}={engine.run_id()}")
    mounts = ("-v", f"{configuration}:/etc/sidecar:ro", "--entrypoint", "sidecar")
    command = [engine.binary(), "run", "--rm", "--network", "none", *labels, *mounts, *variables]
    command += ["--cap-add", "NET_ADMIN", "--device", "/dev/net/tun", engine.IMAGE, "check"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("mistake", named(MISTAKES))
def test_check_names_the_place_and_the_remedy(mistake: Mistake, good: Path, tmp_path: Path) -> None:
    mistake.spoil(shutil.copytree(good, tmp_path / "endpoints"))
    if mistake.toml:
        (tmp_path / "sidecar.toml").write_text(mistake.toml)
    done = check(tmp_path, mistake.environment)
    assert done.returncode == EXIT_CONFIG, done.stdout + done.stderr
    for words in mistake.said:
        assert words in done.stdout + done.stderr


def test_check_accepts_the_same_files_without_the_mistake(good: Path, tmp_path: Path) -> None:
    shutil.copytree(good, tmp_path / "endpoints")
    done = check(tmp_path, {})
    assert done.returncode != EXIT_CONFIG, done.stdout + done.stderr


def restart_with(stack: Stack, files: Path) -> None:
    """Give a stopped sidecar other files, and start it."""
    container = stack.container("vpn")
    container.kill()
    wait_until(lambda: stack.container("vpn").status == "exited", 20, "the sidecar to be down")
    for path in stack.endpoints.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(files, stack.endpoints, dirs_exist_ok=True)
    container.start()


@pytest.mark.parametrize("mistake", named(IN_FILES))
def test_run_stays_sealed_and_says_it_everywhere(mistake: Mistake, stack: Stack, good: Path, tmp_path: Path) -> None:
    bad = shutil.copytree(good, tmp_path / "endpoints")
    mistake.spoil(bad)
    with Upstream(stack) as upstream:
        restart_with(stack, bad)
        document = stack.wait_for("sealed")
        code, health = stack.sidecar("healthcheck")
        assert code == 1
        for place, text in (
            ("status", document["config"]["fault"]),
            ("health", health),
            ("log", stack.container("vpn").logs(tail=40).decode()),
        ):
            for words in mistake.said:
                assert words in text, f"not in the {place}: {words}"
        assert stack.container("vpn").status == "running"
        assert upstream.leaks([stack.interface()]) == []


def spoiled(stack: Stack, good: Path, tmp_path: Path) -> None:
    bad = shutil.copytree(good, tmp_path / "endpoints")
    (bad / "10-primary.conf").write_text("[Interface]\n")
    restart_with(stack, bad)
    stack.wait_for("sealed")


def test_a_corrected_file_is_taken_by_itself(stack: Stack, good: Path, tmp_path: Path) -> None:
    spoiled(stack, good, tmp_path)
    shutil.copy(good / "10-primary.conf", stack.endpoints)
    stack.wait_for("up", "10-primary")
    stack.rejoin("workload")
    assert stack.leaves_by() == "primary"


def test_a_corrected_file_is_taken_at_converge(stack: Stack, good: Path, tmp_path: Path) -> None:
    spoiled(stack, good, tmp_path)
    code, output = stack.sidecar("converge")
    assert code == EXIT_CONFIG, output
    assert "10-primary.conf" in output
    shutil.copy(good / "10-primary.conf", stack.endpoints)
    code, output = stack.sidecar("converge")
    assert code == 0, output
    stack.wait_for("up", "10-primary")
