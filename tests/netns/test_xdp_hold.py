"""AF_XDP against the lock: past it without the hold, nowhere with it. Seen one hop away."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.core.killswitch import sealed
from sidecar.drivers.nftables import NftablesLock
from sidecar.drivers.xdp import KernelXdpHold, Shelf
from tests.netns import xdp_attack
from tests.netns.world import End
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.world import Namespace, World

ATTACK = Path(xdp_attack.__file__)
ROOT = ATTACK.parents[2]
ONLY_NET_RAW = ["setpriv", "--bounding-set=-all,+net_raw", "--inh-caps=-all", "--no-new-privs"]
SHARED_UMEM, COPY, ZEROCOPY, NEED_WAKEUP, SEVERAL_BUFFERS = 1, 2, 4, 8, 16
ETH_P_ALL = 0x0003
FRAMES = 100
SIOCETHTOOL, ETHTOOL_SCHANNELS = 0x8946, 0x3D
HOLDER = """
import os, sys
from sidecar.drivers.xdp import KernelXdpHold, Shelf
hold = KernelXdpHold(Shelf.inherited(os.environ))
hold.hold(("eth0",))
print(*hold.held(), flush=True)
sys.stdin.read()
"""


class Wire:
    """A sidecar's namespace behind the sealed ruleset, and the other end of its cable, listening."""

    def __init__(self, world: World) -> None:
        self.inside = world.namespace("inside")
        upstream = world.namespace("upstream")
        world.veth(End(self.inside, "eth0", ["10.77.0.2/24"]), End(upstream, "far0", ["10.77.0.1/24"]))
        with upstream.entered():
            self._tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._tap.bind(("far0", ETH_P_ALL))
        self._tap.settimeout(0)
        self._seen: list[bytes] = []
        with self.inside.entered():
            NftablesLock().apply(sealed(("eth0",)))

    def attack(self, flags: int = COPY, marker: str = "round", *, queue: int = 0) -> dict[str, Any]:
        command = [*ONLY_NET_RAW, sys.executable, str(ATTACK), "eth0", str(queue), str(flags), str(FRAMES), marker]
        report: dict[str, Any] = json.loads(self.inside.run(command).stdout)
        return report

    def seen(self, marker: str) -> int:
        while True:
            try:
                self._seen.append(self._tap.recv(2048))
            except BlockingIOError:
                return sum(marker.encode() in frame for frame in self._seen)

    def fence(self) -> None:
        """Wait until a frame that left after all that was tried has arrived."""
        self.inside.run(["nft", "flush", "ruleset"])
        with self.inside.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sender.sendto(b"the-fence", ("10.77.0.255", 9))
        wait_until(lambda: self.seen("the-fence"), 5.0, "the fence to arrive upstream")

    def close(self) -> None:
        self._tap.close()


@pytest.fixture
def wire(world: World) -> Iterator[Wire]:
    made = Wire(world)
    yield made
    made.close()


def test_af_xdp_with_net_raw_alone_passes_the_lock_and_not_the_hold(wire: Wire) -> None:
    assert wire.attack(marker="control") == {"bind": "bound", "taken": FRAMES, "tries": 1}
    wait_until(lambda: wire.seen("control") == FRAMES, 5.0, "the positive control to arrive upstream")
    with wire.inside.entered():
        hold = KernelXdpHold()
        hold.hold(("eth0",))
    assert wire.attack(marker="held")["bind"] == "EBUSY"
    wire.fence()
    assert wire.seen("held") == 0
    with wire.inside.entered():
        assert hold.held() == {"eth0"}
        hold.close()


@pytest.mark.parametrize("flags", [0, COPY, ZEROCOPY, NEED_WAKEUP, SEVERAL_BUFFERS, COPY | NEED_WAKEUP])
def test_no_kind_of_bind_gets_round_the_hold(wire: Wire, flags: int) -> None:
    with wire.inside.entered():
        hold = KernelXdpHold()
        hold.hold(("eth0",))
        assert wire.attack(flags)["bind"] == "EBUSY"
        assert hold.held() == {"eth0"}
        hold.close()


