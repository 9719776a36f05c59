"""The directory of endpoint files: order, names, permissions; and the list as a whole."""

from __future__ import annotations

import os
import re
import tempfile
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from sidecar.core.model import ProbeKind, ProbeTarget
from sidecar.errors import ConfigError
from tests.unit.config.builders import PINS, ConfigFiles, conf, new_key

NOBODY = 65534


def refusal(files: ConfigFiles) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        files.configuration().load()
    return caught.value


def test_endpoints_are_in_the_order_of_their_names(files: ConfigFiles) -> None:
    for number, name in enumerate(("20-backup", "30-last", "10-primary"), start=1):
        files.write(f"{name}.conf", conf(Endpoint=f"203.0.113.{number}:51820"))
    files.write("15-notes.txt", "not an endpoint")
    plan = files.configuration().load()
    assert [endpoint.name for endpoint in plan.endpoints] == ["10-primary", "20-backup", "30-last"]
    assert plan.pins is PINS
    assert plan.fault is None


def test_no_endpoint_at_all_says_where_to_put_one_and_what_is_there(files: ConfigFiles) -> None:
    (files.endpoints / "mullvad.txt").touch()
    error = refusal(files)
    assert error.attempted == f"read {files.endpoints}"
    assert "no endpoint" in error.got
    assert '"mullvad.txt"' in error.got
    assert "10-primary.conf" in error.remedy


def test_a_missing_directory_is_no_endpoint(files: ConfigFiles) -> None:
    files.endpoints.rmdir()
    error = refusal(files)
    assert "no endpoint" in error.got
    assert "which is not there" in error.got


def test_an_unreadable_file_is_named_with_its_remedy(files: ConfigFiles) -> None:
    path = files.write("a.conf", conf())
    path.unlink()
    path.symlink_to(files.directory / "gone.conf")
    error = refusal(files)
    assert error.attempted == f"read {path}"
    assert error.got == "there is no such file"
    assert error.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="drops root's privileges to be refused a file")
def test_a_file_of_another_user_is_named_with_chown_and_chmod() -> None:
    with tempfile.TemporaryDirectory() as directory:
        files = ConfigFiles(Path(directory))
        Path(directory).chmod(0o755)
        path = files.write("a.conf", conf())
        os.seteuid(NOBODY)
        try:
            error = refusal(files)
        finally:
            os.seteuid(0)
    assert error.attempted == f"read {path}"
    assert error.got == "permission denied"
    assert "chown" in error.remedy
    assert "chmod 600" in error.remedy


def test_a_pipe_is_refused_and_does_not_block(files: ConfigFiles) -> None:
    path = files.endpoints / "a.conf"
    os.mkfifo(path)
    error = refusal(files)
    assert error.attempted == f"read {path}"
    assert "not a regular file" in error.got
    assert files.configuration().fingerprint()


def test_a_directory_named_like_a_file_is_refused(files: ConfigFiles) -> None:
    (files.endpoints / "a.conf").mkdir()
    assert "not a regular file" in refusal(files).got


def test_an_enormous_file_is_refused(files: ConfigFiles) -> None:
    files.write("a.conf", conf() + "#" * 300_000)
    assert "larger than" in refusal(files).got


def test_a_name_that_cannot_be_typed_is_refused(files: ConfigFiles) -> None:
    files.write("a\nb.conf", conf())
    error = refusal(files)
    assert '"a?b.conf"' in error.got
    assert "rename it" in error.remedy


def test_a_hidden_file_is_no_endpoint_and_said(files: ConfigFiles) -> None:
    files.write("a.conf", conf())
    files.write("._a.conf", "rubbish of a file manager")
    configuration = files.configuration()
    assert len(configuration.load().endpoints) == 1
    assert any("._a.conf" in warning for warning in configuration.warnings)


def test_a_file_that_others_can_read_is_a_warning_only(files: ConfigFiles) -> None:
    path = files.write("a.conf", conf())
    path.chmod(0o644)
    files.endpoints.chmod(0o755)
    configuration = files.configuration()
    configuration.load()
    assert any(warning.startswith(f"{path}: others can read") for warning in configuration.warnings)
    assert any("chmod 600" in warning for warning in configuration.warnings)


