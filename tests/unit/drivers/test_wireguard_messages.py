"""The kernel's messages, checked against their layout on the wire by a decoder of the test's own."""

from __future__ import annotations

import base64
import secrets
import socket
import struct
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest
from pyroute2.netlink.generic.wireguard import wgmsg

from sidecar.core.model import Endpoint, PublicKey, Secret
from sidecar.core.sights import PeerSight, WireGuardSight
from sidecar.drivers.wireguard_kernel.messages import parse_device, rebind_attributes, switch_attributes

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER_BYTES = 16 + 4  # nlmsghdr, genlmsghdr
# <linux/wireguard.h>, counted there and not taken from the code under test
IFNAME, PRIVATE_KEY, FLAGS, LISTEN_PORT, FWMARK_, PEERS = 2, 3, 5, 6, 7, 8
PEER_PUBLIC_KEY, PEER_PRESHARED_KEY, PEER_FLAGS, PEER_ENDPOINT, PEER_KEEPALIVE, PEER_ALLOWED_IPS = 1, 2, 3, 4, 5, 9
REPLACE_PEERS, REPLACE_ALLOWED_IPS = 1, 2


def key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


PRIVATE, PUBLIC, PRESHARED = key(), key(), key()
ENDPOINT = Endpoint(
    name="10-primary",
    address=ip_address("203.0.113.1"),
    port=51820,
    public_key=PublicKey(PUBLIC),
    private_key=Secret(PRIVATE),
    preshared_key=Secret(PRESHARED),
    persistent_keepalive_s=25,
    allowed_ips=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")),
    dns=(),
    mtu_bytes=None,
)


def encoded(attributes: list[Any]) -> bytes:
    message = wgmsg()
    message["attrs"] = attributes
    message.encode()
    return bytes(message.data)


def decoded(attributes: list[Any]) -> Any:
    message = wgmsg(encoded(attributes))
    message.decode()
    return message