def _share(device: str) -> str:
    """Bind to `device` with the memory of a socket that the attacker has on lo."""
    own, _memory = xdp_attack.open_socket()
    loopback = socket.if_nametoindex("lo")
    wait_until(lambda: xdp_attack.bind(own, loopback, 0, COPY) == "bound", 5.0, "the attacker's own socket on lo")
    with own, socket.socket(xdp_attack.AF_XDP, socket.SOCK_RAW) as second:
        for ring in (xdp_attack.FILL_RING, xdp_attack.COMPLETION_RING, xdp_attack.TX_RING):
            second.setsockopt(xdp_attack.SOL_XDP, ring, struct.pack("=i", xdp_attack.CHUNKS))
        return xdp_attack.bind(second, socket.if_nametoindex(device), 0, SHARED_UMEM, own.fileno())


def test_memory_shared_with_a_socket_elsewhere_gets_round_nothing(wire: Wire) -> None:
    with wire.inside.entered():
        assert _share("eth0") == "bound"  # the control
        hold = KernelXdpHold()
        hold.hold(("eth0",))
        assert _share("eth0") == "EBUSY"
        hold.close()


def _set_channels(namespace: Namespace, device: str, receiving: int, sending: int) -> None:
    """As `ethtool -L`. Source: struct ethtool_channels in linux/ethtool.h."""
    channels = bytearray(struct.pack("=9I", ETHTOOL_SCHANNELS, 0, 0, 0, 0, receiving, sending, 0, 0))
    address = (xdp_attack.ctypes.c_char * len(channels)).from_buffer(channels)
    request = struct.pack("16sP", device.encode(), xdp_attack.ctypes.addressof(address))
    with namespace.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCETHTOOL, request)


def test_a_queue_that_a_device_gains_later_is_taken_at_the_next_look(wire: Wire) -> None:
    namespace = wire.inside
    namespace.ip("link", "add", "eth1", "numtxqueues", "4", "numrxqueues", "4", "type", "veth", "peer", "name", "far1")
    for device in ("eth1", "far1"):
        namespace.ip("link", "set", device, "up")
    _set_channels(namespace, "eth1", 1, 1)
    with namespace.entered():
        hold = KernelXdpHold()
        hold.hold(("eth1",))
        index = socket.if_nametoindex("eth1")

        def somebody(queue: int) -> str:
            with xdp_attack.open_socket()[0] as raw:
                return xdp_attack.bind(raw, index, queue, COPY)

        assert [somebody(queue) for queue in range(2)] == ["EBUSY", "EINVAL"]
        for receiving, sending in ((1, 2), (2, 2), (2, 4), (4, 4)):
            _set_channels(namespace, "eth1", receiving, sending)
            assert hold.held() == {"eth1"}
            answers = [somebody(queue) for queue in range(5)]
            assert answers == ["EBUSY"] * max(receiving, sending) + ["EINVAL"] * (5 - max(receiving, sending))
        hold.close()


def _holder(wire: Wire, shelf: Shelf) -> subprocess.Popen[str]:
    """A watchdog that holds, and that was started by a supervisor which has the shelf."""
    environment = shelf.bequeath(os.environ)
    ends = [int(end) for end in environment["XDP_SHELF"].split(",")]
    command = ["nsenter", f"--net={wire.inside.path}", "--", sys.executable, "-c", HOLDER]
    process = subprocess.Popen(
        command, env=environment, pass_fds=ends, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline().split() == ["eth0"]
    return process


def _kill_under_attack(wire: Wire, shelf: Shelf) -> dict[str, Any]:
    """SIGKILL the holder while somebody tries to bind without a pause; returns what the attacker got."""
    holder = _holder(wire, shelf)
    command = [sys.executable, str(ATTACK), "eth0", "0", str(COPY), str(FRAMES), "killed", "1.0"]
    prefix = ["nsenter", f"--net={wire.inside.path}", "--"]
    with subprocess.Popen([*prefix, *command], stdout=subprocess.PIPE, text=True) as attacker:
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=10)
        output, _ = attacker.communicate(timeout=30)
    report: dict[str, Any] = json.loads(output)
    return report


def test_killing_the_watchdog_frees_no_queue_and_its_successor_takes_over_what_it_held(wire: Wire) -> None:
    shelf = Shelf.new()
    report = _kill_under_attack(wire, shelf)
    assert report["bind"] == "EBUSY"
    assert report["tries"] > 1
    successor = _holder(wire, shelf)
    assert wire.attack()["bind"] == "EBUSY"
    successor.kill()
    successor.wait(timeout=10)
    wire.fence()
    assert wire.seen("killed") == 0
    shelf.close()


