from __future__ import annotations

import fcntl
import socket
import struct
import sys
import threading
from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.core.killswitch import Flow, Policy, Resolution, sealed
from sidecar.core.model import MacAddress
from sidecar.core.sights import Latch
from sidecar.drivers.capture import PcapEvidence, ScapyCapture
from sidecar.drivers.capture.burst import DISTINCT_FRAMES
from sidecar.errors import CaptureError
from tests.netns.world import End
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.core.sights import Frame
    from tests.netns.world import Namespace, World

OURS, HOP = "02:00:00:00:00:02", "02:00:00:00:00:01"
HERE, GATEWAY = "10.77.0.2", "10.77.0.1"
ENDPOINT, OTHER_ENDPOINT = ("203.0.113.10", 51820), ("203.0.113.20", 51820)
SOURCE_PORT = 40001
DEADLINE_S = 5.0
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # <linux/if_tun.h>
SEALED = sealed(["eth0"])


def permitting(*endpoints: tuple[str, int]) -> Policy:
    mac, hop, here = MacAddress(OURS), MacAddress(HOP), ip_address(HERE)
    return Policy(
        tunnel_device="wg0",
        tunnel_addresses=(),
        devices=("eth0",),
        flows=tuple(Flow("eth0", mac, hop, here, ip_address(address), port) for address, port in endpoints),
        resolutions=(Resolution("eth0", mac, here, ip_address(GATEWAY), hop),),
        listen_ports=(SOURCE_PORT,),
        fwmark=7,
    )


