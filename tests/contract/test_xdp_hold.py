"""The port `XdpHold`, on the fake and on the kernel."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Protocol

import pytest

from sidecar.drivers.xdp import KernelXdpHold
from sidecar.errors import LockError
from tests.fakes.xdp_hold import FakeXdpHold
from tests.netns import xdp_attack
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.ports import XdpHold
    from tests.netns.world import World


class Stage(Protocol):
    """Devices, and somebody else who wants their queues."""

    hold: XdpHold

    def add_device(self, name: str, queues: int) -> None: ...

    def remove_device(self, name: str) -> None: ...

    def somebody_binds(self, name: str, queue: int) -> bool: ...

    def somebody_ends(self, name: str, queue: int) -> None: ...


class FakeStage:
    def __init__(self) -> None:
        self.hold = fake = FakeXdpHold()
        self.add_device = fake.add_device
        self.remove_device = fake.remove_device
        self.somebody_binds = fake.somebody_binds
        self.somebody_ends = fake.somebody_ends


class KernelStage:
    """In a namespace of its own; the test's thread is in it."""

    def __init__(self, world: World) -> None:
        self.namespace = world.namespace("xdp")
        self.hold = KernelXdpHold()
        self._others: dict[tuple[str, int], socket.socket] = {}

    def add_device(self, name: str, queues: int) -> None:
        numbers = ["numtxqueues", str(queues), "numrxqueues", str(queues)]
        peer = ["type", "veth", "peer", "name", f"{name}p"]
        self.namespace.ip("link", "add", name, *numbers, *peer)
        self.namespace.ip("link", "set", name, "up")

    def remove_device(self, name: str) -> None:
        self.namespace.ip("link", "del", name)

    def somebody_binds(self, name: str, queue: int) -> bool:
        raw, _ = xdp_attack.open_socket()
        if xdp_attack.bind(raw, socket.if_nametoindex(name), queue, 0) != "bound":
            raw.close()
            return False
        self._others[name, queue] = raw
        return True

    def somebody_ends(self, name: str, queue: int) -> None:
        self._others.pop((name, queue)).close()

    def close(self) -> None:
        self.hold.close()
        for raw in self._others.values():
            raw.close()


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.netns)])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    if request.param == "fake":
        yield FakeStage()
        return
    world: World = request.getfixturevalue("world")
    stage = KernelStage(world)
    with stage.namespace.entered():
        yield stage
        stage.close()


def test_somebody_else_can_bind_where_nothing_is_held(stage: Stage) -> None:
    stage.add_device("eth0", 1)
    assert stage.somebody_binds("eth0", 0)


def test_nobody_else_gets_a_queue_of_a_held_device(stage: Stage) -> None:
    stage.add_device("eth0", 3)
    stage.hold.hold(("eth0",))
    assert stage.hold.held() == {"eth0"}
    assert not any(stage.somebody_binds("eth0", queue) for queue in range(3))


def test_every_device_is_held_and_holding_twice_changes_nothing(stage: Stage) -> None:
    stage.add_device("eth0", 1)
    stage.add_device("eth1", 2)
    for _ in range(2):
        stage.hold.hold(("eth0", "eth1"))
        assert stage.hold.held() == {"eth0", "eth1"}
    assert not stage.somebody_binds("eth1", 1)


def test_a_queue_that_somebody_has_is_an_error_that_names_it_and_the_device_does_not_count_as_held(
    stage: Stage,
) -> None:
    stage.add_device("eth0", 2)
    assert stage.somebody_binds("eth0", 1)
    with pytest.raises(LockError, match="queue 1 of eth0"):
        stage.hold.hold(("eth0",))
    assert stage.hold.held() == frozenset()


def test_one_busy_device_does_not_keep_the_others_from_being_held(stage: Stage) -> None:
    stage.add_device("eth0", 1)
    stage.add_device("eth1", 1)
    assert stage.somebody_binds("eth0", 0)
    with pytest.raises(LockError, match="eth0"):
        stage.hold.hold(("eth0", "eth1"))
    assert stage.hold.held() == {"eth1"}


def test_what_somebody_has_ended_can_be_held(stage: Stage) -> None:
    stage.add_device("eth0", 1)
    assert stage.somebody_binds("eth0", 0)
    stage.somebody_ends("eth0", 0)
    stage.hold.hold(("eth0",))
    assert stage.hold.held() == {"eth0"}


def test_a_device_that_is_gone_is_passed_over_and_is_not_held(stage: Stage) -> None:
    stage.add_device("eth0", 1)
    stage.hold.hold(("eth0", "eth1"))
    stage.remove_device("eth0")
    assert stage.hold.held() == frozenset()
    stage.hold.hold(("eth0",))
    assert stage.hold.held() == frozenset()


def test_a_device_that_was_replaced_by_its_like_is_not_held_until_it_is_held_anew(stage: Stage) -> None:
    stage.add_device("eth0", 1)
    stage.hold.hold(("eth0",))
    stage.remove_device("eth0")
    stage.add_device("eth0", 2)
    assert stage.hold.held() == frozenset()
    stage.hold.hold(("eth0",))
    assert stage.hold.held() == {"eth0"}
    assert not stage.somebody_binds("eth0", 1)


def test_what_is_left_out_is_let_go_of(stage: Stage) -> None:
    stage.add_device("eth0", 1)
    stage.add_device("eth1", 1)
    stage.hold.hold(("eth0", "eth1"))
    stage.hold.hold(("eth1",))
    assert stage.hold.held() == {"eth1"}
    wait_until(lambda: stage.somebody_binds("eth0", 0), 5.0, "the queue to be free")


def test_closing_lets_go(stage: Stage) -> None:
    stage.add_device("eth0", 1)
    stage.hold.hold(("eth0",))
    stage.hold.close()
    assert stage.hold.held() == frozenset()
    wait_until(lambda: stage.somebody_binds("eth0", 0), 5.0, "the queue to be free")


def test_a_kernel_without_it_has_nothing_to_hold() -> None:
    fake = FakeXdpHold(supported=False)
    fake.add_device("eth0", 1)
    fake.hold(("eth0",))
    assert not fake.is_supported()
    assert fake.held() == frozenset()
