"""The proof itself, in a namespace with a lock: what it says of one that holds, and of those that do not."""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

import pytest

from sidecar.core.model import Endpoint, Pins, Plan, PublicKey, Secret
from sidecar.core.proof import DEVICE
from sidecar.drivers.nftables import NftablesLock
from sidecar.drivers.xdp import KernelXdpHold
from sidecar.prove.facts import Facts, look
from sidecar.prove.runner import SCRATCH, WITHIN, prove
from sidecar.prove.verdict import Control, Proof, Result
from tests.netns.world import End
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.netns.world import Namespace, World

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
ROUTER, ROUTER6, ENDPOINT = "10.77.0.1", "2001:db8:77::1", "203.0.113.10"
MAY_BE_MISSING = {"sctp", "dccp", "a_ping_socket", "a_ping_socket_of_ipv6", "udp_by_io_uring"}
DEADLINE_S = 10.0


class Locked:
    """A namespace with an uplink, a tunnel whose other end is a file, and the lock of the watchdog's own policy."""

    def __init__(self, world: World) -> None:
        self.sidecar, self.router = world.namespace("sidecar"), world.namespace("router")
        self.sidecar.sysctl("net/ipv4/ping_group_range", "0 2147483647")
        world.veth(
            End(self.sidecar, "eth0", ["10.77.0.2/24", "2001:db8:77::2/64"], "02:00:00:00:00:02"),
            End(self.router, "down0", [f"{ROUTER}/24", f"{ROUTER6}/64"], "02:00:00:00:00:01"),
        )
        self.lock, self.hold = NftablesLock(), KernelXdpHold()
        with self.sidecar.entered():
            self.tunnel = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self.tunnel, TUNSETIFF, struct.pack("16sH22x", b"wg0", IFF_TUN | IFF_NO_PI))
        self._lead()
        with self.sidecar.entered():
            self.facts = look(plan())
        self.lock_up()

    def _lead(self) -> None:
        ip = self.sidecar.ip
        ip("address", "add", "10.64.0.2/32", "dev", "wg0")
        ip("link", "set", "wg0", "up")
        ip("neighbour", "replace", ROUTER, "lladdr", "02:00:00:00:00:01", "dev", "eth0")
        ip("route", "add", ENDPOINT, "via", ROUTER, "proto", "73")
        ip("route", "add", "default", "dev", "wg0")

    def lock_up(self) -> None:
        with self.sidecar.entered():
            self.lock.apply(self.facts.policy)
            self.hold.hold(("eth0",))

    def prove(self, leave_out: Callable[[], AbstractContextManager[str]], **how: bool) -> Proof:
        with self.sidecar.entered():
            return prove(self.facts, leave_out, **how)

    @contextmanager
    def leave_out(self) -> Iterator[str]:
        """Do what the watchdog does while a proof runs."""
        self.lock.apply(replace(self.facts.policy, proof_device=DEVICE))
        yield ""
        self.lock.apply(self.facts.policy)

    def close(self) -> None:
        os.close(self.tunnel)
        self.hold.close()


def plan() -> Plan:
    key = Secret("a" * 43 + "=")
    endpoint = Endpoint(
        "10-primary", ip_address(ENDPOINT), 51820, PublicKey("b" * 43 + "="), key, None, None,
        (ip_network("0.0.0.0/0"),), (), None,
    )  # fmt: skip
    pins = Pins(0x5EC2E7AA, (20001, 20002))
    return Plan((endpoint,), (ip_interface("10.64.0.2/32"),), (), pins, "digest")


@pytest.fixture
def locked(world: World) -> Iterator[Locked]:
    made = Locked(world)
    yield made
    made.close()


@contextmanager
def nobody_asked() -> Iterator[str]:
    yield "nobody answers"


def names(rows: object) -> set[str]:
    return {row.attack.name for row in rows}  # type: ignore[attr-defined]


def told(proof: Proof) -> str:
    return "\n".join(
        f"{row.attack.name}: {row.shown.control.value} {row.shown.why} / {row.faced.result.value} {row.faced.held_by}"
        for row in proof.tried
        if not row.proves
    )


