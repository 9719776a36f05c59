from __future__ import annotations

import socket
import struct
import threading
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from sidecar.core.model import Health, ProbeKind, ProbeTarget
from sidecar.drivers.probe import SocketProber
from sidecar.errors import ProbeError
from tests.netns.world import End

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.netns.world import Namespace, World

HERE, FAR, OTHER = "198.51.100.1", "198.51.100.10", "198.51.100.11"
HERE6, FAR6 = "2001:db8::1", "2001:db8::10"
FORGER = "203.0.113.10"
ENOUGH_S, BRIEF_S = 5.0, 0.3
DNS, ICMP = ProbeKind.DNS, ProbeKind.ICMP


@dataclass
class Lab:
    """Tunnel device tun0 to the far side, and a second link eth0 by which a forger sits."""

    here: Namespace
    far: Namespace
    forger: Namespace

    def probe(self, *targets: tuple[ProbeKind, str], timeout_s: float = ENOUGH_S) -> tuple[Health, str]:
        made = tuple(ProbeTarget(kind, ip_address(address)) for kind, address in targets)
        with self.here.entered():
            return SocketProber().probe(made, "tun0", timeout_s)


@pytest.fixture
def lab(world: World) -> Lab:
    here, far, forger = world.namespace("here"), world.namespace("far"), world.namespace("forger")
    world.veth(
        End(here, "tun0", [f"{HERE}/24", f"{HERE6}/64"]), End(far, "eth0", [f"{FAR}/24", f"{OTHER}/24", f"{FAR6}/64"])
    )
    world.veth(End(here, "eth0", ["203.0.113.1/24"]), End(forger, "eth0", [f"{FORGER}/24"]))
    return Lab(here, far, forger)


