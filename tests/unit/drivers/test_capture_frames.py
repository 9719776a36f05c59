from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.sights import FRAME_DATA_BYTES
from sidecar.drivers.capture.frames import parse

OURS, HOP = "02:00:00:00:00:02", "02:00:00:00:00:01"
MACS = bytes.fromhex("020000000001020000000002")
ADDRESSES = bytes([10, 77, 0, 2, 203, 0, 113, 9])
ADDRESSES6 = ip_address("2001:db8::2").packed + ip_address("2001:db8::1").packed
UDP = struct.pack("!HHHH", 5, 53, 8, 0)
ARP = bytes.fromhex("0001080006040001") + MACS[6:] + ADDRESSES[:4] + MACS[:6] + bytes([10, 77, 0, 1])


def ipv4(*, first: int = 0x45, fragment: int = 0, protocol: int = 17, payload: bytes = UDP) -> bytes:
    header = struct.pack("!BBHHHBBH", first, 0, 20 + len(payload), 1, fragment, 64, protocol, 0)
    return MACS + b"\x08\x00" + header + ADDRESSES + payload


def ipv6(protocol: int, payload: bytes) -> bytes:
    return MACS + b"\x86\xdd" + struct.pack("!IHBB", 0x60000000, len(payload), protocol, 255) + ADDRESSES6 + payload


ND = ipv6(58, bytes([135, 0, 0, 0, 0, 0, 0, 0]) + ip_address("2001:db8::1").packed + b"\x01\x01" + MACS[6:])


def test_udp_over_ipv4() -> None:
    frame = parse("eth0", ipv4(), 42)
    assert (frame.device, frame.source_mac, frame.destination_mac) == ("eth0", OURS, HOP)
    assert (frame.ether_type, frame.protocol, frame.length_bytes) == (0x0800, 17, 42)
    assert (frame.source_address, frame.source_port) == (ip_address("10.77.0.2"), 5)
    assert (frame.destination_address, frame.destination_port) == (ip_address("203.0.113.9"), 53)
    assert frame.summary == "IPv4 10.77.0.2:5 > 203.0.113.9:53 UDP, 42 bytes"


def test_ports_are_found_behind_ip_options() -> None:
    assert parse("eth0", ipv4(first=0x46, payload=bytes(4) + UDP), 46).destination_port == 53


def test_a_later_fragment_has_no_ports_and_a_first_one_has() -> None:
    assert parse("eth0", ipv4(fragment=185), 42).source_port is None
    assert parse("eth0", ipv4(fragment=0x2000), 42).source_port == 5


def test_icmp_has_no_ports() -> None:
    frame = parse("eth0", ipv4(protocol=1), 42)
    assert (frame.source_port, frame.destination_port) == (None, None)
    assert frame.summary == "IPv4 10.77.0.2 > 203.0.113.9 ICMP, 42 bytes"


@pytest.mark.parametrize("first", [0x65, 0x44, 0x00])
def test_an_ipv4_header_that_contradicts_itself_tells_nothing(first: int) -> None:
    frame = parse("eth0", ipv4(first=first), 42)
    assert (frame.source_address, frame.protocol, frame.destination_port) == (None, None, None)
    assert frame.summary.startswith("malformed IPv4")


def test_udp_over_ipv6() -> None:
    frame = parse("eth0", ipv6(17, UDP), 62)
    assert (frame.protocol, frame.source_port, frame.destination_port) == (17, 5, 53)
    assert frame.summary == "IPv6 [2001:db8::2]:5 > [2001:db8::1]:53 UDP, 62 bytes"


def test_behind_an_extension_header_there_are_no_ports() -> None:
    frame = parse("eth0", ipv6(44, UDP), 62)
    assert (frame.protocol, frame.destination_port) == (44, None)


def test_neighbour_discovery_says_which_message_it_is() -> None:
    assert parse("eth0", ND, 86).summary == "IPv6 2001:db8::2 > 2001:db8::1 ICMPv6 type 135, 86 bytes"
    assert parse("eth0", ipv6(58, b""), 54).summary == "IPv6 2001:db8::2 > 2001:db8::1 ICMPv6, 54 bytes"