def test_a_file_in_a_closed_directory_is_no_warning(files: ConfigFiles) -> None:
    files.write("a.conf", conf()).chmod(0o644)
    files.endpoints.chmod(0o700)
    configuration = files.configuration()
    configuration.load()
    assert configuration.warnings == ()


def test_the_same_server_twice_is_refused_with_both_names(files: ConfigFiles) -> None:
    files.write("10-a.conf", conf(Endpoint="[2001:db8::1]:51820"))
    path = files.write("20-b.conf", conf(Endpoint="[2001:DB8:0::1]:51820"))
    error = refusal(files)
    assert error.attempted == f"read {path} line 8"
    assert "20-b and 10-a" in error.got
    assert "[2001:db8::1]:51820" in error.got
    assert "two servers" in error.remedy


def test_the_same_address_with_another_port_is_another_server(files: ConfigFiles) -> None:
    files.write("10-a.conf", conf(Endpoint="203.0.113.1:51820"))
    files.write("20-b.conf", conf(Endpoint="203.0.113.1:51821"))
    assert len(files.configuration().load().endpoints) == 2


@pytest.mark.parametrize("other", ["10.64.0.3/32", "10.64.0.2/24", "10.64.0.2/32, fd00:64::2/128"])
def test_endpoints_must_share_one_tunnel_address(files: ConfigFiles, other: str) -> None:
    files.write("10-a.conf", conf())
    path = files.write("20-b.conf", conf(Address=other, Endpoint="203.0.113.2:51820"))
    error = refusal(files)
    assert error.attempted == f"read {path} line 3"
    assert f"20-b has the tunnel address {other}" in error.got
    assert "10-a has 10.64.0.2/32" in error.got
    assert "same Address" in error.remedy


def test_the_order_of_addresses_is_no_difference(files: ConfigFiles) -> None:
    files.write("10-a.conf", conf(Address="10.64.0.2/32, fd00:64::2/128"))
    files.write("20-b.conf", conf(Address="fd00:64::2/128, 10.64.0.2/32", Endpoint="203.0.113.2:51820"))
    assert len(files.configuration().load().endpoints) == 2


MIX_UPS = [
    ({"DNS": "10.64.0.1, fd00::1"}, 4, "DNS fd00::1 is IPv6, and the tunnel has no IPv6", "remove it, or add the IPv6"),
    (
        {"Address": "fd00:64::2/128", "DNS": "fd00::1"},
        9,
        "an IPv6 address only, and AllowedIPs has no network of that family",
        "a family in common",
    ),
    ({"DNS": "10.64.0.2"}, 4, "DNS 10.64.0.2 is the tunnel's own address", "resolver that your provider names"),
    ({"AllowedIPs": "192.0.2.0/24"}, 4, "DNS 10.64.0.1 is outside AllowedIPs", "add 10.64.0.1 to AllowedIPs"),
    ({"Endpoint": "10.64.0.2:51820"}, 8, "10.64.0.2 is the tunnel's own address", "public address"),
    ({"DNS": "203.0.113.1"}, 4, "DNS 203.0.113.1 is the address of an endpoint", "behind the tunnel"),
    (
        {"Address": "10.64.0.2/32, fd00:64::2/128", "AllowedIPs": "0.0.0.0/0, ::/0", "MTU": "1279"},
        5,
        "1279 bytes takes IPv6 away",
        "at least 1280",
    ),
]


@pytest.mark.parametrize("case", MIX_UPS, ids=lambda case: case[2])
def test_what_cannot_work_in_a_family_is_refused(
    files: ConfigFiles, case: tuple[dict[str, str | None], int, str, str]
) -> None:
    changes, line, got, remedy = case
    path = files.write("a.conf", conf(**changes))
    error = refusal(files)
    assert error.attempted == f"read {path} line {line}"
    assert got in error.got
    assert remedy in error.remedy


