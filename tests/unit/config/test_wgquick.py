"""One endpoint file: what is accepted, and each bad input with its line and its remedy."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

import pytest

from sidecar.errors import ConfigError
from tests.unit.config.builders import conf, new_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.config.builders import ConfigFiles


def refusal(files: ConfigFiles) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        files.configuration().load()
    return caught.value


def test_a_complete_file_is_read_as_written(files: ConfigFiles) -> None:
    private, public, preshared = new_key(), new_key(), new_key()
    files.write(
        "10-primary.conf",
        f"""
[Interface]
PrivateKey = {private}
Address = 10.64.0.2/32, fd00:64::2/128
DNS = 10.64.0.1, fd00:64::1
MTU = 1380

[Peer]
PublicKey = {public}
PresharedKey = {preshared}
Endpoint = [2001:db8::1]:51821
AllowedIPs = 0.0.0.0/0, ::/0
PersistentKeepalive = 25
""",
    )
    configuration = files.configuration()
    plan = configuration.load()
    (endpoint,) = plan.endpoints
    assert endpoint.name == "10-primary"
    assert endpoint.private_key.reveal() == private
    assert endpoint.preshared_key is not None
    assert endpoint.preshared_key.reveal() == preshared
    assert endpoint.public_key == public
    assert (endpoint.address, endpoint.port) == (ip_address("2001:db8::1"), 51821)
    assert endpoint.allowed_ips == (ip_network("0.0.0.0/0"), ip_network("::/0"))
    assert endpoint.dns == (ip_address("10.64.0.1"), ip_address("fd00:64::1"))
    assert (endpoint.mtu_bytes, endpoint.persistent_keepalive_s) == (1380, 25)
    assert plan.addresses == (ip_interface("10.64.0.2/32"), ip_interface("fd00:64::2/128"))
    assert configuration.warnings == ()


def test_what_is_optional_may_be_left_out(files: ConfigFiles) -> None:
    files.write("a.conf", conf())
    (endpoint,) = files.configuration().load().endpoints
    assert endpoint.preshared_key is None
    assert endpoint.persistent_keepalive_s is None
    assert endpoint.mtu_bytes is None


@pytest.mark.parametrize(
    "disguise",
    [
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(lambda text: text.replace("\n", "\r"), id="CR alone"),
        pytest.param(lambda text: "\ufeff" + text, id="byte order mark"),
        pytest.param(lambda text: re.sub(r"(?m)^\[?[A-Za-z]+", lambda key: key[0].lower(), text), id="lower case"),
        pytest.param(lambda text: text.replace(" = ", "="), id="no spaces"),
        pytest.param(lambda text: text.replace(" = ", "\t =   ").replace("\n", " \t\n  "), id="many spaces"),
        pytest.param(lambda text: text.replace("51820", "51820 # the first one"), id="comment after a value"),
        pytest.param(lambda text: "# PostUp = rm -rf /\n#[Peer]\n" + text, id="comment lines"),
        pytest.param(lambda text: text.replace("[Peer]", "[ peer ]"), id="section in another case"),
        pytest.param(lambda text: text.rstrip("\n"), id="no last line end"),
    ],
)
def test_harmless_differences_of_form_change_nothing(files: ConfigFiles, disguise: Callable[[str], str]) -> None:
    text = conf()
    files.write("a.conf", text)
    plain = files.configuration().load()
    (files.endpoints / "a.conf").write_bytes(disguise(text).encode())
    assert files.configuration().load() == plain


def test_lists_may_be_repeated_and_joined(files: ConfigFiles) -> None:
    text = conf(AllowedIPs="0.0.0.0/1").replace("[Peer]", "Address = fd00:64::2\nDNS = fd00:64::1\n[Peer]")
    files.write("a.conf", text + "AllowedIPs = 128.0.0.0/1, ::/0\n")
    configuration = files.configuration()
    plan = configuration.load()
    assert plan.addresses == (ip_interface("10.64.0.2/32"), ip_interface("fd00:64::2/128"))
    assert plan.endpoints[0].allowed_ips == tuple(map(ip_network, ("0.0.0.0/1", "128.0.0.0/1", "::/0")))
    assert configuration.warnings == ()


@pytest.mark.parametrize(
    ("written", "read"),
    [("off", None), ("OFF", None), ("0", None), ("1", 1), ("25s", 25), ("1m", 60), ("65535", 65535)],
)
def test_keepalive_is_read_as_wg_and_gluetun_write_it(files: ConfigFiles, written: str, read: int | None) -> None:
    files.write("a.conf", conf(PersistentKeepalive=written))
    assert files.configuration().load().endpoints[0].persistent_keepalive_s == read


def test_host_bits_of_allowed_ips_are_masked_as_wg_does_and_said(files: ConfigFiles) -> None:
    files.write("a.conf", conf(AllowedIPs="0.0.0.0/0, 192.0.2.77/24"))
    configuration = files.configuration()
    assert configuration.load().endpoints[0].allowed_ips[1] == ip_network("192.0.2.0/24")
    assert any("a.conf line 9: host bits" in warning for warning in configuration.warnings)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("PreUp", "is never run"),
        ("PostUp", "is never run"),
        ("PreDown", "is never run"),
        ("PostDown", "is never run"),
        ("ListenPort", "has no effect"),
        ("FwMark", "has no effect"),
        ("Table", "has no effect"),
        ("SaveConfig", "has no effect"),
    ],
)
def test_what_is_not_honoured_is_named_with_its_line(files: ConfigFiles, key: str, words: str) -> None:
    path = files.write("a.conf", conf().replace("[Interface]", f"[Interface]\n{key} = touch /x; {key} = y\n{key} = z"))
    configuration = files.configuration()
    configuration.load()
    said = [warning for warning in configuration.warnings if key in warning]
    assert [
        warning.startswith(f"{path} line {line}: {key} {words}") for line, warning in zip((2, 3), said, strict=True)
    ]
    assert all(words in warning for warning in said)
    assert "touch" not in "".join(configuration.warnings)


def test_a_search_domain_is_ignored_and_said(files: ConfigFiles) -> None:
    files.write("a.conf", conf(DNS="10.64.0.1, lan.example"))
    configuration = files.configuration()
    assert configuration.load().endpoints[0].dns == (ip_address("10.64.0.1"),)
    assert any('line 4: the search domain "lan.example" is ignored' in said for said in configuration.warnings)


def test_a_preshared_key_of_zeroes_is_none_and_said(files: ConfigFiles) -> None:
    files.write("a.conf", conf(PresharedKey="A" * 43 + "="))
    configuration = files.configuration()
    assert configuration.load().endpoints[0].preshared_key is None
    assert any("preshared key of zeroes" in said for said in configuration.warnings)


NONCANONICAL = "B" * 42 + "B="

BAD_VALUES = [
    # key, value, line (None: the whole file), part of what is said, part of the remedy
    ("PrivateKey", None, None, "PrivateKey is missing", "add your private key"),
    ("PrivateKey", "abc", 2, "has 44 characters, this has 3", "copy the whole key"),
    ("PrivateKey", "A" * 43 + "=", 2, "all zeroes", "your own private key"),
    ("PrivateKey", "!" * 43 + "=", 2, "not 32 bytes in base64", "copy the whole key"),
    ("PrivateKey", NONCANONICAL, 2, "not 32 bytes in base64", "copy the whole key"),
    ("PublicKey", None, None, "PublicKey is missing", "server's public key"),
    ("PublicKey", "B" * 44, 7, "not 32 bytes in base64", "copy the whole key"),
    ("PublicKey", "A" * 43 + "=", 7, "all zeroes", "server's public key"),
    ("PresharedKey", "short", 10, "has 44 characters", "copy the whole key"),
    ("Address", None, None, "Address is missing", "10.64.0.2/32"),
    ("Address", "10.64.0.2/33", 3, "a length beyond its family's", "0 to 32"),
    ("Address", "10.64.0.2/0", 3, "every address on the link", "length that your provider gave"),
    ("Address", "10.64.0", 3, '"10.64.0" is not an IP address', "write an IPv4 or IPv6 address"),
    ("Address", "10.64.0.2/255.255.255.255", 3, "is not an address with a length", "10.64.0.2/32"),
    ("Address", "127.0.0.1/8", 3, "loopback", "one host"),
    ("Address", "fe80::1/64", 3, "link-local", "remove it"),
    ("Address", "10.64.0.2/32, 10.64.0.2/24", 3, "10.64.0.2 is there twice", "keep one"),
    ("DNS", "10.64.0.300", 4, '"10.64.0.300" is not an IP address', "write an IPv4"),
    ("DNS", "127.0.0.11", 4, "loopback", "one host"),
    ("DNS", "::", 4, "unspecified", "one host"),
    ("MTU", "575", 5, '"575" is not an MTU', "576 to 65455"),
    ("MTU", "65456", 5, "is not an MTU", "576 to 65455"),
    ("MTU", "1420.0", 5, "is not an MTU", "whole number"),
    ("Endpoint", None, None, "Endpoint is missing", "203.0.113.1:51820"),
    ("Endpoint", "203.0.113.1", 8, "has no port", "203.0.113.1:51820"),
    ("Endpoint", "203.0.113.1:", 8, '"" is not a port', "1 to 65535"),
    ("Endpoint", "203.0.113.1:0", 8, '"0" is not a port', "1 to 65535"),
    ("Endpoint", "203.0.113.1:65536", 8, "is not a port", "1 to 65535"),
    ("Endpoint", "203.0.113.1:+80", 8, "is not a port", "1 to 65535"),
    ("Endpoint", "203.0.113.1:٣", 8, "is not a port", "1 to 65535"),
    ("Endpoint", "vpn.example.com:51820", 8, '"vpn.example.com" is a host name', "use an address (for now)"),
    ("Endpoint", "203.0.113.256:51820", 8, "is not an IP address", "write an IPv4"),
    ("Endpoint", "2001:db8::1:51820", 8, "where the IPv6 address ends", "[2001:db8::1]:51820"),
    ("Endpoint", "[2001:db8::1]", 8, "where the IPv6 address ends", "brackets"),
    ("Endpoint", "[2001:db8::zz]:51820", 8, "is not an IP address", "write an IPv4"),
    ("Endpoint", "[::ffff:203.0.113.1]:51820", 8, "IPv4 address in IPv6 clothing", "one host"),
    ("Endpoint", "[fe80::1%eth0]:51820", 8, "%scope", "one host"),
    ("Endpoint", "[fe80::1]:51820", 8, "link-local", "public address"),
    ("Endpoint", "127.0.0.1:51820", 8, "loopback", "one host"),
    ("Endpoint", "0.0.0.0:51820", 8, "unspecified", "one host"),
    ("Endpoint", "224.0.0.1:51820", 8, "multicast", "one host"),
    ("Endpoint", "[ff02::1]:51820", 8, "multicast", "one host"),
    ("Endpoint", "255.255.255.255:51820", 8, "reserved", "one host"),
    ("AllowedIPs", None, None, "AllowedIPs is missing", "0.0.0.0/0, ::/0"),
    ("AllowedIPs", "0.0.0.0/33", 9, "a length beyond its family's", "0 to 32"),
    ("AllowedIPs", "everything", 9, '"everything" is not a network', "0.0.0.0/0, ::/0"),
    ("AllowedIPs", "+10.0.0.0/8", 9, "incremental change", "the networks themselves"),
    ("PersistentKeepalive", "65536", 10, "not a keepalive interval", "0 to 65535"),
    ("PersistentKeepalive", "-1", 10, "not a keepalive interval", "0 to 65535"),
    ("PersistentKeepalive", "soon", 10, "not a keepalive interval", "0 to 65535"),
]


@pytest.mark.parametrize("case", BAD_VALUES, ids=str)
def test_a_bad_value_is_refused_with_its_line_and_a_remedy(
    files: ConfigFiles, case: tuple[str, str | None, int | None, str, str]
) -> None:
    key, value, line, got, remedy = case
    path = files.write("10-primary.conf", conf(**{key: value}))
    error = refusal(files)
    assert error.attempted == f"read {path}" + ("" if line is None else f" line {line}")
    assert got in error.got
    assert remedy in error.remedy


def test_a_wrong_address_is_told_once_and_not_again_through_what_depends_on_it(files: ConfigFiles) -> None:
    files.write("10-primary.conf", conf(Address="10.64.0.300, 2001:db8:64::2/128"))
    error = refusal(files)
    assert "10.64.0.300" in error.got
    assert error.also == ()


BAD_LINES = [
    # the line that is put in, after which line, what is said, what to do
    ("PrivatKey = x", 1, 2, "the key PrivatKey is unknown", "write PrivateKey"),
    ("Colour = blue", 1, 2, "the key Colour is unknown", "remove the line"),
    ("MTU", 1, 2, "not `Key = value`", "comments need a #"),
    ("; a comment of another format", 1, 2, "not `Key = value`", "comments need a #"),
    ("MTU =", 1, 2, "MTU has no value", "write the value, or remove the line"),
    ("Endpoint = 203.0.113.1:51820", 1, 2, "Endpoint stands in [Interface]", "move it to [Peer]"),
    ("PostUp = true", 6, 7, "PostUp stands in [Peer]", "move it to [Interface]"),
    ("PrivateKey = x", 2, 3, "PrivateKey was given before", "keep one"),
    ("Endpoint = 203.0.113.2:1", 8, 9, "Endpoint was given before", "keep one"),
    ("[Interface]", 5, 6, "a second [Interface] section, after line 1", "keep one"),
    ("[Peer]", 9, 10, "a second [Peer] section, after line 6", "write a second file"),
    ("[Pear]", 9, 10, '"[Pear]" is no section', "use [Interface] and [Peer]"),
    ("[Peer", 9, 10, '"[Peer" is no section', "use [Interface] and [Peer]"),
    ("MTU = 1400", 0, 1, "MTU stands before any section", "put [Interface] above it"),
]


@pytest.mark.parametrize("case", BAD_LINES, ids=str)
def test_a_bad_line_is_refused_with_its_number_and_a_remedy(
    files: ConfigFiles, case: tuple[str, int, int, str, str]
) -> None:
    inserted, after, line, got, remedy = case
    lines = conf().splitlines()
    path = files.write("10-primary.conf", "\n".join([*lines[:after], inserted, *lines[after:]]))
    error = refusal(files)
    assert error.attempted == f"read {path} line {line}"
    assert got in error.got
    assert remedy in error.remedy


def test_a_file_without_sections_is_told_what_belongs_in_it(files: ConfigFiles) -> None:
    path = files.write("a.conf", "# nothing yet\n")
    error = refusal(files)
    assert error.attempted == f"read {path}"
    assert "no [Interface] section" in error.got
    assert "[Interface]" in error.remedy


def test_a_file_of_another_encoding_is_refused_with_its_line(files: ConfigFiles) -> None:
    path = files.write("a.conf", "")
    path.write_bytes(b"[Interface]\n# caf\xe9\n")
    error = refusal(files)
    assert error.attempted == f"read {path}"
    assert "not UTF-8 text (line 2)" in error.got
    assert "UTF-8" in error.remedy


@pytest.mark.parametrize(("key", "other"), [("PrivateKey", "PrivateKey"), ("PresharedKey", "PresharedKey")])
def test_a_secret_in_the_place_of_the_public_key_is_refused(files: ConfigFiles, key: str, other: str) -> None:
    secret = new_key()
    files.write("a.conf", conf(**{key: secret, "PublicKey": secret}))
    error = refusal(files)
    assert f"PublicKey is the same as {other}" in error.got
    assert secret not in str(error)


def test_every_mistake_of_every_file_is_found_at_once(files: ConfigFiles) -> None:
    files.write("10-a.conf", conf(Endpoint="vpn.example.com:1", MTU="9"))
    files.write("20-b.conf", conf(PrivateKey="x"))
    error = refusal(files)
    assert [mistake.attempted.rpartition("/")[2] for mistake in error.every] == [
        "10-a.conf line 5",
        "10-a.conf line 9",
        "20-b.conf line 2",
    ]
    assert str(error).endswith("(and 2 more: `sidecar check` lists them)")