def test_arp_tells_both_protocol_addresses_and_its_operation() -> None:
    frame = parse("eth0", MACS + b"\x08\x06" + ARP, 42)
    assert (frame.source_address, frame.destination_address) == (ip_address("10.77.0.2"), ip_address("10.77.0.1"))
    assert frame.summary == f"ARP request from 10.77.0.2 about 10.77.0.1, {OURS} > {HOP}, 42 bytes"


@pytest.mark.parametrize("length", range(28))
def test_truncated_arp_is_of_odd_shape_and_gets_no_address_from_anywhere(length: int) -> None:
    frame = parse("eth0", MACS + b"\x08\x06" + ARP[:length], 14 + length)
    assert (frame.source_address, frame.destination_address) == (None, None)
    assert frame.summary.startswith("malformed ARP")


@pytest.mark.parametrize("offset", [1, 2, 4, 5])
def test_arp_of_other_hardware_protocol_or_lengths_is_of_odd_shape(offset: int) -> None:
    odd = bytearray(ARP)
    odd[offset] ^= 1
    assert parse("eth0", MACS + b"\x08\x06" + odd, 42).summary.startswith("malformed ARP")


def test_a_length_in_the_place_of_the_ether_type_is_802_3() -> None:
    frame = parse("eth0", MACS + b"\x05\xff" + bytes(40), 54)
    assert frame.ether_type is None
    assert frame.summary == f"802.3 {OURS} > {HOP}, 54 bytes"


@pytest.mark.parametrize(("tag", "name"), [(0x8100, "802.1Q"), (0x88A8, "802.1ad")])
def test_a_tagged_frame_is_not_what_it_carries(tag: int, name: str) -> None:
    frame = parse("eth0", MACS + struct.pack("!HH", tag, 0x2005) + ipv4()[12:], 46)
    assert (frame.ether_type, frame.protocol, frame.source_address) == (tag, None, None)
    assert frame.summary == f"{name} VLAN 5 {OURS} > {HOP}, 46 bytes"


def test_an_unknown_ether_type_is_named() -> None:
    assert parse("eth0", MACS + b"\x88\xcc" + bytes(46), 60).summary == f"EtherType 0x88cc {OURS} > {HOP}, 60 bytes"


def test_the_beginning_of_a_frame_is_kept_and_never_shown() -> None:
    long = ipv4(payload=UDP + b"secret" * 100)
    assert parse("eth0", ND, 86).data == ND
    assert parse("eth0", long, len(long)).data == long[:FRAME_DATA_BYTES]
    assert "secret" not in repr(parse("eth0", long, len(long)))


def test_the_length_is_the_wires_where_only_the_beginning_was_kept() -> None:
    assert parse("eth0", ipv4(payload=UDP + bytes(2000)), 65_000).length_bytes == 65_000


WHOLE = [ipv4(), ipv6(17, UDP), ND, MACS + b"\x08\x06" + ARP, MACS + b"\x81\x00\x00\x05" + ipv4()[12:]]


@given(
    st.binary(max_size=200)
    | st.sampled_from(WHOLE).flatmap(lambda whole: st.binary().map(lambda rest: whole[:14] + rest))
)
def test_no_bytes_make_it_raise(data: bytes) -> None:
    frame = parse("eth0", data, len(data))
    assert frame.summary.endswith(f", {len(data)} bytes")
    hash(frame)


@given(st.sampled_from(WHOLE), st.data())
def test_what_was_cut_off_is_none_and_what_is_left_is_as_in_the_whole(whole: bytes, data: st.DataObject) -> None:
    cut = parse("eth0", whole[: data.draw(st.integers(14, len(whole)))], 0)
    full = parse("eth0", whole, 0)
    for name in ("source_address", "destination_address", "protocol", "source_port", "destination_port"):
        assert getattr(cut, name) in (None, getattr(full, name))
