"""The lock on a real kernel: what is loaded is what is listed, and whatever was there before gives way."""

from __future__ import annotations

import re
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.core.killswitch import sealed
from sidecar.core.sights import LockStatus
from sidecar.drivers.nftables import NftablesLock, render
from sidecar.errors import LockError
from tests import policies
from tests.netns.attacks.scene import ENDPOINT4, ENDPOINT_PORT, POLICY, SENTINEL_PORT, SO_MARK, Scene, udp
from tests.netns.world import End, World
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.world import Namespace

SEALED_BY_THE_ENTRYPOINT = Path(__file__).parents[2] / "rootfs/usr/share/sidecar/sealed.nft"


@pytest.fixture
def lock() -> NftablesLock:
    return NftablesLock()


@pytest.fixture
def inside(world: World) -> Iterator[Namespace]:
    """A namespace with the devices of every policy; the test's thread is in it."""
    made, router = world.namespace("inside"), world.namespace("router")
    for number, device in enumerate(("eth0", "br-lan.7")):
        world.veth(End(made, device), End(router, f"down{number}"))
    with made.entered():
        yield made


def accepted(lock: NftablesLock, counter: str = "accepted_eth0") -> int:
    match = re.search(rf"counter {counter} {{\s+packets (\d+)", lock.listing())
    assert match
    return int(match[1])


@pytest.mark.parametrize("name", policies.EVERY)
def test_every_golden_ruleset_loads_and_is_listed_as_it_was_written(
    inside: Namespace, lock: NftablesLock, name: str
) -> None:
    inside.nft(render(policies.EVERY[name]))
    sight = lock.inspect(policies.EVERY[name])
    assert (sight.status, sight.difference) == (LockStatus.INTACT, "")


@pytest.mark.parametrize("name", policies.EVERY)
def test_every_policy_follows_the_entrypoint_s_seal(inside: Namespace, lock: NftablesLock, name: str) -> None:
    inside.nft(SEALED_BY_THE_ENTRYPOINT.read_text())
    inside.nft(
        'add table netdev sidecar\nadd chain netdev sidecar egress_eth0 { type filter hook egress device "eth0" '
        "priority filter; policy drop; }\nadd rule netdev sidecar egress_eth0 counter drop\n"
    )
    lock.apply(policies.EVERY[name])
    assert lock.inspect(policies.EVERY[name]).status is LockStatus.INTACT


FOREIGN_DEEDS = {
    "a rule at the beginning": 'insert rule inet sidecar output oifname "eth0" accept',
    "a rule at the end": "add rule netdev sidecar egress_eth0 accept",
    "a rule less": "flush chain inet sidecar forward",
    "an element": "add element inet sidecar listen_ports { 53 }",
    "a policy": "add chain inet sidecar output { policy accept; }",
    "a chain on a hook": "add chain inet sidecar evil { type filter hook output priority -400; policy accept; }",
    "a chain that is jumped to": "add chain inet sidecar evil\nadd rule inet sidecar output jump evil",
    "a chain in place of ours": (
        "flush table inet sidecar\ndelete chain inet sidecar input\nadd chain inet sidecar input"
    ),
    "a set": "add set inet sidecar evil { type ipv4_addr; }",
    "a set of another type": (
        "flush table inet sidecar\ndelete set inet sidecar tunnel_ipv4\nadd set inet sidecar tunnel_ipv4 { type mark; }"
    ),
    "a map of verdicts": "add map inet sidecar evil { type mark : verdict; }",
    "a counter": "add counter inet sidecar evil",
    "a quota": "add quota inet sidecar evil { over 1 mbytes; }",
    "a sleeping table": "add table inet sidecar { flags dormant; }",
    "no table": "delete table inet sidecar",
    "no tables at all": "flush ruleset",
    "a device less": "flush chain netdev sidecar egress_eth0\ndelete chain netdev sidecar egress_eth0",
}


