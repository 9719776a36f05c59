from __future__ import annotations

import base64
import secrets
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from sidecar.core.model import Endpoint, PublicKey, Secret
from sidecar.core.sights import PeerSight, WireGuardSight
from sidecar.drivers.wireguard_userspace.text import join, parse_device, switch_lines


def key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def hexadecimal(text: str) -> str:
    return base64.b64decode(text).hex()


PRIVATE, PUBLIC, PRESHARED = key(), key(), key()
ENDPOINT = Endpoint(
    name="10-primary",
    address=ip_address("203.0.113.1"),
    port=51820,
    public_key=PublicKey(PUBLIC),
    private_key=Secret(PRIVATE),
    preshared_key=Secret(PRESHARED),
    persistent_keepalive_s=25,
    allowed_ips=(ip_network("0.0.0.0/0"), ip_network("2001:db8::/32")),
    dns=(),
    mtu_bytes=None,
)
PEER_LINES = [
    ("public_key", hexadecimal(PUBLIC)),
    ("preshared_key", "0" * 64),
    ("protocol_version", "1"),
    ("endpoint", "203.0.113.1:51820"),
    ("last_handshake_time_sec", "1000"),
    ("last_handshake_time_nsec", "500000000"),
    ("tx_bytes", "92"),
    ("rx_bytes", "148"),
    ("persistent_keepalive_interval", "25"),
    ("allowed_ip", "0.0.0.0/0"),
    ("allowed_ip", "2001:db8::/32"),
]
DEVICE_LINES = [("private_key", hexadecimal(PRIVATE)), ("listen_port", "40001"), ("fwmark", "4660")]


def peer_of(**changes: str) -> PeerSight:
    lines = [(name, changes.get(name, value)) for name, value in PEER_LINES]
    peer = parse_device(DEVICE_LINES + lines, 1010.0).peer
    assert peer is not None
    return peer


def test_a_switch_names_everything_that_changes_with_the_endpoint() -> None:
    assert switch_lines(ENDPOINT, 40001, 0x1234) == [
        "listen_port=40001",
        "fwmark=4660",
        f"private_key={hexadecimal(PRIVATE)}",
        "replace_peers=true",
        f"public_key={hexadecimal(PUBLIC)}",
        f"preshared_key={hexadecimal(PRESHARED)}",
        "endpoint=203.0.113.1:51820",
        "persistent_keepalive_interval=25",
        "replace_allowed_ips=true",
        "allowed_ip=0.0.0.0/0",
        "allowed_ip=2001:db8::/32",
    ]


def test_what_an_endpoint_does_not_have_is_switched_off() -> None:
    lines = switch_lines(replace(ENDPOINT, preshared_key=None, persistent_keepalive_s=None), 1, 0)
    assert not any(line.startswith("preshared_key") for line in lines)
    assert "persistent_keepalive_interval=0" in lines


def test_an_ipv6_endpoint_is_in_brackets() -> None:
    assert join(ip_address("2001:db8::1"), 51820) == "[2001:db8::1]:51820"


def test_a_key_that_is_not_base64_is_refused_without_being_shown() -> None:
    broken = "not base64!" + PRIVATE
    with pytest.raises(ValueError, match="not base64") as caught:
        switch_lines(replace(ENDPOINT, private_key=Secret(broken)), 1, 0)
    assert PRIVATE not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_fresh_device_has_no_key_and_no_peer() -> None:
    assert parse_device([("listen_port", "39815")], 0.0) == WireGuardSight(None, 39815, 0)


def test_a_device_is_read_with_its_peer() -> None:
    assert parse_device(DEVICE_LINES + PEER_LINES, 1010.0) == WireGuardSight(
        Secret(PRIVATE),
        40001,
        4660,
        PeerSight(
            public_key=PublicKey(PUBLIC),
            endpoint_address=ip_address("203.0.113.1"),
            endpoint_port=51820,
            allowed_ips=ENDPOINT.allowed_ips,
            rx_bytes=148,
            tx_bytes=92,
            latest_handshake_age_s=9.5,
        ),
    )


def test_two_peers_are_never_ours() -> None:
    second = [("public_key", hexadecimal(key())), *PEER_LINES[1:]]
    assert parse_device(DEVICE_LINES + PEER_LINES + second, 1010.0).peer is None


def test_no_handshake_has_no_age() -> None:
    assert peer_of(last_handshake_time_sec="0", last_handshake_time_nsec="0").latest_handshake_age_s is None


def test_a_clock_that_was_set_back_makes_no_negative_age() -> None:
    assert peer_of(last_handshake_time_sec="2000").latest_handshake_age_s == 0.0


def test_a_peer_may_have_an_ipv6_endpoint_or_none() -> None:
    peer = peer_of(endpoint="[2001:db8::1]:51821")
    assert (peer.endpoint_address, peer.endpoint_port) == (ip_address("2001:db8::1"), 51821)
    lines = [line for line in PEER_LINES if line[0] != "endpoint"]
    unreached = parse_device(lines, 0.0).peer
    assert unreached is not None
    assert (unreached.endpoint_address, unreached.endpoint_port) == (None, None)


@pytest.mark.parametrize(
    "line", [("listen_port", "many"), ("private_key", "zz"), ("public_key", "0"), ("endpoint", "nowhere")]
)
def test_an_answer_that_makes_no_sense_is_a_value_error(line: tuple[str, str]) -> None:
    lines = [("public_key", "00"), line] if line[0] == "endpoint" else [line]
    with pytest.raises(ValueError, match=r".+"):
        parse_device(lines, 0.0)
