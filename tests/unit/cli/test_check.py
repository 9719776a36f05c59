from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sidecar.drivers import machine
from sidecar.drivers.machine import Check, Needs
from tests.unit.config.builders import conf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Invoke = Callable[..., Result]

FIT = (Check("CAP_NET_ADMIN", ok=True, text="effective"), Check("MTU", ok=True, text="1500 is enough"))


class Machine:
    """Finds what it is told to find, and remembers what was needed of it."""

    def __init__(self) -> None:
        self.findings: tuple[Check, ...] = FIT
        self.needs: list[Needs] = []

    def __call__(self, needs: Needs) -> tuple[Check, ...]:
        self.needs.append(needs)
        return self.findings


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> Machine:
    for name in list(os.environ):
        if name.startswith(("SIDECAR_", "WIREGUARD_")):
            monkeypatch.delenv(name)
    made = Machine()
    monkeypatch.setattr(machine, "check_machine", made)
    return made


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "endpoints").mkdir()
    return tmp_path


def write(directory: Path, name: str, text: str) -> None:
    path = directory / "endpoints" / name
    path.write_text(text)
    path.chmod(0o600)


def test_a_right_configuration_on_a_fit_machine_is_well(invoke: Invoke, directory: Path) -> None:
    write(directory, "10-primary.conf", conf())
    write(directory, "20-backup.conf", conf(Endpoint="203.0.113.2:51820"))
    result = invoke("check", "--directory", str(directory))
    assert result.stdout.splitlines() == [
        "Configuration",
        "  ✓ 2 endpoints: 10-primary (203.0.113.1:51820), 20-backup (203.0.113.2:51820)",
        "Machine",
        "  ✓ CAP_NET_ADMIN   effective",
        "  ✓ MTU             1500 is enough",
        "All is well.",
    ]
    assert (result.exit_code, result.stderr) == (0, "")


def test_every_mistake_is_told_with_its_remedy_and_ends_with_64(
    invoke: Invoke, directory: Path, found: Machine
) -> None:
    write(directory, "10-primary.conf", conf(PrivateKey="tooshort"))
    write(directory, "20-backup.conf", conf(Endpoint="203.0.113.2:0"))
    found.findings = (Check("tun", ok=False, text="missing", remedy="devices: [/dev/net/tun]"),)
    result = invoke("check", "--directory", str(directory))
    lines = result.stdout.splitlines()
    mistakes = [index for index, line in enumerate(lines) if line.startswith("  ✗ read ")]
    assert [("10-primary.conf line" in lines[i], "20-backup.conf line" in lines[i]) for i in mistakes] == [
        (True, False),
        (False, True),
    ]
    assert all(lines[index + 1].startswith("      → ") for index in mistakes)
    assert lines[-1] == "2 mistakes in the configuration and 1 fault of the machine."
    assert result.exit_code == 64
    assert "tooshort" not in result.output


@pytest.mark.parametrize("ok", [False, None])
def test_what_the_machine_lacks_or_cannot_tell_ends_with_1(
    ok: bool | None,  # noqa: FBT001 - a parameter of the test
    invoke: Invoke,
    directory: Path,
    found: Machine,
) -> None:
    write(directory, "10-primary.conf", conf())
    found.findings = (
        *FIT,
        Check("/dev/net/tun", ok=ok, text="there is no such device", remedy="devices: [/dev/net/tun]"),
    )
    result = invoke("check", "--directory", str(directory))
    assert result.stdout.splitlines()[-3:] == [
        f"  {'?' if ok is None else '✗'} /dev/net/tun    there is no such device",
        "      → devices: [/dev/net/tun]",
        "1 fault of the machine.",
    ]
    assert result.exit_code == 1


def test_a_warning_is_told_and_is_no_fault(invoke: Invoke, directory: Path) -> None:
    write(directory, "10-primary.conf", conf(PostUp="iptables -F"))
    result = invoke("check", "--directory", str(directory))
    assert any(line.startswith("  ! ") and "PostUp" in line for line in result.stdout.splitlines())
    assert result.exit_code == 0


def test_the_machine_is_asked_for_what_the_configuration_needs(invoke: Invoke, directory: Path, found: Machine) -> None:
    write(directory, "10-primary.conf", conf(Address="10.64.0.2/32, fd00::2/128", MTU="1300", DNS=None))
    (directory / "sidecar.toml").write_text('[tunnel]\nimplementation = "userspace"\ndevice = "tunnel7"\n')
    invoke("check", "--directory", str(directory))
    (needs,) = found.needs
    assert (needs.implementation, needs.device, needs.mtu_bytes) == ("userspace", "tunnel7", 1300)
    assert needs.has_ipv6
    assert not needs.has_dns


def test_without_a_usable_configuration_the_machine_is_checked_all_the_same(
    invoke: Invoke, directory: Path, found: Machine
) -> None:
    (directory / "sidecar.toml").write_text('[tunnel]\nimplementation = "kernel"\n')
    result = invoke("check", "--directory", str(directory))
    assert "no endpoint" in result.stdout
    assert [needs.implementation for needs in found.needs] == ["kernel"]
    assert result.exit_code == 64


def test_no_key_is_ever_shown(invoke: Invoke, directory: Path) -> None:
    write(directory, "10-primary.conf", text := conf(PresharedKey="x" * 43 + "=", Oddity="y"))
    output = invoke("check", "--directory", str(directory)).output
    secrets = [line.partition(" = ")[2] for line in text.splitlines() if "Key" in line and "Public" not in line]
    assert len(secrets) == 2
    assert not any(secret in output for secret in secrets)


def test_colours_tell_good_from_bad(invoke: Invoke, directory: Path, found: Machine) -> None:
    write(directory, "10-primary.conf", conf())
    assert "\x1b[31m" not in invoke("check", "--directory", str(directory), color=True).stdout
    found.findings = (Check("tun", ok=False, text="missing"),)
    assert "\x1b[31m✗" in invoke("check", "--directory", str(directory), color=True).stdout
