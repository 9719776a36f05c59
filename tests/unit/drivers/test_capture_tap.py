from __future__ import annotations

import struct

import pytest

from sidecar.drivers.capture.frames import parse
from sidecar.drivers.capture.tap import _raw

FRAME = bytes.fromhex("020000000001 020000000002 0800") + b"\x45" + bytes(27)
ETHERNET, NONE = ("eth0", 0x0800, 4, 1, b""), ("tun0", 0x0800, 4, 65534, b"")
VLAN_VALID, TPID_VALID = 0x10, 0x40


def auxdata(status: int, length: int, tag: int = 0, kind: int = 0) -> list[tuple[int, int, bytes]]:
    return [(1, 29, b"some other message"), (263, 8, struct.pack("=IIIHHHH", status, length, 0, 0, 0, tag, kind))]


def test_a_frame_is_handed_over_as_it_is_with_its_length_on_the_wire() -> None:
    raw = _raw(FRAME, auxdata(0, 9000), ETHERNET)
    assert (raw.load, raw.wirelen) == (FRAME, 9000)


def test_without_auxiliary_data_the_length_is_what_came() -> None:
    assert _raw(FRAME, [], ETHERNET).wirelen == len(FRAME)


@pytest.mark.parametrize(
    ("status", "kind", "tag_type"), [(VLAN_VALID, 0, 0x8100), (VLAN_VALID | TPID_VALID, 0x88A8, 0x88A8)]
)
def test_a_tag_beside_the_frame_is_put_where_it_goes_on_the_wire(status: int, kind: int, tag_type: int) -> None:
    raw = _raw(FRAME, auxdata(status, len(FRAME), 5, kind), ETHERNET)
    assert raw.load == FRAME[:12] + struct.pack("!HH", tag_type, 5) + FRAME[12:]
    assert raw.wirelen == len(FRAME) + 4
    assert parse("eth0", raw.load, raw.wirelen).ether_type == tag_type


def test_a_tag_of_zero_is_a_tag() -> None:
    assert parse("eth0", _raw(FRAME, auxdata(VLAN_VALID, len(FRAME)), ETHERNET).load, 46).ether_type == 0x8100


def test_what_left_by_a_device_without_hardware_addresses_gets_a_header_of_zeros() -> None:
    raw = _raw(FRAME[14:], auxdata(0, 28), NONE)
    assert raw.load == bytes(12) + FRAME[12:]
    assert raw.wirelen == len(FRAME)
