"""Who shares the namespace: asked in a thread of its own, told in the status."""

from __future__ import annotations

import queue

from sidecar.core.sights import Joiner
from sidecar.errors import WorkloadError
from sidecar.joiners import JoinersSeen, JoinerWatch
from tests.fakes.workloads import FakeWorkloads
from tests.unit.watchdog_world import DEADLINE_S, World
from tests.waiting import wait_until

RAW = Joiner("web", net_admin=False, net_raw=True, privileged=False, host_pid=False)
ADMIN = Joiner("router", net_admin=True, net_raw=True, privileged=False, host_pid=False)
BUSY = WorkloadError(attempted="see who shares the network namespace", got="refused", remedy="mount the socket")


class Watched:
    """A watch, and what it told."""

    def __init__(self, workloads: FakeWorkloads) -> None:
        self.told: queue.Queue[JoinersSeen] = queue.Queue()
        self.crashes: list[BaseException] = []
        self.watch = JoinerWatch(workloads, self.told.put, self.crashes.append, interval_s=0.01)


def test_it_asks_again_and_again() -> None:
    workloads = FakeWorkloads()
    workloads.company = (RAW,)
    watched = Watched(workloads)
    assert watched.told.get(timeout=DEADLINE_S) == JoinersSeen((RAW,))
    workloads.company = (RAW, ADMIN)
    wait_until(lambda: watched.told.get(timeout=DEADLINE_S).joiners == (RAW, ADMIN), DEADLINE_S, "the newcomer")
    watched.watch.close()


def test_an_engine_that_refuses_is_told_and_asked_again() -> None:
    workloads = FakeWorkloads()
    workloads.fault = BUSY
    watched = Watched(workloads)
    assert watched.told.get(timeout=DEADLINE_S).error == str(BUSY)
    workloads.fault, workloads.company = None, (RAW,)
    wait_until(lambda: watched.told.get(timeout=DEADLINE_S).joiners == (RAW,), DEADLINE_S, "an answer")
    watched.watch.close()


def test_without_the_socket_nobody_is_asked_twice() -> None:
    watched = Watched(FakeWorkloads())
    wait_until(lambda: not watched.watch._thread.is_alive(), DEADLINE_S, "the watch to end")
    assert watched.told.empty()


def test_a_bug_in_the_driver_reaches_the_loop() -> None:
    workloads = FakeWorkloads()
    workloads.fault = RuntimeError("a bug")  # type: ignore[assignment]
    watched = Watched(workloads)
    wait_until(lambda: watched.crashes, DEADLINE_S, "the crash")


def test_a_joiner_that_could_undo_the_lock_is_unhealthy_by_name() -> None:
    world = World()
    with world.running():
        world.wait_until_healthy()
        world.inbox.post(JoinersSeen((RAW, ADMIN)))
        wait_until(lambda: not world.status.latest["healthy"], DEADLINE_S, "the verdict")
        assert "container router has CAP_NET_ADMIN" in world.status.latest["reasons"][0]
        assert "container web has CAP_NET_RAW" in world.status.latest["config"]["warnings"][0]
        world.inbox.post(JoinersSeen((RAW,)))
        world.wait_until_healthy()


def test_not_to_know_who_is_there_is_unhealthy() -> None:
    world = World()
    with world.running():
        world.wait_until_healthy()
        world.inbox.post(JoinersSeen((), str(BUSY)))
        wait_until(lambda: not world.status.latest["healthy"], DEADLINE_S, "the verdict")
        assert "not known" in world.status.latest["reasons"][0]