@pytest.mark.parametrize("deed", FOREIGN_DEEDS)
def test_what_somebody_else_does_to_our_tables_is_told_and_undone(
    inside: Namespace, lock: NftablesLock, deed: str
) -> None:
    lock.apply(policies.GATEWAY)
    inside.nft(FOREIGN_DEEDS[deed])
    sight = lock.inspect(policies.GATEWAY)
    assert sight.status is LockStatus.CHANGED
    assert re.match(r"(missing|unexpected): (table )?(inet|netdev)", sight.difference)
    lock.apply(policies.GATEWAY)
    assert lock.inspect(policies.GATEWAY).status is LockStatus.INTACT


def test_tables_of_others_are_left_alone(inside: Namespace, lock: NftablesLock) -> None:
    foreign = "table ip nat {\n\tchain DOCKER_OUTPUT {\n\t\tudp dport 53 dnat to 127.0.0.11:40000\n\t}\n}\n"
    inside.nft(foreign)
    lock.apply(policies.GATEWAY)
    assert lock.inspect(policies.GATEWAY).status is LockStatus.INTACT
    assert "DOCKER_OUTPUT" in inside.run(["nft", "list", "ruleset"]).stdout
    assert "DOCKER_OUTPUT" not in lock.listing()


def test_a_table_that_another_process_owns_is_an_error_and_stays_as_it_is(
    inside: Namespace, lock: NftablesLock
) -> None:
    owner = inside.start(["sh", "-c", "(echo 'add table inet sidecar { flags owner; }'; sleep 60) | nft -i"])
    wait_until(lambda: "sidecar" in inside.run(["nft", "list", "tables"]).stdout, 10, "the owned table")
    assert owner.poll() is None
    with pytest.raises(LockError, match="Operation not permitted"):
        lock.apply(policies.SEALED)
    assert lock.inspect(policies.SEALED).status is LockStatus.CHANGED


def test_counters_go_on_through_every_change_of_policy(world: World) -> None:
    scene = Scene(world)
    with scene.sidecar.entered(), udp(SENTINEL_PORT) as permitted:
        permitted.setsockopt(socket.SOL_SOCKET, SO_MARK, POLICY.fwmark)
        scene.lock.apply(POLICY)
        before = accepted(scene.lock)
        changed = replace(POLICY, flows=POLICY.flows[:1], devices=("eth0", "not-yet"))
        for sent in range(1, 11):
            permitted.sendto(b"x", (ENDPOINT4, ENDPOINT_PORT))
            scene.lock.apply(changed if sent % 2 else POLICY)
            assert accepted(scene.lock) >= before + sent
        with udp() as refused, pytest.raises(PermissionError):
            refused.sendto(b"x", (ENDPOINT4, ENDPOINT_PORT))
        assert dict(scene.lock.inspect(POLICY).blocked)["output"] >= 1
        scene.sidecar.nft("add table inet sidecar { flags dormant; }")
        scene.lock.apply(POLICY)
        assert dict(scene.lock.inspect(POLICY).blocked)["output"] >= 1
    scene.close()


def test_what_was_dropped_is_reported_by_hook(world: World) -> None:
    scene = Scene(world)
    with scene.sidecar.entered():
        scene.lock.apply(sealed(["eth0", policies.TUNNEL]))
        before = dict(scene.lock.inspect(POLICY).blocked)
        with udp() as refused:
            for address in ("127.0.0.11", ENDPOINT4, ENDPOINT4):
                with pytest.raises(PermissionError):
                    refused.sendto(b"x", (address, 53))
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw, pytest.raises(OSError, match="No buffer"):
            raw.sendto(b"\xff" * 60, ("eth0", 0x0800))
        after = dict(scene.lock.inspect(sealed(["eth0", policies.TUNNEL])).blocked)
    scene.close()
    assert after["embedded DNS"] - before.get("embedded DNS", 0) == 1
    # The kernel has things to say of its own, such as which multicast groups it is in; they are dropped as well.
    assert after["output"] - before.get("output", 0) >= 2
    assert after["egress eth0"] - before.get("egress eth0", 0) >= 1


