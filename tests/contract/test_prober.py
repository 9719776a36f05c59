from __future__ import annotations

import socket
import threading
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from sidecar.core.model import Health, ProbeKind, ProbeTarget
from sidecar.drivers.probe import SocketProber
from sidecar.errors import ProbeError
from tests.fakes.prober import FakeProber
from tests.netns.world import End, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.ports import Prober

DEVICE = "tun0"
ANSWERS, SILENT = ip_address("198.51.100.10"), ip_address("198.51.100.11")
NOBODY = ip_address("198.51.100.99")
TIMEOUT_S = 0.3


def dns(address: object) -> ProbeTarget:
    return ProbeTarget(ProbeKind.DNS, ip_address(address))


@pytest.fixture(params=["fake", pytest.param("sockets", marks=pytest.mark.netns)])
def prober(request: pytest.FixtureRequest) -> Iterator[Prober]:
    if request.param == "fake":
        yield FakeProber([DEVICE], [ANSWERS])
        return
    with World() as world:
        here, far = world.namespace("here"), world.namespace("far")
        world.veth(End(here, DEVICE, ["198.51.100.1/24"]), End(far, "eth0", [f"{ANSWERS}/24", f"{SILENT}/24"]))
        with far.entered():
            answering = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        answering.bind((str(ANSWERS), 53))
        silent.bind((str(SILENT), 53))
        thread = threading.Thread(target=serve, args=(answering,), daemon=True)
        thread.start()
        try:
            with here.entered():
                yield SocketProber()
        finally:
            answering.sendto(b"", (str(ANSWERS), 53))
            thread.join(5)
            answering.close()
            silent.close()


def serve(answering: socket.socket) -> None:
    while True:
        question, asker = answering.recvfrom(512)
        if not question:
            return
        answering.sendto(question[:2] + b"\x81\x80" + question[4:], asker)


def test_an_answer_shows_that_the_tunnel_is_alive(prober: Prober) -> None:
    health, detail = prober.probe((dns(ANSWERS),), DEVICE, TIMEOUT_S)
    assert health is Health.ALIVE
    assert str(ANSWERS) in detail


def test_silence_of_all_shows_that_it_is_dead(prober: Prober) -> None:
    health, detail = prober.probe((dns(SILENT), dns(NOBODY)), DEVICE, TIMEOUT_S)
    assert health is Health.DEAD
    assert "no answer" in detail


@pytest.mark.parametrize("targets", [(SILENT, ANSWERS), (ANSWERS, SILENT), (NOBODY, SILENT, ANSWERS)])
def test_one_answer_among_many_is_enough(prober: Prober, targets: tuple) -> None:
    health, _ = prober.probe(tuple(dns(target) for target in targets), DEVICE, TIMEOUT_S)
    assert health is Health.ALIVE


@pytest.mark.parametrize(("targets", "device"), [((ANSWERS,), "nosuch0"), ((), DEVICE)])
def test_what_could_not_be_sent_is_an_error(prober: Prober, targets: tuple, device: str) -> None:
    with pytest.raises(ProbeError):
        prober.probe(tuple(dns(target) for target in targets), device, TIMEOUT_S)
