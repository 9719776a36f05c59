"""The filter is run by an interpreter of classic BPF, against frames that are built field by field."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.utils import checksum

from sidecar.core.killswitch import Flow, Policy, Resolution, sealed
from sidecar.core.model import MacAddress
from sidecar.drivers.capture.bpf import MAXIMUM_INSTRUCTIONS, encode, program
from sidecar.drivers.capture.instructions import Instruction
from sidecar.errors import CaptureError
from tests.classic_bpf import run

OURS, HOP, OTHER = "02:00:00:00:00:02", "02:00:00:00:00:01", "02:00:00:00:00:99"
BROADCAST = "ff:ff:ff:ff:ff:ff"
ADDRESS, GATEWAY = ip_address("10.77.0.2"), ip_address("10.77.0.1")
ADDRESS6, GATEWAY6 = ip_address("2001:db8::2"), ip_address("2001:db8::1")
ENDPOINTS = (ip_address("203.0.113.10"), ip_address("192.0.2.20"))
ENDPOINT6 = ip_address("2001:db8:1::10")
PORTS = (40001, 40002, 40003)
SOLICITED, SOLICITED_MAC = ip_address("ff02::1:ff00:1"), "33:33:ff:00:00:01"
UDP, ICMPV6 = 17, 58


def flow(source: IPv4Address | IPv6Address, endpoint: IPv4Address | IPv6Address) -> Flow:
    return Flow("eth0", MacAddress(OURS), MacAddress(HOP), source, endpoint, 51820)


def resolution(
    source: IPv4Address | IPv6Address, next_hop: IPv4Address | IPv6Address, mac: str | None = HOP
) -> Resolution:
    return Resolution("eth0", MacAddress(OURS), source, next_hop, MacAddress(mac) if mac else None)


POLICY = Policy(
    tunnel_device="wg0",
    tunnel_addresses=(ip_address("10.2.0.2"),),
    devices=("eth0", "eth1"),
    flows=(*(flow(ADDRESS, endpoint) for endpoint in ENDPOINTS), flow(ADDRESS6, ENDPOINT6)),
    resolutions=(resolution(ADDRESS, GATEWAY), resolution(ADDRESS6, GATEWAY6)),
    listen_ports=PORTS,
    fwmark=7,
)


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ethernet(kind: int, payload: bytes, source: str = OURS, destination: str = HOP) -> bytes:
    return mac(destination) + mac(source) + struct.pack("!H", kind) + payload


def ipv4(source: object = ADDRESS, destination: object = ENDPOINTS[0], payload: bytes = b"", **odd: int) -> bytes:
    header = struct.pack(
        "!BBHHHBBH",
        odd.get("first", 0x45),
        0,
        20 + len(payload),
        1,
        odd.get("fragment", 0),
        64,
        odd.get("protocol", UDP),
        0,
    )
    return header + IPv4Address(source).packed + IPv4Address(destination).packed + payload


def ipv6(source: object, destination: object, payload: bytes, protocol: int = UDP, hop_limit: int = 255) -> bytes:
    header = struct.pack("!IHBB", 0x60000000, len(payload), protocol, hop_limit)
    addresses = IPv6Address(source).packed + IPv6Address(destination).packed
    if protocol == ICMPV6:
        pseudo = addresses + struct.pack("!II", len(payload), protocol)
        payload = payload[:2] + struct.pack("!H", checksum(pseudo + payload)) + payload[4:]
    return header + addresses + payload


def udp(source_port: int = PORTS[1], destination_port: int = 51820, data: bytes = b"") -> bytes:
    return struct.pack("!HHHH", source_port, destination_port, 8 + len(data), 0) + data


def arp(operation: int, sender: str = OURS, target: str = "00:00:00:00:00:00", **odd: object) -> bytes:
    head = struct.pack("!HHBBH", odd.get("hardware", 1), 0x0800, 6, 4, operation)
    source, about = IPv4Address(odd.get("source", ADDRESS)), IPv4Address(odd.get("about", GATEWAY))
    return head + mac(sender) + source.packed + mac(target) + about.packed


def icmpv6(kind: int, about: object, option: bytes, flags: int = 0) -> bytes:
    return struct.pack("!BBHI", kind, 0, 0, flags) + IPv6Address(about).packed + option


SOURCE_OPTION, TARGET_OPTION = b"\x01\x01" + mac(OURS), b"\x02\x01" + mac(OURS)


CODE = program(POLICY, "eth0")

PERMITTED = {
    "first endpoint": ethernet(0x0800, ipv4(payload=udp())),
    "second endpoint": ethernet(0x0800, ipv4(destination=ENDPOINTS[1], payload=udp())),
    "every source port": ethernet(0x0800, ipv4(payload=udp(PORTS[2], data=b"x" * 1400))),
    "don't fragment": ethernet(0x0800, ipv4(payload=udp(), fragment=0x4000)),
    "first fragment": ethernet(0x0800, ipv4(payload=udp(), fragment=0x2000)),
    "IPv6 endpoint": ethernet(0x86DD, ipv6(ADDRESS6, ENDPOINT6, udp())),
    "ARP request": ethernet(0x0806, arp(1), destination=BROADCAST),
    "ARP request to the next hop": ethernet(0x0806, arp(1)),
    "ARP reply": ethernet(0x0806, arp(2, target=HOP)),
    "ARP reply to an endpoint on the next hop": ethernet(0x0806, arp(2, target=HOP, about=ENDPOINTS[0])),
    "solicitation": ethernet(
        0x86DD,
        ipv6(ADDRESS6, SOLICITED, icmpv6(135, GATEWAY6, SOURCE_OPTION), ICMPV6),
        destination=SOLICITED_MAC,
    ),
    "solicitation to the next hop": ethernet(
        0x86DD, ipv6(ADDRESS6, GATEWAY6, icmpv6(135, GATEWAY6, SOURCE_OPTION), ICMPV6)
    ),
    "advertisement": ethernet(0x86DD, ipv6(ADDRESS6, GATEWAY6, icmpv6(136, ADDRESS6, b"", 0x40000000), ICMPV6)),
    "advertisement with option": ethernet(
        0x86DD, ipv6(ADDRESS6, GATEWAY6, icmpv6(136, ADDRESS6, TARGET_OPTION, 0x60000000), ICMPV6)
    ),
}

FORGED = {
    "other source MAC": ethernet(0x0800, ipv4(payload=udp()), source=OTHER),
    "other next hop": ethernet(0x0800, ipv4(payload=udp()), destination=OTHER),
    "other source address": ethernet(0x0800, ipv4(source="10.77.0.3", payload=udp())),
    "other endpoint": ethernet(0x0800, ipv4(destination="203.0.113.11", payload=udp())),
    "other endpoint port": ethernet(0x0800, ipv4(payload=udp(destination_port=53))),
    "other source port": ethernet(0x0800, ipv4(payload=udp(40000))),
    "TCP": ethernet(0x0800, ipv4(payload=udp(), protocol=6)),
    "IP options": ethernet(0x0800, ipv4(payload=udp() + bytes(4), first=0x46)),
    "later fragment": ethernet(0x0800, ipv4(payload=udp(), fragment=1)),
    "IPv4 that calls itself IPv6": ethernet(0x86DD, ipv4(payload=udp())),
    "in a VLAN tag": ethernet(0x8100, struct.pack("!HH", 5, 0x0800) + ipv4(payload=udp())),
    "802.3": ethernet(40, ipv4(payload=udp())),
    "IPv6 TCP": ethernet(0x86DD, ipv6(ADDRESS6, ENDPOINT6, udp(), 6)),
    "IPv6 other endpoint": ethernet(0x86DD, ipv6(ADDRESS6, "2001:db8:1::11", udp())),
    "ARP about another": ethernet(0x0806, arp(1, about="10.77.0.9"), destination=BROADCAST),
    "ARP from another": ethernet(0x0806, arp(1, source="10.77.0.9"), destination=BROADCAST),
    "ARP with another's MAC": ethernet(0x0806, arp(1, sender=OTHER), destination=BROADCAST),
    "ARP with a word in the target": ethernet(0x0806, arp(1, target=OTHER), destination=BROADCAST),
    "ARP with a trailer": ethernet(0x0806, arp(1) + b"secret", destination=BROADCAST),
    "ARP of other hardware": ethernet(0x0806, arp(1, hardware=6), destination=BROADCAST),
    "ARP operation 3": ethernet(0x0806, arp(3), destination=BROADCAST),
    "ARP reply to another at the next hop": ethernet(0x0806, arp(2, target=HOP, about="203.0.113.11")),
    "ARP question for an endpoint": ethernet(0x0806, arp(1, about=ENDPOINTS[0]), destination=BROADCAST),
    "ARP reply to everyone": ethernet(0x0806, arp(2, target=HOP), destination=BROADCAST),
    "solicitation about another": ethernet(
        0x86DD,
        ipv6(ADDRESS6, SOLICITED, icmpv6(135, "2001:db8::9", SOURCE_OPTION), ICMPV6),
        destination=SOLICITED_MAC,
    ),
    "solicitation with a longer option": ethernet(
        0x86DD,
        ipv6(ADDRESS6, SOLICITED, icmpv6(135, GATEWAY6, SOURCE_OPTION + bytes(8)), ICMPV6),
        destination=SOLICITED_MAC,
    ),
    "solicitation with reserved bits": ethernet(
        0x86DD,
        ipv6(ADDRESS6, SOLICITED, icmpv6(135, GATEWAY6, SOURCE_OPTION, 0x1234), ICMPV6),
        destination=SOLICITED_MAC,
    ),
    "solicitation through a router": ethernet(
        0x86DD,
        ipv6(ADDRESS6, SOLICITED, icmpv6(135, GATEWAY6, SOURCE_OPTION), ICMPV6, 64),
        destination=SOLICITED_MAC,
    ),
    "advertisement to everyone": ethernet(
        0x86DD, ipv6(ADDRESS6, "ff02::1", icmpv6(136, ADDRESS6, b"", 0x60000000), ICMPV6)
    ),
    "advertisement with another flag": ethernet(
        0x86DD, ipv6(ADDRESS6, GATEWAY6, icmpv6(136, ADDRESS6, b"", 0xC0000000), ICMPV6)
    ),
    "echo": ethernet(0x86DD, ipv6(ADDRESS6, GATEWAY6, icmpv6(128, GATEWAY6, SOURCE_OPTION), ICMPV6)),
}


@pytest.mark.parametrize("frame", PERMITTED.values(), ids=PERMITTED)
def test_what_the_policy_permits_is_left_out(frame: bytes) -> None:
    assert run(CODE, frame) == 0


@pytest.mark.parametrize("frame", FORGED.values(), ids=FORGED)
def test_a_forgery_is_delivered(frame: bytes) -> None:
    assert run(CODE, frame) > 0


@pytest.mark.parametrize("frame", PERMITTED.values(), ids=PERMITTED)
def test_a_permitted_frame_is_delivered_on_another_device(frame: bytes) -> None:
    assert run(program(POLICY, "eth1"), frame) > 0


@pytest.mark.parametrize("frame", PERMITTED.values(), ids=PERMITTED)
def test_a_permitted_frame_is_delivered_when_sealed(frame: bytes) -> None:
    assert run(program(sealed(["eth0"]), "eth0"), frame) > 0


@pytest.mark.parametrize("frame", PERMITTED.values(), ids=PERMITTED)
def test_a_permitted_frame_is_delivered_with_a_tag_beside_it(frame: bytes) -> None:
    assert run(CODE, frame, tagged=True) > 0


@pytest.mark.parametrize("packet_type", [0, 1, 2, 3, 5, 6, 7])
def test_nothing_that_is_not_outgoing_is_delivered(packet_type: int) -> None:
    assert run(CODE, FORGED["TCP"], packet_type) == 0


@pytest.mark.parametrize("frame", [*PERMITTED.values(), *FORGED.values()], ids=[*PERMITTED, *FORGED])
def test_every_truncation_of_its_headers_is_delivered(frame: bytes) -> None:
    for length in range(header_bytes(frame)):
        if frame[:length] in PERMITTED.values():
            continue
        assert run(CODE, frame[:length]) > 0, length


def header_bytes(frame: bytes) -> int:
    """Return how much of a frame the filter must see: up to the payload of UDP, and all of anything else."""
    if frame[12:14] == b"\x08\x00":
        return min(len(frame), 42)
    return min(len(frame), 62) if frame[12:14] == b"\x86\xdd" and frame[20] == UDP else len(frame)


@given(frame=st.sampled_from(sorted(PERMITTED.values())), data=st.data())
def test_one_changed_header_byte_makes_a_permitted_frame_delivered_or_does_not_matter(
    frame: bytes, data: st.DataObject
) -> None:
    offset = data.draw(st.integers(0, min(len(frame), 86) - 1))
    changed = bytearray(frame)
    changed[offset] ^= data.draw(st.integers(1, 255))
    if bytes(changed) in PERMITTED.values() or not matters(frame, offset, bytes(changed)):
        return
    assert run(CODE, bytes(changed)) > 0


def matters(frame: bytes, offset: int, changed: bytes) -> bool:
    """Say by the protocols' own words which bytes a sender may choose: checksums, lengths, identifiers, classes."""
    if offset < 14 or frame[12:14] == b"\x08\x06":
        return True
    if frame[12:14] == b"\x08\x00":
        if offset in (34, 35):
            return int.from_bytes(changed[34:36], "big") not in PORTS
        if offset == 20:
            return bool(changed[20] & 0x1F)
        return offset in {14, 21, 23} or 26 <= offset < 34 or offset in (36, 37)
    if frame[20] == ICMPV6:
        return True
    if offset == 14:
        return changed[14] >> 4 != 6
    if offset in (54, 55):
        return int.from_bytes(changed[54:56], "big") not in PORTS
    return offset == 20 or 22 <= offset < 54 or offset in (56, 57)


