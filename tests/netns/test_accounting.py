"""Accounting on real devices: what the lock accepts and what the device counts, under load and under attack."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.core.account import Finding, Ledger, audit
from sidecar.core.killswitch import sealed
from sidecar.core.model import LeakStatus
from sidecar.drivers.accounting import KernelAccounting
from sidecar.drivers.nftables import NftablesLock
from sidecar.drivers.nftables.device_chains import accepted
from sidecar.drivers.nftables.render import TABLE
from tests.netns import accounted, xdp_attack
from tests.waiting import wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from sidecar.core.sights import Account
    from tests.netns.world import Namespace, World

ROOT = Path(accounted.__file__).parents[2]
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20
CLEAN, LEAKING, UNKNOWN = LeakStatus.CLEAN, LeakStatus.LEAKING, LeakStatus.UNKNOWN


class Uplink:
    """A counted eth0; the test's thread is in its namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self._accounting = accounted.accounting()
        self._ledgers: tuple[Ledger, ...] = ()
        namespace.nft(accounted.rules("eth0"))

    def read(self) -> Account:
        (account,) = self._accounting.read(("eth0",))
        return account

    def look(self) -> Finding:
        self._ledgers, (finding,) = audit(self._ledgers, self._accounting.read(("eth0",)), ("eth0",))
        return finding

    def settle(self) -> None:
        wait_until(lambda: self.look().status is CLEAN, 10.0, "the account to be settled")

    def leak(self, frames: int) -> None:
        assert xdp_attack.attack("eth0", 0, 0, frames=frames, marker=b"leak", seconds=5.0)["taken"] == frames

    def start_sender(self, packets: int, segments: int) -> subprocess.Popen[str]:
        program = f"from tests.netns import accounted; accounted.send({packets}, segments={segments})"
        return self.namespace.start(["env", "-C", str(ROOT), sys.executable, "-c", program])


def _uplink(world: World, kind: str) -> Uplink:
    try:
        return Uplink(accounted.uplink(world, kind))
    except AssertionError as error:
        if "Unknown device type" in str(error):
            pytest.skip(f"this kernel has no {kind}")
        raise


@pytest.fixture(params=["veth", "macvlan", "ipvlan"])
def uplink(request: pytest.FixtureRequest, world: World) -> Iterator[Uplink]:
    made = _uplink(world, request.param)
    with made.namespace.entered():
        yield made


@pytest.fixture
def veth(world: World) -> Iterator[Uplink]:
    made = _uplink(world, "veth")
    with made.namespace.entered():
        yield made


def _balance(account: Account) -> int:
    return account.accepted_after - account.transmitted - account.dropped


@pytest.mark.parametrize("to", ["10.77.0.1", "2001:db8::1"])
@pytest.mark.parametrize("segments", [1, accounted.SEGMENTS])
def test_a_packet_of_many_segments_is_one_frame_on_both_sides(uplink: Uplink, segments: int, to: str) -> None:
    before = uplink.read()
    accounted.send(100, segments=segments, to=to)
    after = uplink.read()
    assert after.is_exact
    assert 100 <= after.accepted_after - before.accepted_after < 110
    assert _balance(after) == _balance(before)


def test_what_the_lock_drops_is_on_neither_side(uplink: Uplink) -> None:
    before = uplink.read()
    accounted.send(100, mark=0)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("eth0", 0))
        sender.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        _send_past_the_queue(sender, 100)
    after = uplink.read()
    assert after.accepted_after - before.accepted_after < 10  # neighbour discovery
    assert after.transmitted - before.transmitted < 10
    assert _balance(after) == _balance(before)


def test_what_the_device_cannot_deliver_is_dropped_and_clean(veth: Uplink, world: World) -> None:
    veth.settle()
    accounted.send(10)
    upstream = next(namespace for namespace in world._namespaces if namespace.role == "upstream")
    upstream.ip("link", "set", "far0", "down")
    before = veth.read()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.setsockopt(socket.SOL_SOCKET, accounted.SO_MARK, accounted.MARK)
        sender.bind(("eth0", 0))
        sender.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        refused = _send_past_the_queue(sender, 10)
    after = veth.read()
    assert after.dropped - before.dropped + refused >= 10
    assert veth.look().status is CLEAN


def _send_past_the_queue(sender: socket.socket, count: int) -> int:
    """Send raw frames; returns how many the kernel has told the sender it refused."""
    refused = 0
    for _ in range(count):
        try:
            sender.send(xdp_attack.BROADCAST * 2 + b"\x08\x00" + bytes(60))
        except OSError:
            refused += 1
    return refused


@pytest.mark.parametrize("offload", ["tx-udp-segmentation", "tx-checksum-ip-generic"])
def test_a_device_that_does_not_take_large_packets_whole_is_not_judged_by_their_number(
    veth: Uplink, offload: str
) -> None:
    veth.settle()
    accounted.switch_offload("eth0", offload, on=False)
    assert not veth.read().is_exact
    for _ in range(5):
        try:
            accounted.send(20, segments=accounted.SEGMENTS)
        except OSError:
            accounted.send(20)  # some kernels refuse large packets where the device cannot check them
        assert veth.look().status is not LEAKING
    accounted.switch_offload("eth0", offload, on=True)
    assert veth.read().is_exact


