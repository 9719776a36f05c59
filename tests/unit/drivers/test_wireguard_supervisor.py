from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.drivers.wireguard_userspace import S6Supervisor
from sidecar.errors import TunnelError

if TYPE_CHECKING:
    from pathlib import Path

SERVICE = "/run/s6/wireguard-go"


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for s6-svc, alone in PATH; it is not there until a test writes it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "s6-svc"


def write(tool: Path, script: str) -> None:
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


def test_starting_wants_the_service_up_and_restarting_kills_it_first(tool: Path, tmp_path: Path) -> None:
    write(tool, f'echo "$@" >>{tmp_path}/log')
    service = tmp_path / "service"
    service.mkdir()
    supervisor = S6Supervisor(service)
    supervisor.start("wg0")
    supervisor.restart("wg0")
    assert (tmp_path / "log").read_text() == f"-u {tmp_path}/service\n-ku {tmp_path}/service\n"


def test_what_s6_says_is_in_the_error(tool: Path, tmp_path: Path) -> None:
    write(tool, "echo 's6-svc: fatal: supervisor not listening' >&2; exit 100")
    with pytest.raises(TunnelError, match="start wireguard-go for wg0: s6-svc: fatal: supervisor not listening; see"):
        S6Supervisor(tmp_path).start("wg0")


def test_a_missing_s6_is_an_error_too(tool: Path, tmp_path: Path) -> None:
    assert not tool.exists()
    with pytest.raises(TunnelError, match="s6-svc"):
        S6Supervisor(tmp_path).restart("wg0")


def test_the_run_script_finds_the_device_by_name(tool: Path, tmp_path: Path) -> None:
    write(tool, f"cat {tmp_path}/device >{tmp_path}/seen")
    tool.with_name("cat").symlink_to("/bin/cat")
    S6Supervisor(tmp_path).start("tun7")
    assert (tmp_path / "seen").read_text() == "tun7\n"


def test_a_service_directory_that_is_not_there_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(TunnelError, match="tmpfs"):
        S6Supervisor(tmp_path / "nowhere").start("wg0")