def test_what_the_entrypoint_becomes_keeps_every_queue_from_the_start(wire: Wire) -> None:
    program = [sys.executable, "-m", "sidecar.drivers.xdp", "sleep", "60"]
    process = wire.inside.start(["env", "-C", str(ROOT), *program])
    command_line = Path(f"/proc/{process.pid}/cmdline")
    wait_until(lambda: command_line.read_bytes().startswith(b"sleep"), 10.0, "the program to become another")
    assert wire.attack()["bind"] == "EBUSY"
    process.kill()
    process.wait(timeout=10)
    wait_until(lambda: wire.attack(marker="freed")["bind"] == "bound", 5.0, "the control: the queue is free again")


def test_without_the_shelf_killing_the_watchdog_frees_the_queue(wire: Wire) -> None:
    shelf = Shelf.new()
    holder = _holder(wire, shelf)
    shelf.close()
    holder.kill()
    holder.wait(timeout=10)
    wait_until(lambda: wire.attack(marker="freed")["bind"] == "bound", 5.0, "the attacker to get the queue")
    wait_until(lambda: wire.seen("freed") == FRAMES, 5.0, "its frames to arrive upstream")


HOLD_AND_SAY = """
from sidecar.drivers.xdp import KernelXdpHold
from sidecar.errors import LockError
try:
    KernelXdpHold().hold(("eth0",))
except LockError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("capability", "locked_bytes", "said"),
    # What counts against the limit is the user's, in every container: other sidecars have pages of theirs.
    [("+net_raw", 0, "memlock"), ("+net_admin", 1 << 20, "NET_RAW"), ("+net_raw", 1 << 20, "")],
)
def test_what_the_hold_needs_is_named_where_it_is_missing(
    wire: Wire, capability: str, locked_bytes: int, said: str
) -> None:
    limits = ["prlimit", f"--memlock={locked_bytes}:{locked_bytes}"]
    caps = ["setpriv", f"--bounding-set=-all,{capability}", "--inh-caps=-all"]
    done = wire.inside.run(["env", "-C", str(ROOT), *limits, *caps, sys.executable, "-c", HOLD_AND_SAY])
    assert said in done.stdout
    assert bool(said) == bool(done.stdout)


def test_a_device_moved_to_another_namespace_and_back_is_held_anew(wire: Wire, world: World) -> None:
    elsewhere = world.namespace("elsewhere")
    with wire.inside.entered():
        hold = KernelXdpHold()
        hold.hold(("eth0",))
        wire.inside.ip("link", "set", "eth0", "netns", elsewhere.name)
        assert hold.held() == frozenset()
        elsewhere.ip("link", "set", "eth0", "netns", wire.inside.name)
        assert hold.held() == frozenset()
        hold.hold(("eth0",))
        assert hold.held() == {"eth0"}
        assert wire.attack()["bind"] == "EBUSY"
        hold.close()


def test_a_device_that_is_down_is_still_held(wire: Wire) -> None:
    with wire.inside.entered():
        hold = KernelXdpHold()
        hold.hold(("eth0",))
        wire.inside.ip("link", "set", "eth0", "down")
        assert hold.held() == {"eth0"}
        assert wire.attack()["bind"] == "EBUSY"
        hold.close()


def test_a_held_device_carries_ordinary_traffic_both_ways(world: World) -> None:
    one, other = world.namespace("one"), world.namespace("other")
    world.veth(End(one, "eth0", ["10.78.0.2/24"]), End(other, "eth0", ["10.78.0.1/24"]))
    with one.entered():
        hold = KernelXdpHold()
        hold.hold(("eth0",))
        here = socket.create_server(("10.78.0.2", 0))
        with other.entered():
            there = socket.create_connection(here.getsockname(), timeout=10)
        accepted, _ = here.accept()
        with here, there, accepted:
            accepted.settimeout(10)
            for payload in (os.urandom(1 << 16) for _ in range(16)):
                there.sendall(payload)
                assert accepted.recv(1 << 16, socket.MSG_WAITALL) == payload
                accepted.sendall(payload)
                assert there.recv(1 << 16, socket.MSG_WAITALL) == payload
        assert hold.held() == {"eth0"}
        hold.close()
