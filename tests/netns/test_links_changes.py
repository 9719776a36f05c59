"""What the kernel notifies, and what of it is told."""

from __future__ import annotations

import os
import queue
import threading
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.core.killswitch import Path as NextHopPath
from sidecar.core.model import Endpoint, PublicKey, Secret
from sidecar.drivers.changes import OVERRUN, KernelChanges
from sidecar.drivers.netns import KernelLinks
from sidecar.errors import LinkError
from tests.netns.world import End
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.world import Namespace, World

GATEWAY = ip_address("10.77.0.1")
TABLE = "add table inet t\n"


class Heard:
    """What a listener was told, in order; `expect` waits for a kind and drops what came before it."""

    def __init__(self) -> None:
        self._told: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.changes = KernelChanges()

    def tell(self, kind: str) -> None:
        self._told.put(kind)

    def expect(self, kind: str) -> None:
        while self._told.get(timeout=10) != kind:
            pass

    def settle(self) -> list[str]:
        """Return all that was told until nothing more came for a while."""
        told = []
        try:
            while True:
                told.append(self._told.get(timeout=0.5))
        except queue.Empty:
            return told


def open_sockets() -> set[int]:
    """Return the descriptors of this process that are sockets."""
    entries = list(Path("/proc/self/fd").iterdir())
    return {int(entry.name) for entry in entries if entry.is_symlink() and entry.readlink().name.startswith("socket:")}


@pytest.fixture
def inside(world: World) -> Namespace:
    inside, router = world.namespace("inside"), world.namespace("router")
    world.veth(End(inside, "eth0", ["10.77.0.2/24"]), End(router, "down0", [f"{GATEWAY}/24"]))
    inside.ip("route", "add", "default", "via", str(GATEWAY))
    return inside


@pytest.fixture
def heard(inside: Namespace) -> Iterator[Heard]:
    made = Heard()
    with inside.entered():
        made.changes.listen(made.tell)
    assert made.changes.is_alive()
    made.settle()
    yield made
    made.changes.close()
    assert not made.changes.is_alive()


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("link", ["ip", "link", "set", "eth0", "mtu", "1400"]),
        ("link", ["ip", "link", "add", "new0", "type", "veth", "peer", "name", "new1"]),
        ("address", ["ip", "address", "add", "10.77.0.3/24", "dev", "eth0"]),
        ("address", ["ip", "address", "add", "2001:db8::2/64", "dev", "eth0"]),
        ("route", ["ip", "route", "delete", "default"]),
        ("route", ["ip", "route", "add", "2001:db8:1::/64", "dev", "eth0"]),
        ("neighbour", ["ip", "neighbour", "add", "10.77.0.9", "lladdr", "02:00:00:00:00:09", "dev", "eth0"]),
        ("nftables", ["nft", TABLE]),
    ],
)
def test_a_change_by_somebody_else_is_told(inside: Namespace, heard: Heard, kind: str, command: list[str]) -> None:
    inside.run(command)
    heard.expect(kind)


def test_nothing_is_told_of_another_namespace(world: World, heard: Heard) -> None:
    elsewhere = world.namespace("elsewhere")
    elsewhere.nft(TABLE)
    elsewhere.ip("link", "add", "new0", "type", "veth", "peer", "name", "new1")
    assert heard.settle() == []


def test_a_neighbour_is_told_when_it_answers_and_when_it_is_given_up(inside: Namespace, heard: Heard) -> None:
    silent = ip_address("10.77.0.99")
    with inside.entered():
        links = KernelLinks()
        (uplink,) = links.uplinks("wg0", ())
        for next_hop in (GATEWAY, silent):
            endpoint = Endpoint("e", next_hop, 1, PublicKey(""), Secret(""), None, None, (), (), None)
            links.resolve((NextHopPath(endpoint, uplink, ip_address("10.77.0.2"), next_hop),))
            heard.expect("neighbour")


def test_a_burst_is_told_in_a_few_words_and_its_end_is_never_missed(inside: Namespace, heard: Heard) -> None:
    lines = [f"route replace 192.0.2.{number}/32 dev eth0\n" for number in range(200)]
    inside.run(["ip", "-batch", "-"], stdin="".join(lines))
    told = heard.settle()
    assert "route" in told
    assert len(told) < 50
    inside.ip("route", "delete", "192.0.2.7/32")
    heard.expect("route")


def test_what_overran_the_buffer_is_a_change_of_everything(inside: Namespace) -> None:
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    go_on = threading.Event()

    def slow(kind: str) -> None:
        told.put(kind)
        go_on.wait(20)

    changes = KernelChanges(receive_buffer_bytes=1)  # the kernel makes it its smallest
    with inside.entered():
        changes.listen(slow)
    lines = [f"route replace 192.0.2.{number}/32 dev eth0\n" for number in range(200)]
    inside.run(["ip", "-batch", "-"], stdin="".join(lines))
    go_on.set()
    while told.get(timeout=10) != OVERRUN:
        pass
    assert changes.is_alive()
    changes.close()


def test_a_broken_socket_is_opened_anew_and_the_gap_is_told(inside: Namespace) -> None:
    heard = Heard()
    before = open_sockets()
    with inside.entered():
        heard.changes.listen(heard.tell)
    try:
        wait_until(heard.changes.is_alive, 5, "the listener")
        sockets = open_sockets() - before
        assert len(sockets) == 2
        null = os.open("/dev/null", os.O_RDONLY)
        for number in sockets:
            os.dup2(null, number)
        os.close(null)
        heard.expect(OVERRUN)
        assert heard.changes.is_alive()
        inside.nft(TABLE)
        heard.expect("nftables")
    finally:
        heard.changes.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_raising_callback_ends_the_listener_and_it_says_so(inside: Namespace) -> None:
    changes = KernelChanges()

    def fail(kind: str) -> None:
        raise RuntimeError(kind)

    with inside.entered():
        changes.listen(fail)
    inside.nft(TABLE)
    wait_until(lambda: not changes.is_alive(), 10, "the listener to be dead")
    changes.close()


def test_listening_twice_is_refused(heard: Heard) -> None:
    with pytest.raises(LinkError, match="listening already"):
        heard.changes.listen(heard.tell)