def test_without_that_offload_one_accepted_packet_really_is_many_frames(veth: Uplink) -> None:
    accounted.switch_offload("eth0", "tx-udp-segmentation", on=False)
    before = veth.read()
    accounted.send(20, segments=accounted.SEGMENTS)
    after = veth.read()
    assert after.accepted_after - before.accepted_after < 30
    assert after.transmitted - before.transmitted >= 20 * accounted.SEGMENTS


def test_a_device_with_a_queue_is_not_exact(veth: Uplink) -> None:
    assert veth.read().is_exact
    tbf = ["tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "1mbit", "burst", "10kb", "latency", "1s"]
    veth.namespace.run(tbf)
    assert not veth.read().is_exact


def test_a_device_that_cuts_smaller_than_the_largest_packet_is_not_exact(veth: Uplink) -> None:
    veth.namespace.ip("link", "set", "eth0", "gso_max_segs", "16")
    assert not veth.read().is_exact


def test_a_single_frame_by_af_xdp_is_found(uplink: Uplink) -> None:
    uplink.settle()
    accounted.send(100, segments=accounted.SEGMENTS)
    assert uplink.look().status is CLEAN
    uplink.leak(1)
    finding = uplink.look()
    assert (finding.status, finding.frames) == (LEAKING, 1)


@pytest.mark.parametrize("segments", [1, accounted.SEGMENTS])
def test_full_speed_is_no_leak_and_a_single_frame_in_it_is_found_when_it_is_over(uplink: Uplink, segments: int) -> None:
    uplink.settle()
    sender = uplink.start_sender(100_000 if segments == 1 else 30_000, segments)
    seen: list[LeakStatus] = []
    while sender.poll() is None:
        seen.append(uplink.look().status)
    assert len(seen) > 20
    assert LEAKING not in seen
    uplink.settle()
    sender = uplink.start_sender(20_000, segments)
    uplink.leak(1)
    sender.wait(timeout=30)
    assert uplink.look().status is LEAKING


def test_a_frame_let_through_by_a_chain_that_was_gone_for_a_moment_is_found(veth: Uplink) -> None:
    veth.settle()
    table = f"netdev {accounted.TABLE}"
    veth.namespace.nft(f"delete chain {table} egress_eth0")
    accounted.send(1, mark=0)
    chain = accounted.rules("eth0").split("chain egress_eth0", 1)[1].rsplit("}", 1)[0]
    veth.namespace.nft(f"table {table} {{ chain egress_eth0 {chain} }}")
    finding = veth.look()
    assert finding.status is LEAKING
    assert finding.frames is not None
    assert finding.frames >= 1


def test_a_frame_let_through_while_the_table_was_gone_is_never_clean_and_is_counted(veth: Uplink) -> None:
    veth.settle()
    veth.namespace.nft(f"delete table netdev {accounted.TABLE}")
    accounted.send(1, mark=0)
    veth.namespace.nft(accounted.rules("eth0"))
    finding = veth.look()
    assert finding.status is UNKNOWN
    assert finding.frames is not None
    assert finding.frames >= 1


def test_without_the_lock_s_table_nothing_is_read(veth: Uplink) -> None:
    veth.settle()
    veth.namespace.nft(f"delete table netdev {accounted.TABLE}")
    assert accounted.accounting().read(("eth0",)) == ()
    assert veth.look().status is UNKNOWN


def test_the_real_lock_keeps_the_counters_from_one_policy_to_the_next(world: World) -> None:
    namespace = accounted.uplink(world, "veth")
    accounting = KernelAccounting(TABLE, accepted)
    ledgers: tuple[Ledger, ...] = ()
    with namespace.entered():
        NftablesLock().apply(sealed(("eth0",)))
        ledgers, (first,) = audit(ledgers, accounting.read(("eth0",)), ("eth0",))
        NftablesLock().apply(sealed(("eth0",)))
        with pytest.raises(PermissionError):
            accounted.send(1)
        ledgers, (second,) = audit(ledgers, accounting.read(("eth0",)), ("eth0",))
        assert xdp_attack.attack("eth0", 0, 0, frames=1, marker=b"leak", seconds=5.0)["taken"] == 1
        ledgers, (third,) = audit(ledgers, accounting.read(("eth0",)), ("eth0",))
    assert [finding.status for finding in (first, second, third)] == [CLEAN, CLEAN, LEAKING]


READ_AND_SAY = """
from sidecar.errors import LinkError
from tests.netns import accounted
try:
    print(len(accounted.accounting().read(("eth0",))))
except LinkError as error:
    print(error)
"""


@pytest.mark.parametrize(("capability", "said"), [("+net_admin", "1\n"), ("+net_raw", "NET_ADMIN")])
def test_the_one_capability_that_reading_needs_is_named_where_it_is_missing(
    veth: Uplink, capability: str, said: str
) -> None:
    caps = ["setpriv", f"--bounding-set=-all,{capability}", "--inh-caps=-all"]
    done = veth.namespace.run(["env", "-C", str(ROOT), *caps, sys.executable, "-c", READ_AND_SAY])
    assert said in done.stdout
