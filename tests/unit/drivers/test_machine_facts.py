"""The facts themselves: from made-up files, and from the real kernel in a namespace of its own."""

from __future__ import annotations

import ast
import errno
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.drivers.machine import Facts
from sidecar.drivers.machine.checks import EGRESS_RULESET, INET_RULESET
from sidecar.drivers.machine.facts import GENL_ID_CTRL, NLMSG_ERROR, _family_question, _is_family

ROOT = Path(__file__).parents[3]


def test_capabilities_are_the_effective_ones(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "status").write_text("CapPrm:\t000001ffffffffff\nCapEff:\t0000000000003000\nCapBnd:\t0\n")
    assert Facts(tmp_path).effective_capabilities() == 1 << 12 | 1 << 13


def test_unreadable_capabilities_are_none(tmp_path: Path) -> None:
    assert Facts(tmp_path).effective_capabilities() is None


def test_a_sysctl_is_read_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "sys" / "net").mkdir(parents=True)
    (tmp_path / "sys" / "net" / "x").write_text("1\n")
    assert Facts(tmp_path).sysctl("net/x") == "1"
    assert Facts(tmp_path).sysctl("net/y") is None


def test_a_directory_is_written_without_a_trace(tmp_path: Path) -> None:
    assert Facts().write_error(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    error = Facts().write_error(tmp_path / "gone")
    assert error is not None
    assert error.errno == errno.ENOENT


def test_opening_for_writing_keeps_the_content(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 10.64.0.1\n")
    assert Facts().open_error(path, os.O_WRONLY) is None
    assert path.read_text() == "nameserver 10.64.0.1\n"
    assert Facts().open_error(tmp_path / "gone", os.O_WRONLY) is not None


def test_kinds_of_files_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
        assert Facts().is_socket(path)
    assert not Facts().is_socket(tmp_path)
    assert not Facts().is_socket(tmp_path / "gone")
    assert Facts().is_character_device(Path("/dev/null"))
    assert not Facts().is_character_device(path)


def test_a_missing_program_and_a_missing_library_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Facts().program("nft") is None
    assert Facts().ruleset_error("") == "nft is not installed"
    assert "libno-such-thing" in (Facts().library_error("libno-such-thing.so.1") or "")


def test_the_kernels_answer_about_a_family_is_read() -> None:
    header = struct.Struct("=IHHII")
    assert _is_family(header.pack(20, GENL_ID_CTRL, 0, 1, 0) + bytes(4)) is True
    assert _is_family(header.pack(20, NLMSG_ERROR, 0, 1, 0) + struct.pack("=i", -errno.ENOENT)) is False
    assert _is_family(header.pack(20, NLMSG_ERROR, 0, 1, 0) + struct.pack("=i", -errno.EPERM)) is None
    assert _is_family(b"") is None


@pytest.mark.parametrize(("name", "known"), [(b"nlctrl\0", True), (b"no-such-family\0", False)])
def test_the_real_kernel_is_asked_in_a_way_that_it_understands(name: bytes, known: bool) -> None:  # noqa: FBT001
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16) as handle:
        handle.settimeout(5)
        handle.send(_family_question(name))
        assert _is_family(handle.recv(65536)) is known


def in_namespace(code: str, *before: str, as_what: str = "") -> str:
    """Run `code` in a new network namespace, after the commands `before` in the same one."""
    script = "\n".join([*before, f'exec {as_what} "{sys.executable}" -c "$0"'])
    done = subprocess.run(
        ["unshare", "--net", "sh", "-ec", script, f"from sidecar.drivers.machine.facts import Facts\n{code}"],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.netns
def test_the_mtu_of_every_device_is_read() -> None:
    said = in_namespace("print(Facts().link_mtus())", "ip link add eth9 mtu 1342 type veth peer name eth8 mtu 1400")
    assert ast.literal_eval(said) == {"lo": 65536, "eth8": 1400, "eth9": 1342}


@pytest.mark.netns
def test_the_kernel_is_asked_about_a_ruleset_and_nothing_of_it_stays() -> None:
    impossible = 'table netdev x { chain c { type nat hook egress device "lo" priority 0; }\n}\n'
    code = (
        f"print([Facts().ruleset_error(text) for text in ({INET_RULESET!r}, {EGRESS_RULESET!r})])\n"
        f"print(Facts().ruleset_error({impossible!r}))\n"
        "import subprocess; print(repr(subprocess.run(['nft', 'list', 'ruleset'], capture_output=True).stdout))"
    )
    accepted, refused, left = in_namespace(code).splitlines()
    assert accepted == "[None, None]"
    assert "Could not process rule" in refused
    assert left == "b''"


@pytest.mark.netns
def test_without_net_admin_the_refusal_says_so() -> None:
    code = f"print(Facts().ruleset_error({INET_RULESET!r}))"
    assert in_namespace(code) == "None"
    assert "not permitted" in in_namespace(code, as_what="setpriv --bounding-set -net_admin --inh-caps -net_admin")