def test_a_device_is_locked_before_it_appears_where_the_kernel_can(world: World, lock: NftablesLock) -> None:
    inside, router = world.namespace("inside"), world.namespace("router")
    with inside.entered():
        try:
            lock.apply(sealed(["eth7"]))
        except LockError as error:
            pytest.skip(f"this kernel cannot (it takes 6.16): {error}")
        world.veth(End(inside, "eth7"), End(router, "down7"))
        with (
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw,
            pytest.raises(OSError, match="No buffer space"),
        ):
            raw.sendto(b"\xff" * 60, ("eth7", 0x0800))
        assert lock.inspect(sealed(["eth7"])).status is LockStatus.INTACT


@pytest.mark.parametrize("device", ["eth0.5", "br-lan", "a_b", "veth@9", "(odd)", "~!#$^&+=,;<>?'`"])
def test_a_device_with_an_odd_name_is_locked_too(world: World, lock: NftablesLock, device: str) -> None:
    inside, router = world.namespace("inside"), world.namespace("router")
    world.veth(End(inside, device), End(router, "down0"))
    with inside.entered():
        policy = replace(
            policies.GATEWAY,
            devices=(device,),
            flows=tuple(replace(flow, device=device) for flow in policies.GATEWAY.flows),
            resolutions=tuple(replace(asked, device=device) for asked in policies.GATEWAY.resolutions),
        )
        lock.apply(policy)
        assert lock.inspect(policy).status is LockStatus.INTACT


def test_two_devices_whose_names_look_alike_have_chains_of_their_own(world: World, lock: NftablesLock) -> None:
    inside, router = world.namespace("inside"), world.namespace("router")
    for number, device in enumerate(("a.b", "a-b", "a_b", "a_2eb")):
        world.veth(End(inside, device), End(router, f"down{number}"))
    with inside.entered():
        lock.apply(sealed(["a.b", "a-b", "a_b", "a_2eb"]))
        assert lock.listing().count("hook egress device") == 4


def test_an_awaited_device_is_locked_before_it_appears_and_stays_so_when_the_policy_names_it(world: World) -> None:
    inside, router = world.namespace("inside"), world.namespace("router")
    world.veth(End(inside, "eth0"), End(router, "down0"))
    lock, without = NftablesLock(["eth0", "eth1", "eth2"]), NftablesLock()
    with inside.entered():
        lock.apply(policies.GATEWAY)
        if without.inspect(policies.GATEWAY).status is LockStatus.INTACT:
            pytest.skip("this kernel locks no device that is not there (it takes 6.16)")
        assert lock.inspect(policies.GATEWAY).status is LockStatus.INTACT
        world.veth(End(inside, "late"), End(router, "down1"))
        inside.ip("link", "set", "late", "down", "name", "eth1")
        inside.ip("link", "set", "eth1", "up")
        with (
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw,
            pytest.raises(OSError, match="No buffer space"),
        ):
            raw.sendto(b"\xff" * 60, ("eth1", 0x0800))
        named = replace(policies.GATEWAY, devices=("eth0", "eth1"))
        before = dict(lock.inspect(named).blocked)["egress eth1"]
        assert before >= 1
        lock.apply(named)
        assert dict(lock.inspect(named).blocked)["egress eth1"] >= before


def test_the_tunnel_is_never_awaited(world: World) -> None:
    lock = NftablesLock(["eth0", policies.TUNNEL])
    inside, router = world.namespace("inside"), world.namespace("router")
    world.veth(End(inside, "eth0"), End(router, "down0"))
    with inside.entered():
        lock.apply(policies.GATEWAY)
        assert f'device "{policies.TUNNEL}"' not in lock.listing()
        assert lock.inspect(policies.GATEWAY).status is LockStatus.INTACT
