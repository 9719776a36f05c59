"""Whom the published attacks are tried on: a sidecar with a real tunnel, and everybody on its LAN against it.

The attacker is the router of `Stage`: it sees every frame, and may send any. What a workload does in vain under the
lock must be seen there where there is no lock, or the test shows nothing.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import contextmanager
from ipaddress import IPv4Address, ip_interface, ip_network
from typing import TYPE_CHECKING

from sidecar.core import repair
from sidecar.core.killswitch import Policy, Uplink, paths, permit_tunnel, remember
from sidecar.core.model import Endpoint, Pins, Plan
from sidecar.core.sights import LockStatus, Route
from sidecar.drivers.netns import KernelLinks
from sidecar.drivers.nftables import NftablesLock
from sidecar.drivers.wireguard_userspace import UserspaceTunnel
from sidecar.prove import wire
from tests.netns.attacks.scene import Watch, may_be_refused
from tests.netns.peers import FAR_ADDRESS, MockPeer, ask
from tests.netns.supervisor import PopenSupervisor
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.netns.stage import Stage

TUNNEL = IPv4Address("10.64.0.2")
OWN, ROUTER = IPv4Address("10.77.0.2"), IPv4Address("10.77.0.1")
FAR = IPv4Address(FAR_ADDRESS)
PRIMARY, BACKUP, ENDPOINT_PORT = IPv4Address("203.0.113.10"), IPv4Address("192.0.2.20"), 51820
OWN_MAC, ROUTER_MAC = bytes.fromhex("020000000002"), bytes.fromhex("020000000001")
FWMARK, PORTS = 0x5EC2E7AA, (40001, 40002)
DEADLINE_S = 20.0
SO_MARK = 36  # Source: <asm-generic/socket.h>


class Victim:
    """The sidecar, put together from its drivers as the watchdog does it. Begin with `connect`; then lock, or do not.

    The calling thread is in the sidecar's namespace: what a test sends, a workload sends.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage, self.lock, self.links = stage, NftablesLock(), KernelLinks()
        self.device = stage.world.device_name()
        self.tunnel = UserspaceTunnel(PopenSupervisor(stage.sidecar), DEADLINE_S)
        endpoints = (
            self._endpoint("primary", stage.primary, PRIMARY),
            self._endpoint("backup", stage.backup, BACKUP),
        )
        pins = Pins(FWMARK, PORTS)
        self.plan = Plan(endpoints, (ip_interface(f"{TUNNEL}/32"),), (), pins, "", device=self.device)
        self.watch = Watch(stage.router, "down0")
        self._known: tuple[Uplink, ...] = ()
        for device in ("all", "eth0", "default"):  # the worst case, and what some systems have
            stage.sidecar.sysctl(f"net/ipv4/conf/{device}/rp_filter", "0")

    def close(self) -> None:
        self.watch.close()

    def connect(self) -> None:
        """Bring up the tunnel to the primary, with all its routes."""
        policy = self.policy()
        assert policy.flows
        self.tunnel.create(self.device)
        self.tunnel.configure(self.device, self.plan.endpoints[0], PORTS[0], FWMARK)
        self.links.configure_device(self.device, self.plan.addresses, 1420)
        routes = repair.wanted_routes(self.plan, self.plan.endpoints[0], self.uplinks())
        self.links.ensure_routes(routes, (Route(ip_network("0.0.0.0/0"), "eth0", ROUTER),))
        self.await_answer()

    def await_answer(self) -> None:
        wait_until(lambda: ask(FAR_ADDRESS), DEADLINE_S, "an answer through the tunnel")

    def uplinks(self) -> tuple[Uplink, ...]:
        """Return them with the router, which only their default route names, and that we have removed."""
        self._known = remember(self.links.uplinks(self.device, [ROUTER]), self._known)
        return self._known

    def policy(self) -> Policy:
        """Return what the watchdog would load now, once the router's hardware address is known."""
        self.links.resolve(paths(self.plan.endpoints, self.uplinks()))
        wait_until(lambda: permit_tunnel(self.plan, self.uplinks()).flows, DEADLINE_S, "the router's MAC")
        return permit_tunnel(self.plan, self.uplinks())

    def seal_off(self) -> Policy:
        """Load the lock for what the machine looks like now."""
        policy = self.policy()
        self.lock.apply(policy)
        assert self.lock.inspect(policy).status is LockStatus.INTACT
        return policy

    def open_up(self) -> None:
        """Take the lock away, for the control."""
        for family in ("inet", "netdev"):
            self.stage.sidecar.nft(f"add table {family} sidecar\ndelete table {family} sidecar")

    def out_of(self, attempt: Callable[[], None], sign: Callable[[bytes], bool]) -> list[bytes]:
        """Make the attempt, and return what of it the router has seen once the tunnel has carried something after it.

        A veth keeps the order: the tunnel's packets, which are made later, come later.
        """
        self.watch.arrived()
        attempt()
        self.await_answer()
        return [frame for frame in self.watch.arrived() if sign(frame)]

    def require_control(self, attempt: Callable[[], None], sign: Callable[[bytes], bool]) -> None:
        """Make the attempt, and wait until the router sees it: with no lock it must get out."""
        self.watch.arrived()
        attempt()
        what = "the control: the router sees the attempt where there is no lock"
        wait_until(lambda: any(sign(frame) for frame in self.watch.arrived()), DEADLINE_S, what)

    def require_that_only_the_lock_keeps_in(self, attempt: Callable[[bytes], None]) -> None:
        """Make an attempt that carries a token, without the lock and with it; ends locked."""
        loose, locked = new_token(), new_token()
        self.require_control(lambda: attempt(loose), lambda frame: loose in frame)
        self.seal_off()
        assert self.out_of(lambda: attempt(locked), lambda frame: locked in frame) == []

    def dropped_at_ingress(self) -> int:
        return dict(self.lock.inspect(self.policy()).blocked).get("ingress eth0", 0)

    def from_the_lan(self, frame: bytes) -> None:
        """Have the router put a frame on the sidecar's uplink."""
        with self.stage.router.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            raw.sendto(frame, ("down0", int.from_bytes(frame[12:14], "big")))

    def _endpoint(self, name: str, server: MockPeer, address: IPv4Address) -> Endpoint:
        server.admit(self.stage.keys.public, f"{TUNNEL}/32")
        keys = (server.keys.public, self.stage.keys.private, None)
        return Endpoint(name, address, ENDPOINT_PORT, *keys, None, (ip_network("0.0.0.0/0"),), (), None)


