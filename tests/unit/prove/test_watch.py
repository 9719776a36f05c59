"""The taps' filters, interpreted as the kernel does."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from sidecar.prove import wire
from sidecar.prove.nowhere import Nowhere
from sidecar.prove.watch import EVERYTHING, inner, off_policy, to_resolver
from tests import classic_bpf, policies

SCENE = replace(
    Nowhere(()).scene(),
    own_mac=bytes.fromhex(policies.OWN_MAC.replace(":", "")),
    router_mac=bytes.fromhex(policies.GATEWAY_MAC.replace(":", "")),
    own4=IPv4Address("10.77.0.2"),
    endpoint4=IPv4Address("203.0.113.10"),
    source_port=policies.LISTEN_PORTS[1],
)
ELSEWHERE = IPv4Address("10.1.2.3")
FLOW = wire.to_router(SCENE) + wire.ether(wire.IPV4)


def outer(source_port: int) -> bytes:
    return FLOW + wire.outer_flow(replace(SCENE, source_port=source_port))


def test_the_tunnels_own_flow_is_left_out_and_its_forgery_is_not() -> None:
    code = off_policy(policies.GATEWAY, "eth0", SCENE.source_port)
    assert not classic_bpf.run(code, outer(policies.LISTEN_PORTS[0]))
    assert classic_bpf.run(code, outer(SCENE.source_port))
    assert classic_bpf.run(code, FLOW + wire.packet(SCENE))


@pytest.mark.parametrize(
    "packet",
    [
        wire.packet(SCENE),
        wire.ipv4(SCENE.own4, ELSEWHERE, b"."),
        wire.nd_question(replace(SCENE, router6=SCENE.far6))[14:],
        b"\x60" + bytes(23) + SCENE.far6.packed + bytes(4),
    ],
    ids=["to the far side", "from the uplink's address", "from its IPv6 address", "to the far side of IPv6"],
)
def test_the_tunnel_is_watched_for_its_two_ends(packet: bytes) -> None:
    assert classic_bpf.run(inner(SCENE), packet)


def test_nothing_else_in_the_tunnel_costs_anything() -> None:
    for packet in (wire.ipv4(ELSEWHERE, ELSEWHERE, bytes(64)), b"", b"\x45"):
        assert not classic_bpf.run(inner(SCENE), packet)


def test_the_loopback_is_watched_for_the_resolver() -> None:
    code = to_resolver(SCENE)
    assert classic_bpf.run(code, bytes(14) + wire.ipv4(ELSEWHERE, SCENE.resolver4, b"."))
    assert not classic_bpf.run(code, bytes(14) + wire.ipv4(ELSEWHERE, IPv4Address("127.0.0.1"), b"."))
    assert classic_bpf.run(EVERYTHING, b"")