class Responder:
    """Hands every question on port 53 to `respond`, with the socket and the asker, until closed."""

    def __init__(
        self, namespace: Namespace, address: str, respond: Callable[[socket.socket, bytes, tuple], None]
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with namespace.entered():
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((address, 53))
        self._respond = respond
        self.asked = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        with namespace.entered():
            self._thread.start()

    def _run(self) -> None:
        while True:
            question, asker = self._socket.recvfrom(512)
            if not question:
                return
            self._respond(self._socket, question, asker)
            self.asked.set()

    def close(self) -> None:
        self._socket.sendto(b"", self._socket.getsockname()[:2])
        self._thread.join(5)
        self._socket.close()


@pytest.fixture
def respond(lab: Lab) -> Iterator[Callable[..., Responder]]:
    made: list[Responder] = []

    def start(how: Callable[[socket.socket, bytes, tuple], None], address: str = FAR) -> Responder:
        made.append(Responder(lab.far, address, how))
        return made[-1]

    yield start
    for responder in made:
        responder.close()


def truly(answering: socket.socket, question: bytes, asker: tuple) -> None:
    answering.sendto(question[:2] + b"\x81\x80" + question[4:], asker)


@pytest.mark.parametrize("address", [FAR, FAR6])
def test_a_resolver_that_answers_is_alive(lab: Lab, respond: Callable[..., Responder], address: str) -> None:
    respond(truly, address)
    health, detail = lab.probe((DNS, address))
    assert health is Health.ALIVE
    assert detail.startswith(f"{address} (DNS) answered in ")


@pytest.mark.parametrize("address", [FAR, FAR6])
def test_a_host_that_echoes_is_alive(lab: Lab, address: str) -> None:
    health, detail = lab.probe((ICMP, address))
    assert health is Health.ALIVE
    assert detail.startswith(f"{address} (ICMP) answered in ")


def test_any_kind_of_answer_is_enough(lab: Lab) -> None:
    assert lab.probe((DNS, OTHER), (DNS, FAR6), (ICMP, FAR))[0] is Health.ALIVE


def wrong_identifier(answering: socket.socket, question: bytes, asker: tuple) -> None:
    truly(answering, bytes((question[0] ^ 1,)) + question[1:], asker)


def wrong_question(answering: socket.socket, question: bytes, asker: tuple) -> None:
    truly(answering, question[:-3] + b"\x01\0\x01", asker)


def its_own_question(answering: socket.socket, question: bytes, asker: tuple) -> None:
    answering.sendto(question, asker)


def from_another_address(_answering: socket.socket, question: bytes, asker: tuple) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((OTHER, 53))
        truly(other, question, asker)


def from_another_port(_answering: socket.socket, question: bytes, asker: tuple) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((FAR, 5353))
        truly(other, question, asker)


def silently(_answering: socket.socket, _question: bytes, _asker: tuple) -> None:
    pass


STRAY = [wrong_identifier, wrong_question, its_own_question, from_another_address, from_another_port, silently]


@pytest.mark.parametrize("stray", STRAY, ids=[how.__name__ for how in STRAY])
def test_what_is_no_answer_does_not_count(lab: Lab, respond: Callable[..., Responder], stray: Callable) -> None:
    responder = respond(stray)
    health, detail = lab.probe((DNS, FAR), timeout_s=BRIEF_S)
    assert responder.asked.wait(ENOUGH_S)
    assert health is Health.DEAD
    assert detail == f"no answer within {BRIEF_S:g} s from {FAR} (DNS)"


def udp_packet(source: tuple[str, int], destination: tuple[str, int], data: bytes) -> bytes:
    addresses = ip_address(source[0]).packed + ip_address(destination[0]).packed
    udp = struct.pack("!HHHH", source[1], destination[1], 8 + len(data), 0) + data
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + addresses + udp


def test_a_right_answer_by_another_device_does_not_count(lab: Lab, respond: Callable[..., Responder]) -> None:
    lab.forger.ip("route", "add", f"{HERE}/32", "via", "203.0.113.1")
    with lab.forger.entered():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with lab.here.entered():
        unbound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with raw, unbound:
        unbound.bind(("", 0))
        unbound.settimeout(ENOUGH_S)

        def forge(_answering: socket.socket, question: bytes, asker: tuple) -> None:
            answer = question[:2] + b"\x81\x80" + question[4:]
            for port in (asker[1], unbound.getsockname()[1]):
                raw.sendto(udp_packet((FAR, 53), (HERE, port), answer), (HERE, 0))

        respond(forge)
        assert lab.probe((DNS, FAR), timeout_s=BRIEF_S)[0] is Health.DEAD
        assert unbound.recvfrom(512)[1] == (FAR, 53), "the control: a forgery does arrive where no device is asked for"


def test_the_echo_of_somebody_elses_token_does_not_count(lab: Lab, respond: Callable[..., Responder]) -> None:
    lab.far.sysctl("net/ipv4/icmp_echo_ignore_all", "1")
    with lab.here.entered():
        listening = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)

    def echo(_answering: socket.socket, _question: bytes, _asker: tuple) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            raw.sendto(b"\0\0\xff\xff" + bytes(20), (HERE, 0))

    with listening:
        listening.settimeout(ENOUGH_S)
        respond(echo)
        assert lab.probe((ICMP, FAR), (DNS, FAR), timeout_s=BRIEF_S)[0] is Health.DEAD
        assert listening.recv(512)[20:24] == b"\0\0\xff\xff", "the control: the stray echo did arrive"


def test_a_closed_port_is_no_answer_and_no_error(lab: Lab) -> None:
    assert lab.probe((DNS, FAR), timeout_s=BRIEF_S)[0] is Health.DEAD


def test_an_answer_counts_after_another_targets_port_was_closed(lab: Lab, respond: Callable[..., Responder]) -> None:
    respond(truly)
    assert lab.probe((DNS, OTHER), (DNS, FAR))[0] is Health.ALIVE


def test_a_device_that_is_down_is_an_error(lab: Lab) -> None:
    lab.here.ip("link", "set", "tun0", "down")
    with pytest.raises(
        ProbeError, match=r"198.51.100.10 \(DNS\): Network is (unreachable|down); .*see that the device"
    ):
        lab.probe((DNS, FAR), (ICMP, FAR))


def test_a_lock_that_lets_nothing_out_is_an_error(lab: Lab) -> None:
    lab.here.nft("table inet t { chain o { type filter hook output priority 0; policy drop; }; }")
    with pytest.raises(ProbeError, match="Operation not permitted"):
        lab.probe((DNS, FAR), (ICMP, FAR6))


def test_what_could_not_be_sent_is_told_beside_what_stayed_silent(lab: Lab) -> None:
    health, detail = lab.probe((DNS, "2001:db8:9::1"), (DNS, FAR), timeout_s=BRIEF_S)
    assert health is Health.DEAD
    assert "from 198.51.100.10 (DNS); not sent: 2001:db8:9::1 (DNS): Network is unreachable" in detail
