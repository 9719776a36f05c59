"""Two senders at full speed, one of them below every inet hook, while the ruleset is replaced again and again."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests import policies
from tests.netns.attacks import scene as at
from tests.netns.attacks.scene import POLICY, Scene, datagram, ipv4, mac, may_be_refused
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.netns.world import World

RELOADS = 60
MOST_DATAGRAMS = 400_000  # of each sender
DEADLINE_S = 10.0
ETH_P_IP = 0x0800
FRAME = mac(at.ROUTER_MAC) + mac(at.OWN_MAC) + ETH_P_IP.to_bytes(2, "big") + ipv4(at.FAR4, datagram(at.TOKEN))
COUNT_ARRIVALS = f"""
table netdev watch {{
    counter arrived {{ }}
    chain ingress {{
        type filter hook ingress device "down0" priority 0; policy accept;
        ip daddr {at.FAR4} counter name arrived
    }}
}}
"""


class Senders:
    """Threads that send until they are stopped, or have sent enough."""

    def __init__(self, scene: Scene) -> None:
        self.tried = 0
        self._stop = threading.Event()
        with scene.sidecar.entered():
            self._sockets = [
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
                socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0),
            ]
        targets: list[tuple[bytes, tuple[str, int]]] = [
            (at.TOKEN, (str(at.FAR4), at.FAR_PORT)),
            (FRAME, ("eth0", ETH_P_IP)),
        ]
        self._threads = [
            threading.Thread(target=self._send, args=(opened, *target))
            for opened, target in zip(self._sockets, targets, strict=True)
        ]

    def _send(self, opened: socket.socket, payload: bytes, to: tuple[str, int]) -> None:
        for _ in range(MOST_DATAGRAMS):
            if self._stop.is_set():
                return
            with may_be_refused():
                opened.sendto(payload, to)
            self.tried += 1

    @contextmanager
    def sending(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            wait_until(lambda: self.tried > 100, DEADLINE_S, "the senders to be under way")
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(DEADLINE_S)
            for opened in self._sockets:
                opened.close()


@pytest.fixture
def scene(world: World) -> Iterator[Scene]:
    made = Scene(world)
    made.router.nft(COUNT_ARRIVALS)
    yield made
    made.close()


def arrived(scene: Scene) -> int:
    match = re.search(
        r"packets (\d+)", scene.router.run(["nft", "list", "counter", "netdev", "watch", "arrived"]).stdout
    )
    assert match
    return int(match[1])


def reload_under_fire(scene: Scene, reload: Callable[[int], None]) -> tuple[int, int]:
    """Return how many datagrams were tried during the reloads, and how many arrived one hop away."""
    scene.seal_off()
    before, senders = arrived(scene), Senders(scene)
    with senders.sending(), scene.sidecar.entered():
        for number in range(RELOADS):
            reload(number)
    return senders.tried, arrived(scene) - before


def test_no_datagram_escapes_while_policies_replace_each_other(scene: Scene) -> None:
    sealed = replace(policies.SEALED, devices=("eth0", policies.TUNNEL))
    fewer = replace(POLICY, flows=POLICY.flows[:1], resolutions=POLICY.resolutions[:1])
    tried, escaped = reload_under_fire(scene, lambda number: scene.lock.apply((sealed, fewer, POLICY)[number % 3]))
    assert tried > RELOADS
    assert escaped == 0


def test_no_datagram_escapes_while_what_somebody_else_left_is_replaced(scene: Scene) -> None:
    def reload(number: int) -> None:
        scene.sidecar.nft(
            "add chain inet sidecar evil { type filter hook output priority -400; policy accept; }\n"
            f"add quota inet sidecar evil{number} {{ over 1 mbytes; }}\n"
        )
        scene.lock.apply(POLICY)

    _, escaped = reload_under_fire(scene, reload)
    assert escaped == 0


def test_datagrams_do_escape_where_the_rules_are_taken_away_first(scene: Scene) -> None:
    """The control: what a reload of two transactions costs."""

    def reload(_: int) -> None:
        scene.open_up()
        scene.lock.apply(POLICY)

    _, escaped = reload_under_fire(scene, reload)
    assert escaped > 0


def test_the_outer_flow_loses_nothing_to_a_reload(scene: Scene) -> None:
    fewer = replace(POLICY, flows=POLICY.flows[:1], resolutions=POLICY.resolutions[:1])
    scene.router.nft(f"add rule netdev watch ingress ip daddr {at.ENDPOINT4} udp dport 51820 counter name arrived")
    scene.seal_off()
    before, sent, stop = arrived(scene), 0, threading.Event()
    refusals: list[OSError] = []
    with scene.sidecar.entered(), at.udp(at.SENTINEL_PORT) as tunnel:
        tunnel.setsockopt(socket.SOL_SOCKET, at.SO_MARK, POLICY.fwmark)

        def send() -> None:
            nonlocal sent
            try:
                while not stop.is_set() and sent < MOST_DATAGRAMS:
                    tunnel.sendto(b"x", (at.ENDPOINT4, at.ENDPOINT_PORT))
                    sent += 1
            except OSError as error:
                refusals.append(error)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            for number in range(RELOADS):
                scene.lock.apply((fewer, POLICY)[number % 2])
        finally:
            stop.set()
            sender.join(DEADLINE_S)
    assert refusals == []
    wait_until(lambda: arrived(scene) - before == sent, DEADLINE_S, f"all of {sent} datagrams to arrive")
    assert sent > RELOADS