@given(st.binary(max_size=120))
def test_noise_is_delivered(noise: bytes) -> None:
    assert run(CODE, noise) > 0


def test_an_unresolved_next_hop_leaves_only_the_question_out() -> None:
    policy = Policy("wg0", (), ("eth0",), (), (resolution(ADDRESS, GATEWAY, None),), PORTS, 7)
    code = program(policy, "eth0")
    assert run(code, PERMITTED["ARP request"]) == 0
    assert run(code, PERMITTED["ARP request to the next hop"]) > 0
    assert run(code, PERMITTED["ARP reply"]) > 0


def test_a_device_without_ethernet_addresses_has_nothing_left_out() -> None:
    odd = Flow("eth0", MacAddress("10.0.0.2"), MacAddress(HOP), ADDRESS, ENDPOINTS[0], 51820)
    policy = Policy("wg0", (), ("eth0",), (odd,), (), PORTS, 7)
    assert program(policy, "eth0") == program(sealed(["eth0"]), "eth0")


def test_an_instruction_is_eight_bytes_in_the_machines_order() -> None:
    assert encode([Instruction(0x15, 1, 2, 3)]) == struct.pack("=HBBI", 0x15, 1, 2, 3)
    assert len(encode(CODE)) == 8 * len(CODE)


def test_a_policy_that_the_kernel_would_refuse_is_an_error_with_a_remedy() -> None:
    many = tuple(flow(ADDRESS, IPv4Address(int(IPv4Address("198.51.100.0")) + number)) for number in range(200))
    policy = Policy("wg0", (), ("eth0",), many, (), PORTS, 7)
    with pytest.raises(CaptureError, match=f"takes {MAXIMUM_INSTRUCTIONS}; configure fewer"):
        program(policy, "eth0")
    wide = Policy("wg0", (), ("eth0",), many[:1], (), tuple(range(1000, 1300)), 7)
    with pytest.raises(CaptureError, match="jump spans 255"):
        program(wide, "eth0")