def walk(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3FFF, data[4:length]
        data = data[(length + 3) & ~3 :]


def on_the_wire(endpoint: Endpoint) -> tuple[dict[int, bytes], dict[int, bytes]]:
    attributes = switch_attributes("wg0", endpoint, 40001, 0xDEADBEEF)
    device = dict(walk(encoded(attributes)[HEADER_BYTES:]))
    ((_, peer),) = walk(device[PEERS])
    return device, dict(walk(peer))


def test_a_switch_replaces_every_peer_in_one_message() -> None:
    device, peer = on_the_wire(ENDPOINT)
    assert device[IFNAME] == b"wg0\0"
    assert device[FLAGS] == struct.pack("=I", REPLACE_PEERS)
    assert device[PRIVATE_KEY] == base64.b64decode(PRIVATE)
    assert device[LISTEN_PORT] == struct.pack("=H", 40001)
    assert device[FWMARK_] == struct.pack("=I", 0xDEADBEEF)
    assert peer[PEER_PUBLIC_KEY] == base64.b64decode(PUBLIC)
    assert peer[PEER_PRESHARED_KEY] == base64.b64decode(PRESHARED)
    assert peer[PEER_FLAGS] == struct.pack("=I", REPLACE_ALLOWED_IPS)
    assert peer[PEER_KEEPALIVE] == struct.pack("=H", 25)


def test_an_endpoint_is_a_socket_address_of_its_family() -> None:
    ipv4 = struct.pack("=H", socket.AF_INET) + struct.pack(">H", 51820) + ip_address("203.0.113.1").packed + bytes(8)
    assert on_the_wire(ENDPOINT)[1][PEER_ENDPOINT] == ipv4
    address = ip_address("2001:db8::1")
    ipv6 = struct.pack("=H", socket.AF_INET6) + struct.pack(">HI", 51820, 0) + address.packed + struct.pack("=I", 0)
    assert on_the_wire(replace(ENDPOINT, address=address))[1][PEER_ENDPOINT] == ipv6


def test_allowed_ips_are_family_address_and_prefix_length() -> None:
    entries = [dict(walk(entry)) for _, entry in walk(on_the_wire(ENDPOINT)[1][PEER_ALLOWED_IPS])]
    assert entries == [
        {1: struct.pack("=H", socket.AF_INET), 2: ip_address("10.0.0.0").packed, 3: b"\x08"},
        {1: struct.pack("=H", socket.AF_INET6), 2: ip_address("2001:db8::").packed, 3: b"\x20"},
    ]


def test_without_keepalive_or_preshared_key_the_one_is_off_and_the_other_absent() -> None:
    _, peer = on_the_wire(replace(ENDPOINT, persistent_keepalive_s=None, preshared_key=None))
    assert peer[PEER_KEEPALIVE] == b"\0\0"
    assert PEER_PRESHARED_KEY not in peer


def test_a_rebind_touches_the_port_alone() -> None:
    assert set(dict(walk(encoded(rebind_attributes("wg0", 40002))[HEADER_BYTES:]))) == {IFNAME, LISTEN_PORT}


@pytest.mark.parametrize(("broken", "words"), [("not base64!", "not base64"), ("c2hvcnQ=", "5 bytes, not 32")])
def test_a_key_that_is_none_is_refused_without_being_shown(broken: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        switch_attributes("wg0", replace(ENDPOINT, private_key=Secret(broken)), 40001, 0)
    assert broken not in str(caught.value)


def a_peer(public_key: str, allowed: str, *, seconds: int = 1000) -> dict[str, Any]:
    network = ip_network(allowed)
    entry = [
        ["WGALLOWEDIP_A_FAMILY", int(socket.AF_INET)],
        ["WGALLOWEDIP_A_IPADDR", network.network_address.packed],
        ["WGALLOWEDIP_A_CIDR_MASK", network.prefixlen],
    ]
    attributes = [
        ["WGPEER_A_PUBLIC_KEY", public_key],
        ["WGPEER_A_ENDPOINT", {"addr": "203.0.113.1", "port": 51820}],
        ["WGPEER_A_LAST_HANDSHAKE_TIME", {"tv_sec": seconds, "tv_nsec": 500_000_000 if seconds else 0}],
        ["WGPEER_A_RX_BYTES", 148],
        ["WGPEER_A_TX_BYTES", 92],
        ["WGPEER_A_ALLOWEDIPS", [{"attrs": entry}]],
    ]
    return {"attrs": attributes}


def a_dump(*peers: dict[str, Any], private_key: str = PRIVATE) -> Any:
    return decoded(
        [
            ["WGDEVICE_A_IFNAME", "wg0"],
            ["WGDEVICE_A_PRIVATE_KEY", private_key],
            ["WGDEVICE_A_LISTEN_PORT", 40001],
            ["WGDEVICE_A_FWMARK", 4660],
            ["WGDEVICE_A_PEERS", list(peers)],
        ]
    )


def test_a_device_is_read_with_its_peer() -> None:
    assert parse_device([a_dump(a_peer(PUBLIC, "0.0.0.0/0"))], 1010.0) == WireGuardSight(
        Secret(PRIVATE),
        40001,
        4660,
        PeerSight(
            public_key=PublicKey(PUBLIC),
            endpoint_address=ip_address("203.0.113.1"),
            endpoint_port=51820,
            allowed_ips=(ip_network("0.0.0.0/0"),),
            rx_bytes=148,
            tx_bytes=92,
            latest_handshake_age_s=9.5,
        ),
    )


def test_a_peer_that_goes_on_in_the_next_message_is_one_peer() -> None:
    messages = [a_dump(a_peer(PUBLIC, "10.0.0.0/8")), a_dump(a_peer(PUBLIC, "192.0.2.0/24"))]
    peer = parse_device(messages, 1010.0).peer
    assert peer is not None
    assert peer.allowed_ips == (ip_network("10.0.0.0/8"), ip_network("192.0.2.0/24"))


def test_two_peers_are_never_ours() -> None:
    assert parse_device([a_dump(a_peer(PUBLIC, "10.0.0.0/8"), a_peer(key(), "192.0.2.0/24"))], 0.0).peer is None


def test_a_fresh_device_has_no_key_and_no_peer() -> None:
    nothing = base64.b64encode(bytes(32)).decode()
    assert parse_device([decoded([["WGDEVICE_A_PRIVATE_KEY", nothing]])], 0.0) == WireGuardSight(None, 0, 0)
    assert parse_device([decoded([["WGDEVICE_A_IFNAME", "wg0"]])], 0.0) == WireGuardSight(None, 0, 0)


def test_no_handshake_has_no_age_and_a_clock_that_was_set_back_no_negative_one() -> None:
    for seconds, age_s in ((0, None), (2000, 0.0)):
        peer = parse_device([a_dump(a_peer(PUBLIC, "10.0.0.0/8", seconds=seconds))], 1010.0).peer
        assert peer is not None
        assert peer.latest_handshake_age_s == age_s
