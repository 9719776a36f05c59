"""One endpoint from the variables of gluetun's users, and where each value may come from."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

import pytest

from sidecar.errors import ConfigError
from tests.unit.config.builders import conf, gluetun, new_key

if TYPE_CHECKING:
    from tests.unit.config.builders import ConfigFiles


def refusal(files: ConfigFiles) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        files.configuration().load()
    return caught.value


def test_the_variables_make_one_endpoint(files: ConfigFiles) -> None:
    files.environ = gluetun(
        WIREGUARD_ADDRESSES="10.64.0.2/32,fd00:64::2/128",
        WIREGUARD_ENDPOINT_IP="2001:db8::1",
        WIREGUARD_PRESHARED_KEY=new_key(),
        WIREGUARD_MTU="1400",
        WIREGUARD_PERSISTENT_KEEPALIVE_INTERVAL="25s",
    )
    configuration = files.configuration()
    plan = configuration.load()
    (endpoint,) = plan.endpoints
    assert endpoint.name == "environment"
    assert endpoint.private_key.reveal() == files.environ["WIREGUARD_PRIVATE_KEY"]
    assert endpoint.preshared_key is not None
    assert (endpoint.address, endpoint.port) == (ip_address("2001:db8::1"), 51820)
    assert endpoint.allowed_ips == (ip_network("0.0.0.0/0"), ip_network("::/0"))
    assert (endpoint.mtu_bytes, endpoint.persistent_keepalive_s) == (1400, 25)
    assert endpoint.dns == (ip_address("10.64.0.1"),)
    assert plan.addresses == (ip_interface("10.64.0.2/32"), ip_interface("fd00:64::2/128"))
    assert configuration.warnings == ()


def test_an_empty_variable_is_an_unset_one(files: ConfigFiles) -> None:
    files.environ = gluetun(WIREGUARD_PRESHARED_KEY="", WIREGUARD_MTU="  ", WIREGUARD_PRESHARED_KEY_SECRETFILE="")
    assert files.configuration().load().endpoints[0].preshared_key is None


def test_a_missing_resolver_is_named_as_the_variable_that_would_name_it(files: ConfigFiles) -> None:
    files.environ = gluetun(DNS_ADDRESS=None)
    configuration = files.configuration()
    configuration.load()
    assert any("there is no DNS_ADDRESS" in warning for warning in configuration.warnings)


@pytest.mark.parametrize("suffix", ["_SECRETFILE", "_FILE"])
def test_a_secret_may_come_from_a_file_that_a_variable_names(files: ConfigFiles, suffix: str) -> None:
    key = new_key()
    (files.directory / "key").write_text(f"{key}\n")
    files.environ = gluetun(
        **{"WIREGUARD_PRIVATE_KEY": None, f"WIREGUARD_PRIVATE_KEY{suffix}": str(files.directory / "key")}
    )
    assert files.configuration().load().endpoints[0].private_key.reveal() == key


def test_every_value_may_come_from_a_mounted_secret(files: ConfigFiles) -> None:
    written = gluetun(DNS_ADDRESS="10.64.0.1")
    for name, value in written.items():
        (files.secrets / name.lower()).write_text(value)
    endpoint = files.configuration().load().endpoints[0]
    assert endpoint.private_key.reveal() == written["WIREGUARD_PRIVATE_KEY"]
    assert endpoint.dns == (ip_address("10.64.0.1"),)


def test_a_variable_wins_over_a_mounted_secret(files: ConfigFiles) -> None:
    files.environ = gluetun()
    (files.secrets / "wireguard_endpoint_port").write_text("1")
    assert files.configuration().load().endpoints[0].port == 51820


def test_a_variable_and_its_file_are_ambiguous(files: ConfigFiles) -> None:
    files.environ = gluetun(WIREGUARD_PRIVATE_KEY_SECRETFILE="/anywhere")
    error = refusal(files)
    assert "WIREGUARD_PRIVATE_KEY and WIREGUARD_PRIVATE_KEY_SECRETFILE are both set" in error.got
    assert "keep one" in error.remedy


def test_files_and_variables_are_ambiguous(files: ConfigFiles) -> None:
    path = files.write("10-primary.conf", conf())
    files.environ = gluetun()
    error = refusal(files)
    assert str(path) in error.got
    assert "WIREGUARD_PRIVATE_KEY" in error.got
    assert "remove the files or the variables" in error.remedy
    assert files.environ["WIREGUARD_PRIVATE_KEY"] not in str(error)


def test_a_resolver_alone_is_no_endpoint_beside_files(files: ConfigFiles) -> None:
    files.write("10-primary.conf", conf())
    files.environ = {"DNS_ADDRESS": "10.64.0.53"}
    assert files.configuration().load().endpoints[0].dns == (ip_address("10.64.0.1"),)


BAD = [
    ({"WIREGUARD_PRIVATE_KEY": None}, "the environment", "WIREGUARD_PRIVATE_KEY is missing", "private key"),
    ({"WIREGUARD_PUBLIC_KEY": None}, "the environment", "WIREGUARD_PUBLIC_KEY is missing", "public key"),
    ({"WIREGUARD_ADDRESSES": None}, "the environment", "WIREGUARD_ADDRESSES is missing", "10.64.0.2/32"),
    ({"WIREGUARD_ENDPOINT_IP": None}, "the environment", "WIREGUARD_ENDPOINT_IP is missing", "203.0.113.1"),
    ({"WIREGUARD_ENDPOINT_PORT": None}, "the environment", "WIREGUARD_ENDPOINT_PORT is missing", "51820"),
    ({"WIREGUARD_PRIVATE_KEY": "x"}, "WIREGUARD_PRIVATE_KEY", "44 characters", "copy the whole key"),
    ({"WIREGUARD_ENDPOINT_IP": "vpn.example.com"}, "WIREGUARD_ENDPOINT_IP", "is a host name", "use an address"),
    ({"WIREGUARD_ENDPOINT_PORT": "70000"}, "WIREGUARD_ENDPOINT_PORT", "is not a port", "1 to 65535"),
    ({"WIREGUARD_MTU": "1"}, "WIREGUARD_MTU", "is not an MTU", "576 to"),
    ({"DNS_ADDRESS": "fd00::1"}, "DNS_ADDRESS", "DNS fd00::1 is IPv6", "remove it, or add the IPv6"),
    ({"WIREGUARD_PRIVATEKEY": "x"}, "WIREGUARD_PRIVATEKEY", "unknown", "write WIREGUARD_PRIVATE_KEY"),
    ({"WIREGUARD_JC": "4"}, "WIREGUARD_JC", "unknown", "remove it"),
    ({"WIREGUARD_MTU_FILE": "/no/such/file"}, "/no/such/file (named by WIREGUARD_MTU_FILE)", "no such file", "put"),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case[2])
def test_a_bad_variable_is_refused_by_name_with_a_remedy(
    files: ConfigFiles, case: tuple[dict[str, str | None], str, str, str]
) -> None:
    changes, where, got, remedy = case
    files.environ = gluetun(**changes)
    error = refusal(files)
    assert error.attempted == f"read {where}"
    assert got in error.got
    assert remedy in error.remedy


def test_an_empty_secret_is_refused(files: ConfigFiles) -> None:
    files.environ = gluetun(WIREGUARD_PRIVATE_KEY=None)
    path = files.secrets / "wireguard_private_key"
    path.write_text("\n")
    error = refusal(files)
    assert error.attempted == f"read {path}"
    assert "empty" in error.got


def test_gluetuns_loopback_resolver_is_left_out_and_said(files: ConfigFiles) -> None:
    files.environ = gluetun(DNS_ADDRESS="127.0.0.1")
    configuration = files.configuration()
    assert configuration.load().endpoints[0].dns == ()
    assert any("DNS_ADDRESS: a loopback address is left out" in warning for warning in configuration.warnings)


def test_gluetuns_choice_of_implementation_is_pointed_to_ours(files: ConfigFiles) -> None:
    files.environ = gluetun(WIREGUARD_IMPLEMENTATION="userspace")
    configuration = files.configuration()
    configuration.load()
    assert any("SIDECAR_TUNNEL_IMPLEMENTATION" in warning for warning in configuration.warnings)


def test_a_misspelt_secret_is_said(files: ConfigFiles) -> None:
    files.environ = gluetun()
    (files.secrets / "wireguard_presharedkey").write_text(new_key())
    (files.secrets / "database_password").write_text("not ours")
    configuration = files.configuration()
    configuration.load()
    (warning,) = configuration.warnings
    assert "wireguard_presharedkey" in warning


def test_what_kubernetes_injects_for_a_service_of_our_name_is_not_ours(files: ConfigFiles) -> None:
    files.environ = gluetun(
        SIDECAR_SERVICE_HOST="10.96.0.10",
        SIDECAR_SERVICE_PORT="80",
        SIDECAR_SERVICE_PORT_HTTP="80",
        SIDECAR_PORT="tcp://10.96.0.10:80",
        SIDECAR_PORT_80_TCP="tcp://10.96.0.10:80",
        SIDECAR_PORT_80_TCP_PROTO="tcp",
        WIREGUARD_PORT_51820_UDP_ADDR="10.96.0.11",
    )
    assert files.configuration().load()


def test_a_missing_setting_is_not_excused_as_injected(files: ConfigFiles) -> None:
    files.environ = gluetun(WIREGUARD_ENDPONT_PORT="51820")
    assert "write WIREGUARD_ENDPOINT_PORT" in refusal(files).remedy
