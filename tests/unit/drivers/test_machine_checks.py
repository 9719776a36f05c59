"""The judgement on a machine, on facts made up for it: every check good, bad and not to be told."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.drivers.machine import Check, Facts, Needs, check_machine
from sidecar.drivers.machine.checks import CAP_NET_ADMIN, EGRESS_RULESET, INET_RULESET, OWNER_RULESET, RESOLV_CONF, TUN

if TYPE_CHECKING:
    from collections.abc import Mapping


class MadeUpFacts(Facts):
    """A machine on which all is well, until a test changes it."""

    def __init__(self) -> None:
        super().__init__()
        self.capabilities: int | None = (1 << 41) - 1
        self.version: tuple[int, int] | None = (6, 12)
        self.sysctls: dict[str, str] = {"net/ipv6/conf/default/disable_ipv6": "0", "net/ipv4/conf/all/rp_filter": "2"}
        self.open_errors: dict[Path, OSError] = {}
        self.write_errors: dict[Path, OSError] = {}
        self.devices = {TUN}
        self.sockets: set[Path] = set()
        self.programs = {"wireguard-go": "/usr/bin/wireguard-go"}
        self.refused_library: str | None = None
        self.refused_rulesets: dict[str, str] = {}
        self.mtus: dict[str, int] = {"lo": 65536, "eth0": 1500, "wg0": 1420}
        self.kernel_wireguard: bool | None = True

    def effective_capabilities(self) -> int | None:
        return self.capabilities

    def kernel_version(self) -> tuple[int, int] | None:
        return self.version

    def sysctl(self, name: str) -> str | None:
        return self.sysctls.get(name)

    def open_error(self, path: Path, flags: int) -> OSError | None:  # noqa: ARG002 - a fake of a wider method
        return self.open_errors.get(path)

    def write_error(self, directory: Path) -> OSError | None:
        return self.write_errors.get(directory)

    def is_character_device(self, path: Path) -> bool:
        return path in self.devices

    def is_socket(self, path: Path) -> bool:
        return path in self.sockets

    def program(self, name: str) -> str | None:
        return self.programs.get(name)

    def library_error(self, name: str) -> str | None:  # noqa: ARG002 - a fake of a wider method
        return self.refused_library

    def ruleset_error(self, ruleset: str) -> str | None:
        return self.refused_rulesets.get(ruleset)

    def link_mtus(self) -> Mapping[str, int]:
        return self.mtus

    def has_kernel_wireguard(self) -> bool | None:
        return self.kernel_wireguard


@pytest.fixture
def facts() -> MadeUpFacts:
    return MadeUpFacts()


def only(facts: Facts, needs: Needs, name: str) -> Check:
    (found,) = (check for check in check_machine(needs, facts) if check.name == name)
    return found


def test_a_good_machine_passes_everything_without_a_remedy(facts: MadeUpFacts) -> None:
    checks = check_machine(Needs(has_ipv6=True), facts)
    assert [check for check in checks if check.ok is not True or check.remedy] == []
    assert len({check.name for check in checks}) == len(checks)
    assert all(check.text for check in checks)


def test_a_missing_capability_names_the_line_to_add(facts: MadeUpFacts) -> None:
    facts.capabilities = 0
    assert only(facts, Needs(), "CAP_NET_ADMIN") == Check(
        "CAP_NET_ADMIN", ok=False, text="missing", remedy="cap_add: [NET_ADMIN]"
    )
    assert "NET_RAW" in only(facts, Needs(), "CAP_NET_RAW").remedy


def test_each_capability_is_judged_by_its_own_bit(facts: MadeUpFacts) -> None:
    facts.capabilities = 1 << CAP_NET_ADMIN
    assert only(facts, Needs(), "CAP_NET_ADMIN").ok is True
    assert only(facts, Needs(), "CAP_NET_RAW").ok is False


def test_unreadable_capabilities_are_not_good(facts: MadeUpFacts) -> None:
    facts.capabilities = None
    assert only(facts, Needs(), "CAP_NET_ADMIN").ok is None


@pytest.mark.parametrize(
    ("version", "ok", "words"),
    [
        ((5, 15), False, "no egress hook"),
        ((5, 16), True, "before 6.9"),
        ((6, 8), True, "before 6.9"),
        ((6, 9), True, "6.9"),
        (None, None, "cannot be read"),
    ],
)
def test_the_kernel_must_have_the_egress_hook(
    facts: MadeUpFacts, *, version: tuple[int, int] | None, ok: bool | None, words: str
) -> None:
    facts.version = version
    check = only(facts, Needs(), "kernel")
    assert check.ok is ok
    assert words in check.text
    assert bool(check.remedy) is (ok is not True)


@pytest.mark.parametrize(("name", "ruleset"), [("nftables", INET_RULESET), ("nft egress hook", EGRESS_RULESET)])
@pytest.mark.parametrize(
    ("refused", "ok", "remedy"),
    [
        ("Error: Could not process rule: Operation not supported", False, "modprobe nf_tables"),
        ("Error: syntax error, unexpected string", False, "own image"),
        ("netlink: Error: cache initialization failed: Operation not permitted", None, "cap_add: [NET_ADMIN]"),
        ("nft is not installed", None, "own image"),
    ],
)
def test_a_refused_ruleset_is_told_with_nfts_words(
    facts: MadeUpFacts, name: str, ruleset: str, *, refused: str, ok: bool | None, remedy: str
) -> None:
    facts.refused_rulesets[ruleset] = refused
    check = only(facts, Needs(), name)
    assert check.ok is ok
    assert check.text == refused
    assert remedy in check.remedy


def test_missing_ownership_is_told_and_no_fault(facts: MadeUpFacts) -> None:
    facts.refused_rulesets[OWNER_RULESET] = "syntax error"
    check = only(facts, Needs(), "nft ownership")
    assert check.ok is True
    assert "the lock is watched" in check.text


def test_a_library_that_does_not_load_is_a_fault(facts: MadeUpFacts) -> None:
    facts.refused_library = "libnftables.so.1: cannot open shared object file"
    check = only(facts, Needs(), "libnftables")
    assert check.ok is False
    assert "libnftables1" in check.remedy


@pytest.mark.parametrize(
    ("implementation", "in_kernel", "program", "ok"),
    [
        ("auto", True, None, True),
        ("auto", False, "/usr/bin/wireguard-go", True),
        ("auto", False, None, False),
        ("auto", None, None, False),
        ("kernel", True, None, True),
        ("kernel", False, "/usr/bin/wireguard-go", False),
        ("kernel", None, "/usr/bin/wireguard-go", None),
        ("userspace", True, None, False),
        ("userspace", False, "/usr/bin/wireguard-go", True),
    ],
)
def test_the_implementation_asked_for_must_be_there(
    facts: MadeUpFacts, *, implementation: str, in_kernel: bool | None, program: str | None, ok: bool | None
) -> None:
    facts.kernel_wireguard = in_kernel
    facts.programs = {} if program is None else {"wireguard-go": program}
    check = only(facts, Needs(implementation=implementation), "WireGuard")
    assert check.ok is ok
    assert bool(check.remedy) is (ok is not True)


@pytest.mark.parametrize("implementation", ["auto", "userspace"])
def test_userspace_needs_the_tun_device(facts: MadeUpFacts, implementation: str) -> None:
    facts.kernel_wireguard = False
    facts.devices.clear()
    check = only(facts, Needs(implementation=implementation), str(TUN))
    assert check.ok is False
    assert "devices: [/dev/net/tun]" in check.remedy


def test_a_tun_device_that_does_not_open_is_a_fault(facts: MadeUpFacts) -> None:
    facts.kernel_wireguard = False
    facts.open_errors[TUN] = PermissionError(errno.EPERM, "Operation not permitted")
    check = only(facts, Needs(), str(TUN))
    assert check.ok is False
    assert "operation not permitted" in check.text


@pytest.mark.parametrize("implementation", ["auto", "kernel"])
def test_the_kernels_wireguard_needs_no_tun_device(facts: MadeUpFacts, implementation: str) -> None:
    facts.devices.clear()
    check = only(facts, Needs(implementation=implementation), str(TUN))
    assert check.ok is True
    assert "not needed" in check.text


@pytest.mark.parametrize(
    ("uplink_bytes", "mtu_bytes", "has_ipv6", "ok", "remedy"),
    [
        (1500, None, True, True, ""),
        (1500, 1420, True, True, ""),
        (1500, 1421, False, False, "MTU = 1420"),
        (1400, 1420, False, False, "MTU = 1320"),
        (1359, None, False, True, ""),
        (1359, None, True, False, "MTU of 1360"),
        (1360, None, True, True, ""),
    ],
)
def test_the_tunnel_must_fit_into_the_uplink(
    facts: MadeUpFacts, *, uplink_bytes: int, mtu_bytes: int | None, has_ipv6: bool, ok: bool, remedy: str
) -> None:
    facts.mtus = {"lo": 65536, "eth0": uplink_bytes, "eth1": 9000, "wg0": 1280}
    check = only(facts, Needs(mtu_bytes=mtu_bytes, has_ipv6=has_ipv6), "MTU")
    assert check.ok is ok
    assert "eth0" in check.text
    assert remedy in check.remedy


def test_without_an_uplink_the_mtu_cannot_be_told(facts: MadeUpFacts) -> None:
    facts.mtus = {"lo": 65536, "wg0": 1420}
    assert only(facts, Needs(), "MTU").ok is None


def test_a_state_directory_that_cannot_be_written_names_the_volume(facts: MadeUpFacts) -> None:
    directory = Path("/var/lib/sidecar")
    facts.write_errors[directory] = OSError(errno.EROFS, "Read-only file system")
    check = only(facts, Needs(), "state")
    assert check.ok is False
    assert check.text == "/var/lib/sidecar cannot be written: read-only file system"
    assert check.remedy == "volumes: [state:/var/lib/sidecar]"


def test_a_read_only_resolv_conf_names_the_line_that_makes_it_so(facts: MadeUpFacts) -> None:
    facts.open_errors[RESOLV_CONF] = OSError(errno.EROFS, "Read-only file system")
    check = only(facts, Needs(), "resolv.conf")
    assert check.ok is False
    assert "read_only: true" in check.remedy
    assert only(facts, Needs(has_dns=False), "resolv.conf").ok is True
    facts.open_errors[RESOLV_CONF] = OSError(errno.EACCES, "Permission denied")
    assert "root" in only(facts, Needs(), "resolv.conf").remedy


@pytest.mark.parametrize(
    ("sysctls", "has_ipv6", "ok", "remedy"),
    [
        ({"default": "0"}, True, True, ""),
        ({"default": "1"}, True, False, "net.ipv6.conf.default.disable_ipv6"),
        ({"default": "1", "wg0": "0"}, True, True, ""),
        ({"default": "0", "wg0": "1"}, True, False, "net.ipv6.conf.default.disable_ipv6"),
        ({}, True, False, "boot the host with IPv6"),
        ({"default": "1"}, False, True, ""),
        ({}, False, True, ""),
    ],
)
def test_ipv6_must_be_enabled_where_the_tunnel_has_it(
    facts: MadeUpFacts, *, sysctls: dict[str, str], has_ipv6: bool, ok: bool, remedy: str
) -> None:
    facts.sysctls = {f"net/ipv6/conf/{name}/disable_ipv6": value for name, value in sysctls.items()}
    check = only(facts, Needs(has_ipv6=has_ipv6), "IPv6")
    assert check.ok is ok
    assert remedy in check.remedy
    assert bool(check.remedy) is not ok


def test_an_engine_socket_is_checked_only_where_it_is_set(facts: MadeUpFacts) -> None:
    socket = Path("/run/docker.sock")
    assert only(facts, Needs(), "engine socket").ok is True
    check = only(facts, Needs(docker_socket=socket), "engine socket")
    assert check.ok is False
    assert f"/var/run/docker.sock:{socket}" in check.remedy
    facts.sockets = {socket}
    assert only(facts, Needs(docker_socket=socket), "engine socket").ok is True


def test_whatever_is_not_good_has_a_remedy(facts: MadeUpFacts) -> None:
    facts.capabilities = facts.version = facts.kernel_wireguard = None
    facts.sysctls = {}
    facts.devices = set()
    facts.programs = {}
    facts.mtus = {}
    facts.refused_library = "no"
    facts.refused_rulesets = dict.fromkeys((INET_RULESET, EGRESS_RULESET), "no")
    facts.write_errors = {Path("/var/lib/sidecar"): OSError(errno.EACCES, "Permission denied")}
    facts.open_errors = {RESOLV_CONF: OSError(errno.EACCES, "Permission denied")}
    checks = check_machine(Needs(has_ipv6=True, docker_socket=Path("/x")), facts)
    assert {check.name for check in checks if check.ok is True} == {"nft ownership", "rp_filter"}
    assert all(check.remedy for check in checks if check.ok is not True)