@contextmanager
def udp(port: int = 0) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(("", port))
        yield opened


def say(token: bytes, address: IPv4Address, port: int) -> None:
    """As a workload: send one datagram."""
    with udp() as opened, may_be_refused():
        opened.sendto(token, (str(address), port))


def new_token() -> bytes:
    return os.urandom(8)


def to_sidecar(packet: bytes) -> bytes:
    """Return the frame that carries an IPv4 packet from the router to the sidecar."""
    return OWN_MAC + ROUTER_MAC + b"\x08\x00" + packet


def segment(source: tuple[IPv4Address, int], destination: tuple[IPv4Address, int], flags: int) -> bytes:
    """Return an IPv4 packet with an empty TCP segment."""
    head = struct.pack(">HHIIBBHHH", source[1], destination[1], 1, 1, 5 << 4, flags, 65535, 0, 0)
    pseudo = source[0].packed + destination[0].packed + struct.pack(">HH", socket.IPPROTO_TCP, len(head))
    total = wire.checksum(pseudo + head)
    whole = head[:16] + total.to_bytes(2, "big") + head[18:]
    return wire.ipv4(source[0], destination[0], whole, protocol=socket.IPPROTO_TCP)


def datagram(source: tuple[IPv4Address, int], destination: tuple[IPv4Address, int], payload: bytes) -> bytes:
    """Return an IPv4 packet with a UDP datagram."""
    return wire.ipv4(source[0], destination[0], wire.datagram(payload, source_port=source[1], port=destination[1]))


def is_of(frame: bytes, protocol: int, source: IPv4Address, destination: IPv4Address) -> bool:
    """Whether a frame carries an IPv4 packet of this protocol between these two."""
    addresses = source.packed + destination.packed
    return frame[12:14] == b"\x08\x00" and frame[23] == protocol and frame[26:34] == addresses