def test_a_lock_that_holds_is_proved_attack_by_attack(locked: Locked) -> None:
    proof = locked.prove(nobody_asked)
    assert proof.holds, told(proof)
    assert proof.place == SCRATCH
    assert names(proof.impossible) <= MAY_BE_MISSING
    assert len(proof.tried) > 80
    assert all(row.faced.held_by for row in proof.tried)
    by = {row.attack.name: row.faced.held_by for row in proof.rows}
    assert by["a_frame"] == "egress eth0"
    assert by["udp_bound_to_the_device"] == "output"
    assert by["udp_by_the_default_route"] == "it went into the tunnel"
    assert by["dns_to_the_embedded_resolver"] == "embedded DNS"
    assert by["frames_by_af_xdp"] == "the kernel: Device or resource busy"


def test_the_device_that_leads_nowhere_will_do_where_no_namespace_can_be_made(locked: Locked) -> None:
    proof = locked.prove(locked.leave_out, may_scratch=False)
    assert proof.holds, told(proof)
    assert proof.place == WITHIN
    assert names(proof.impossible) <= MAY_BE_MISSING
    wait_until(lambda: DEVICE not in locked.sidecar.ip("link"), DEADLINE_S, "the device to go with the proof")


def test_what_is_left_out_for_a_proof_lets_nothing_out_by_the_uplink(locked: Locked) -> None:
    with locked.sidecar.entered():
        locked.lock.apply(replace(locked.facts.policy, proof_device=DEVICE))
    proof = locked.prove(nobody_asked, may_scratch=False)
    assert proof.holds, told(proof)


def test_controls_that_the_lock_stops_prove_nothing(locked: Locked) -> None:
    proof = locked.prove(nobody_asked, may_scratch=False)
    assert not proof.holds
    assert proof.out == ()
    assert proof.remark == "nobody answers"
    assert {"udp_bound_to_the_device", "icmp_echo"} <= names(proof.without_control)
    assert "a_frame" not in names(proof.without_control)


def test_without_a_lock_everything_gets_out_and_is_named(locked: Locked) -> None:
    take_away(locked.sidecar)
    locked.sidecar.ip("route", "add", "default", "via", ROUTER6)
    locked.sidecar.ip("neighbour", "replace", ROUTER6, "lladdr", "02:00:00:00:00:01", "dev", "eth0")
    proof = locked.prove(nobody_asked)
    assert not proof.holds
    led_into_the_tunnel = {"udp_by_the_default_route", "tcp_by_the_default_route"}
    held_all_the_same = {"frames_by_af_xdp", "the_uplinks_ipv6_address_into_the_tunnel"}  # it has no IPv6
    only_the_lock_counts_these = {"a_frame_past_the_queue"}
    rest = names(row for row in proof.tried if row.faced.result is not Result.OUT)
    assert rest <= led_into_the_tunnel | held_all_the_same | only_the_lock_counts_these, told(proof)


def test_a_lock_without_its_second_wall_is_found_out(locked: Locked) -> None:
    locked.sidecar.nft("delete table netdev sidecar")
    proof = locked.prove(nobody_asked)
    assert not proof.holds
    assert {"a_frame", "arp_with_a_trailer", "a_frame_with_two_vlan_tags"} <= names(proof.out)
    assert not {"udp_bound_to_the_device", "icmp_echo"} & names(proof.out)


def test_frames_that_no_tap_sees_are_found_by_the_accounts(locked: Locked) -> None:
    locked.hold.close()
    proof = locked.prove(nobody_asked)
    assert names(proof.out) == {"frames_by_af_xdp"}, told(proof)
    (row,) = proof.out
    assert row.shown.control is Control.OUT
    assert not row.shown.tap_sees
    assert row.faced.frames == 8
    assert "never accepted" in row.faced.held_by


def test_an_uplink_that_goes_down_leaves_nothing_proved(locked: Locked) -> None:
    facts: Facts = locked.facts
    locked.sidecar.ip("link", "set", "eth0", "down")
    with locked.sidecar.entered():
        proof = prove(facts, nobody_asked)
    assert not proof.holds
    assert {row.faced.result for row in proof.rows} == {Result.NOT_TRIED}


def take_away(namespace: Namespace) -> None:
    for family in ("inet", "netdev"):
        namespace.nft(f"delete table {family} sidecar")
