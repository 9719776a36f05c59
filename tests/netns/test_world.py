from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.netns.peers import ask
from tests.netns.world import NAMESPACES, End, World
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.netns.stage import Stage


def devices() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def test_two_namespaces_reach_each_other_over_a_veth_pair(world: World) -> None:
    one, other = world.namespace("one"), world.namespace("other")
    world.veth(End(one, "eth0", ["10.1.0.1/24"], "02:00:00:00:00:0a"), End(other, "eth0", ["10.1.0.2/24"]))
    assert "02:00:00:00:00:0a" in one.ip("link", "show", "eth0")
    one.run(["ping", "-c", "1", "-W", "5", "10.1.0.2"])


def test_a_thread_started_inside_a_namespace_lives_in_it_and_the_caller_comes_back(world: World) -> None:
    inside = world.namespace("inside")
    world.veth(End(inside, "here0"), End(inside, "there0"))
    seen: list[set[str]] = []
    before = devices()
    with inside.entered():
        thread = threading.Thread(target=lambda: seen.append(devices()))
        thread.start()
        thread.join()
    assert seen == [{"lo", "here0", "there0"}]
    assert devices() == before


def test_everything_is_removed_after_an_exception() -> None:
    def fail() -> None:
        with World() as world:
            namespace = world.namespace("doomed")
            started.append(namespace.start(["sleep", "600"]).pid)
            made.append(namespace.path)
            raise KeyboardInterrupt

    started: list[int] = []
    made: list[Path] = []
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not made[0].exists()
    assert not Path(f"/proc/{started[0]}").exists()


def test_what_a_killed_run_left_behind_is_swept_by_the_next() -> None:
    script = (
        "import time; from tests.netns.world import World; world = World().__enter__();"
        "space = world.namespace('left'); process = space.start(['sleep', '600']);"
        "print(space.name, process.pid, flush=True); time.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    name, sleeper = child.stdout.readline().split()
    os.kill(child.pid, signal.SIGKILL)
    child.wait(timeout=10)
    child.stdout.close()
    assert (NAMESPACES / name).exists()
    with World():
        assert not (NAMESPACES / name).exists()
    wait_until(lambda: not Path(f"/proc/{sleeper}").exists(), 5, "the left-over process to be gone")


def test_a_mock_peer_answers_beyond_its_tunnel_and_not_without_it(stage: Stage) -> None:
    """The client here is wg(8) and wireguard-go by hand, so that no driver of ours vouches for the mock."""
    device, client = stage.world.device_name(), stage.sidecar
    client.start(["wireguard-go", "-f", device])
    wait_until(Path(f"/var/run/wireguard/{device}.sock").exists, 10, "wireguard-go")
    stage.primary.admit(stage.keys.public, "10.64.0.2/32")
    client.run(["wg", "set", device, "private-key", "/dev/stdin"], stdin=stage.keys.private.reveal())
    client.ip("address", "add", "10.64.0.2/32", "dev", device)
    client.ip("link", "set", device, "up")
    client.ip("route", "add", "198.51.100.0/24", "dev", device)
    with client.entered():
        assert not ask("198.51.100.10")
        peer = ["peer", stage.primary.keys.public, "endpoint", "203.0.113.10:51820", "allowed-ips", "0.0.0.0/0"]
        client.run(["wg", "set", device, *peer])
        assert wait_until(lambda: ask("198.51.100.10"), 10, "an answer through the tunnel")
    assert {sender for sender, _ in stage.primary.heard()} == {"10.64.0.2"}
    assert not stage.backup.heard()