class Lab:
    """An uplink eth0 with a tap on it; `seen` is what the tap reported."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world = world
        self.here: Namespace = world.namespace("here")
        self.router: Namespace = world.namespace("router")
        for namespace in (self.here, self.router):
            namespace.sysctl("net/ipv6/conf/default/disable_ipv6", "1")  # the kernel has no word of its own to say
        self.connect()
        self.evidence = PcapEvidence(directory)
        self.capture = ScapyCapture(self.evidence)
        self.seen: list[Frame] = []

    def connect(self) -> None:
        self.world.veth(
            End(self.here, "eth0", [f"{HERE}/24"], OURS, mtu_bytes=9000),
            End(self.router, "down0", [f"{GATEWAY}/24"], HOP, mtu_bytes=9000),
        )
        self.here.ip("route", "add", "default", "via", GATEWAY)

    def ensure(self, policy: Policy) -> None:
        with self.here.entered():
            self.capture.ensure(policy, self.seen.append)

    def udp(self, destination: tuple[str, int], data: bytes = b"x", source_port: int = SOURCE_PORT) -> None:
        with self.here.entered():
            sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sending:
            sending.bind((HERE, source_port))
            sending.sendto(data, destination)

    def raw(self, frame: bytes, device: str = "eth0") -> None:
        with self.here.entered():
            sending = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with sending:
            sending.bind((device, 0))
            sending.send(frame)

    def await_frames(self, count: int = 1) -> list[Frame]:
        return wait_until(lambda: self.seen if len(self.seen) >= count else [], DEADLINE_S, f"{count} frames seen")

    def settle(self) -> list[Frame]:
        """Return what was seen, once a frame sent last has been; that one is left out."""
        self.raw(ethernet(0x88B6, bytes(46)))
        types = wait_until(
            lambda: types if 0x88B6 in (types := [frame.ether_type for frame in self.seen]) else None,
            DEADLINE_S,
            "the last frame to be seen",
        )
        return self.seen[: types.index(0x88B6)]


def ethernet(kind: int, payload: bytes, destination: str = HOP) -> bytes:
    return bytes.fromhex((destination + OURS).replace(":", "")) + struct.pack("!H", kind) + payload


def udp_frame(endpoint: tuple[str, int]) -> bytes:
    header = struct.pack("!BBHHHBBH", 0x45, 0, 29, 1, 0, 64, 17, 0)
    addresses = ip_address(HERE).packed + ip_address(endpoint[0]).packed
    return ethernet(0x0800, header + addresses + struct.pack("!HHHH", SOURCE_PORT, endpoint[1], 9, 0) + b"x")


def arp_request() -> bytes:
    own = bytes.fromhex(OURS.replace(":", ""))
    body = bytes.fromhex("0001080006040001") + own + ip_address(HERE).packed + bytes(6) + ip_address(GATEWAY).packed
    return ethernet(0x0806, body, "ff:ff:ff:ff:ff:ff")


@pytest.fixture
def lab(world: World, tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(world, tmp_path)
    yield lab
    lab.capture.close()


def test_a_leak_is_seen_told_and_kept(lab: Lab) -> None:
    lab.ensure(permitting(ENDPOINT))
    lab.udp(("198.51.100.7", 53), b"leak")
    frame = lab.await_frames()[0]
    assert (frame.source_mac, frame.destination_mac) == (OURS, HOP)
    assert frame.summary == f"IPv4 {HERE}:{SOURCE_PORT} > 198.51.100.7:53 UDP, 46 bytes"
    saved = lab.evidence.save(Latch("a leak", frame.summary))
    assert lab.here.run(["tail", "-n", "1", saved]).stdout.endswith(f"eth0 {frame.summary}\n")


def test_the_permitted_flow_and_the_kernels_own_questions_are_not_seen(lab: Lab) -> None:
    lab.ensure(permitting(ENDPOINT))
    for _ in range(20):
        lab.udp(ENDPOINT)
    lab.here.ip("neigh", "flush", "dev", "eth0")
    lab.udp(ENDPOINT)
    assert lab.settle() == []


def test_the_same_frames_are_seen_when_nothing_is_permitted(lab: Lab) -> None:
    lab.ensure(SEALED)
    lab.udp(ENDPOINT)
    kinds = {frame.summary for frame in lab.settle()}
    assert any(kind.startswith(f"ARP request from {HERE} about {GATEWAY}") for kind in kinds)
    assert f"IPv4 {HERE}:{SOURCE_PORT} > 203.0.113.10:51820 UDP, 43 bytes" in kinds


def test_what_comes_in_is_not_seen(lab: Lab) -> None:
    lab.ensure(permitting())
    lab.router.run(["ping", "-c", "2", "-i", "0.1", "-W", "1", HERE])
    seen = lab.settle()
    assert "ICMP" in seen[0].summary, "the control: our answer to what came in is seen"
    assert {frame.source_mac for frame in seen} == {OURS}


FRAMES = {
    "UDP to another endpoint": udp_frame(OTHER_ENDPOINT),
    "tagged": ethernet(0x8100, struct.pack("!H", 5) + udp_frame(ENDPOINT)[12:]),
    "double tagged": ethernet(0x88A8, struct.pack("!HHH", 5, 0x8100, 6) + udp_frame(ENDPOINT)[12:]),
    "802.3": ethernet(60, bytes(60)),
    "unknown": ethernet(0x88CC, bytes(46)),
    "header only": ethernet(0x0800, b""),
    "IPv4 cut short": ethernet(0x0800, udp_frame(ENDPOINT)[14:30]),
    "ARP cut short": ethernet(0x0806, arp_request()[14:20]),
    "ARP with a trailer": arp_request() + b"secret",
    "IPv6": ethernet(0x86DD, bytes.fromhex("6000000000003b40") + bytes(32)),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_frame_made_by_hand_is_seen(lab: Lab, frame: bytes) -> None:
    lab.ensure(permitting(ENDPOINT))
    lab.raw(frame)
    seen = lab.settle()
    assert [(one.device, one.length_bytes, one.source_mac) for one in seen] == [("eth0", len(frame), OURS)]


def test_a_permitted_packet_in_a_tag_that_lies_beside_the_frame_is_seen(lab: Lab) -> None:
    made = lab.here.run(["ip", "link", "add", "link", "eth0", "name", "eth0.5", "type", "vlan", "id", "5"], check=False)
    if "Unknown device type" in made.stderr:
        pytest.skip("this kernel has no VLAN devices; tests/unit covers the filter and the parsing")
    lab.here.ip("link", "set", "eth0.5", "up")
    lab.ensure(permitting(ENDPOINT))
    lab.raw(udp_frame(ENDPOINT), "eth0.5")
    lab.raw(udp_frame(ENDPOINT), "eth0")
    seen = lab.settle()
    assert [(frame.ether_type, frame.length_bytes) for frame in seen] == [(0x8100, len(udp_frame(ENDPOINT)) + 4)]
    assert seen[0].summary.startswith("802.1Q VLAN 5 ")


def test_a_packet_on_a_device_without_ethernet_is_seen_as_what_it_is(lab: Lab) -> None:
    seen: list[Frame] = []
    with lab.here.entered(), Path("/dev/net/tun").open("r+b", buffering=0) as process:
        fcntl.ioctl(process, TUNSETIFF, struct.pack("16sH22x", b"tun7", IFF_TUN | IFF_NO_PI))
        lab.here.ip("address", "add", "192.0.2.1/24", "dev", "tun7")
        lab.here.ip("link", "set", "tun7", "up")
        lab.capture.ensure(sealed(["tun7"]), seen.append)
        lab.udp(("192.0.2.7", 53))
        frame = wait_until(lambda: seen, DEADLINE_S, "a packet on tun7")[0]
    assert frame.summary == f"IPv4 {HERE}:{SOURCE_PORT} > 192.0.2.7:53 UDP, 43 bytes"


def test_a_frame_larger_than_what_is_kept_has_its_whole_length(lab: Lab) -> None:
    lab.ensure(permitting())
    lab.udp(ENDPOINT, bytes(8000))
    assert lab.settle()[-1].length_bytes == 14 + 20 + 8 + 8000


def test_a_change_of_policy_changes_the_filter_of_the_tap_that_runs(lab: Lab) -> None:
    lab.ensure(permitting(ENDPOINT))
    tap = lab.capture._taps["eth0"]
    lab.ensure(permitting(OTHER_ENDPOINT))
    lab.udp(ENDPOINT)
    lab.udp(OTHER_ENDPOINT)
    assert [frame.destination_address for frame in lab.settle()] == [ip_address(ENDPOINT[0])]
    assert lab.capture._taps["eth0"] is tap


def test_under_full_load_neither_start_nor_change_lets_a_permitted_frame_through(lab: Lab) -> None:
    policies = [permitting(ENDPOINT), permitting(ENDPOINT, OTHER_ENDPOINT)]
    sent: Counter[str] = Counter()
    stop = threading.Event()
    with lab.here.entered():
        sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sending.bind((HERE, SOURCE_PORT))

    def flood() -> None:
        while not stop.is_set():
            sending.sendto(b"x" * 1000, ENDPOINT)
            sent["frames"] += 1

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        for _ in range(10):
            for policy in policies * 3:
                lab.ensure(policy)
            lab.capture.close()
        assert lab.seen == []
        lab.ensure(SEALED)
        endpoint = ip_address(ENDPOINT[0])
        control = "the flow, now that nothing is permitted"
        wait_until(lambda: any(frame.destination_address == endpoint for frame in lab.seen), DEADLINE_S, control)
    finally:
        stop.set()
        thread.join(DEADLINE_S)
        sending.close()
    assert sent["frames"] > 100


def test_a_link_that_goes_down_and_comes_up_is_watched_all_the_time(lab: Lab) -> None:
    lab.ensure(permitting())
    tap = lab.capture._taps["eth0"]
    for number in range(3):
        lab.here.ip("link", "set", "eth0", "down")
        assert lab.capture.watched() == {"eth0"}
        lab.here.ip("link", "set", "eth0", "up")
        lab.here.await_running("eth0")
        lab.seen.clear()
        lab.raw(ethernet(0x88B5, bytes(46 + number)))
        assert lab.await_frames()[0].ether_type == 0x88B5
    assert lab.capture._taps["eth0"] is tap
    assert lab.capture.watched() == {"eth0"}


def test_a_device_that_is_renamed_is_not_watched_under_its_old_name(lab: Lab) -> None:
    lab.ensure(permitting())
    lab.here.ip("link", "set", "eth0", "down")
    lab.here.ip("link", "set", "eth0", "name", "eth9")
    lab.here.ip("link", "set", "eth9", "up")
    assert lab.capture.watched() == frozenset()


def test_a_device_that_moves_to_another_namespace_is_not_watched(lab: Lab) -> None:
    lab.ensure(permitting())
    lab.here.ip("link", "set", "eth0", "netns", lab.router.name)
    wait_until(lambda: lab.capture.watched() == frozenset(), DEADLINE_S, "the tap to be dead")


def test_a_callback_that_raises_is_told_and_the_tap_runs_anew(lab: Lab) -> None:
    def broken(_: Frame) -> None:
        raise RuntimeError("the queue is broken")

    with lab.here.entered():
        lab.capture.ensure(permitting(), broken)
    lab.raw(ethernet(0x88B5, bytes(46)))
    wait_until(lambda: lab.capture.watched() == frozenset(), DEADLINE_S, "the tap to be reported")
    with pytest.raises(CaptureError, match=r"a frame on eth0 was seen and not reported: .*the queue is broken"):
        lab.ensure(permitting())
    assert lab.capture.watched() == {"eth0"}
    lab.ensure(permitting())
    lab.raw(ethernet(0x88B5, bytes(46)))
    assert lab.await_frames()[0].ether_type == 0x88B5


def test_a_thread_that_ended_is_noticed_and_replaced(lab: Lab) -> None:
    lab.ensure(permitting())
    lab.capture._taps["eth0"]._sniffer.stop()
    assert lab.capture.watched() == frozenset()
    lab.ensure(permitting())
    assert lab.capture.watched() == {"eth0"}


def test_a_thread_that_scapy_let_die_is_noticed(lab: Lab) -> None:
    lab.ensure(permitting())
    lab.capture._taps["eth0"]._socket.recv = lambda *_: 1 / 0
    lab.raw(ethernet(0x88B5, bytes(46)))
    wait_until(lambda: lab.capture.watched() == frozenset(), DEADLINE_S, "the dead thread to be reported")


def test_a_flood_of_permitted_questions_hides_no_leak(lab: Lab) -> None:
    lab.ensure(permitting(ENDPOINT))
    with lab.here.entered():
        sending = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sending:
        sending.bind(("eth0", 0))
        for number in range(3000):
            sending.send(arp_request() if number != 2000 else udp_frame(OTHER_ENDPOINT))
    assert [frame.destination_address for frame in lab.settle()] == [ip_address(OTHER_ENDPOINT[0])]


def test_a_flood_of_leaks_does_not_flood_the_watchdog(lab: Lab) -> None:
    lab.ensure(permitting(ENDPOINT))
    with lab.here.entered():
        sending = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sending:
        sending.bind(("eth0", 0))
        for number in range(2000):
            sending.send(ethernet(0x88B5, bytes(46 + number % 500)))
    lab.await_frames(DISTINCT_FRAMES)
    assert len(lab.evidence._kept) == len(lab.seen)


def test_without_the_capability_the_error_says_what_to_give(lab: Lab) -> None:
    program = (
        "from pathlib import Path\n"
        "from sidecar.core.killswitch import sealed\n"
        "from sidecar.drivers.capture import PcapEvidence, ScapyCapture\n"
        "ScapyCapture(PcapEvidence(Path('/nonexistent'))).ensure(sealed(['eth0']), print)\n"
    )
    done = lab.here.run(["setpriv", "--bounding-set=-net_raw", "--", sys.executable, "-c", program], check=False)
    assert "open a tap on eth0: [Errno 1] Operation not permitted; give the container CAP_NET_RAW" in done.stderr