def test_allowed_ips_of_a_family_that_the_tunnel_lacks_are_left_out_and_said(files: ConfigFiles) -> None:
    path = files.write("a.conf", conf(AllowedIPs="0.0.0.0/0, ::/0"))
    configuration = files.configuration()
    assert configuration.load().endpoints[0].allowed_ips == (ip_network("0.0.0.0/0"),)
    assert configuration.warnings == (
        f"{path} line 9: ::/0 is left out, the tunnel has no IPv6 address; IPv6 is dropped",
    )


@pytest.mark.parametrize(
    ("address", "allowed_ips", "family"),
    [
        ("10.64.0.2/32", "10.0.0.0/8", "IPv4"),
        ("10.64.0.2/32", "0.0.0.0/1", "IPv4"),
        ("10.64.0.2/32, fd00:64::2/128", "0.0.0.0/0", "IPv6"),
    ],
)
def test_allowed_ips_short_of_everything_are_a_warning(
    files: ConfigFiles, address: str, allowed_ips: str, family: str
) -> None:
    files.write("a.conf", conf(Address=address, AllowedIPs=allowed_ips))
    configuration = files.configuration()
    configuration.load()
    assert any(f"AllowedIPs is not all of {family}" in warning for warning in configuration.warnings)


def test_probe_targets_come_from_every_endpoints_dns(files: ConfigFiles) -> None:
    files.write("10-a.conf", conf())
    files.write("20-b.conf", conf(DNS="10.64.0.1, 10.64.0.53", Endpoint="203.0.113.2:51820"))
    assert files.configuration().load().probe_targets == tuple(
        ProbeTarget(kind, ip_address(address))
        for address in ("10.64.0.1", "10.64.0.53")
        for kind in (ProbeKind.DNS, ProbeKind.ICMP)
    )


def test_without_dns_two_public_resolvers_are_asked_and_it_is_said(files: ConfigFiles) -> None:
    files.write("a.conf", conf(DNS=None))
    configuration = files.configuration()
    assert configuration.load().probe_targets == (
        ProbeTarget(ProbeKind.ICMP, ip_address("1.1.1.1")),
        ProbeTarget(ProbeKind.ICMP, ip_address("9.9.9.9")),
    )
    assert any("there is no DNS" in warning for warning in configuration.warnings)


@pytest.mark.parametrize(
    "changes",
    [
        {"DNS": None, "AllowedIPs": "192.0.2.0/24"},
        {"DNS": None, "Address": "fd00:64::2/128", "AllowedIPs": "::/0"},
    ],
)
def test_an_endpoint_that_no_probe_can_judge_is_refused(files: ConfigFiles, changes: dict[str, str | None]) -> None:
    path = files.write("a.conf", conf(**changes))
    error = refusal(files)
    assert error.attempted == f"read {path}"
    assert "no probe target is reached through a" in error.got
    assert "health.probe_targets" in error.remedy


def test_the_digest_knows_order_and_keys_and_names_and_nothing_else(files: ConfigFiles) -> None:
    first, second = conf(), conf(Endpoint="203.0.113.2:51820")
    a, b = files.write("a.conf", first), files.write("b.conf", second)
    before = files.configuration().load().digest
    assert files.configuration().load().digest == before

    a.write_text(first + "\n# a comment\n")
    files.toml.write_text("[failover]\nthreshold_cycles = 9\n")
    assert files.configuration().load().digest == before

    a.write_text(second)
    b.write_text(first)
    swapped = files.configuration().load().digest
    a.write_text(first + f"PresharedKey = {new_key()}\n")
    b.write_text(second)
    preshared = files.configuration().load().digest
    a.write_text(re.sub(r"PrivateKey = .*", f"PrivateKey = {new_key()}", first))
    rekeyed = files.configuration().load().digest
    a.write_text(first)
    b.rename(files.endpoints / "c.conf")
    renamed = files.configuration().load().digest
    assert len({before, swapped, preshared, rekeyed, renamed}) == 5
