"""What a hard stop says to the joined containers, and how we tell them from ourselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.core.model import OnLeak
from sidecar.drivers.docker import DockerWorkloads, own_id
from sidecar.errors import WorkloadError
from tests.unit.drivers.docker.engine import HOLDER, US, long_id, mounted_from

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.drivers.docker.engine import Engine


def test_who_joined_us_is_paused_and_nobody_else(engine: Engine, workloads: DockerWorkloads) -> None:
    engine.add(long_id(3), "web", f"container:{US}")
    engine.add(long_id(4), "torrent", f"container:{US}")
    engine.add(long_id(5), "stranger", f"container:{long_id(9)}")
    engine.add(long_id(6), "other")
    assert workloads.tell(OnLeak.PAUSE) == "paused torrent, web"
    assert sorted(engine.asked) == ["pause torrent", "pause web"]


def test_who_joined_us_is_stopped(engine: Engine, workloads: DockerWorkloads) -> None:
    engine.add(long_id(3), "web", f"container:{US}")
    assert workloads.tell(OnLeak.STOP) == "stopped web"
    assert engine.asked == ["stop web"]


@pytest.mark.parametrize("word", [US, US[:12], "vpn"])
def test_whatever_the_engine_was_told_to_call_us_by(engine: Engine, workloads: DockerWorkloads, word: str) -> None:
    engine.add(long_id(3), "web", f"container:{word}")
    assert workloads.tell(OnLeak.PAUSE) == "paused web"


@pytest.mark.parametrize("word", [US[:3], "", "vp"])
def test_a_word_that_only_looks_like_us_is_not_us(engine: Engine, workloads: DockerWorkloads, word: str) -> None:
    engine.add(long_id(3), "web", f"container:{word}")
    assert "no container shares the namespace" in workloads.tell(OnLeak.PAUSE)
    assert engine.asked == []


def test_who_joined_a_joined_container_is_in_our_namespace_too(engine: Engine, workloads: DockerWorkloads) -> None:
    engine.add(long_id(3), "helper", f"container:{long_id(4)}")
    engine.add(long_id(4), "web", f"container:{US}")
    assert workloads.tell(OnLeak.STOP) == "stopped helper, web"


def test_beside_a_namespace_holder_the_others_are_told_and_the_holder_is_left(engine: Engine) -> None:
    engine.add(US, "vpn", f"container:{HOLDER}")
    engine.add(HOLDER, "holder")
    engine.add(long_id(3), "web", f"container:{HOLDER}")
    engine.add(long_id(4), "other")
    assert DockerWorkloads(engine.path, US).tell(OnLeak.STOP) == "stopped web"


def test_we_are_the_one_whose_files_are_mounted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted_from(monkeypatch, US)
    engine.add(US, "vpn", with_socket=True)
    engine.add(long_id(3), "a workload with the socket", f"container:{US}", with_socket=True)
    assert DockerWorkloads(engine.path).tell(OnLeak.STOP) == "stopped a workload with the socket"


def test_beside_a_namespace_holder_whose_files_we_have_we_do_not_stop_ourselves(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted_from(monkeypatch, HOLDER)
    engine.add(HOLDER, "holder")
    engine.add(US, "vpn", f"container:{HOLDER}", with_socket=True)
    engine.add(long_id(3), "web", f"container:{HOLDER}")
    assert DockerWorkloads(engine.path).tell(OnLeak.STOP) == "stopped web"
    assert engine.asked == ["stop web"]


@pytest.mark.parametrize("with_socket", [0, 2])
def test_where_it_cannot_be_told_who_we_are_nobody_is_stopped(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, with_socket: int
) -> None:
    mounted_from(monkeypatch, HOLDER)
    engine.add(HOLDER, "holder")
    for number in (3, 4):
        engine.add(long_id(number), f"one{number}", f"container:{HOLDER}", with_socket=with_socket == 2)
    with pytest.raises(WorkloadError, match=f"{with_socket} containers of this namespace have the socket.*give this"):
        DockerWorkloads(engine.path).tell(OnLeak.STOP)
    assert engine.asked == []


def test_a_container_that_is_paused_already_is_not_paused_again(engine: Engine, workloads: DockerWorkloads) -> None:
    engine.add(long_id(3), "web", f"container:{US}", status="paused")
    assert workloads.tell(OnLeak.PAUSE) == "paused web"
    assert engine.asked == []


def test_all_are_tried_and_the_disobedient_are_named(engine: Engine, workloads: DockerWorkloads) -> None:
    for number, name in enumerate(("one", "two", "three", "four"), 3):
        engine.add(long_id(number), name, f"container:{US}")
    engine.refusals = {long_id(3): 500, long_id(5): 409}
    with pytest.raises(WorkloadError, match="stop the joined containers: 2 of 4 did not obey") as caught:
        workloads.tell(OnLeak.STOP)
    assert sorted(engine.asked) == ["stop four", "stop one", "stop three", "stop two"]
    assert "cannot stop one" in str(caught.value)
    assert "cannot stop three" in str(caught.value)


def test_a_container_that_went_meanwhile_obeyed(engine: Engine, workloads: DockerWorkloads) -> None:
    engine.add(long_id(3), "web", f"container:{US}")
    engine.add(long_id(4), "gone before it was looked at", f"container:{US}")
    engine.refusals = {long_id(3): 404, long_id(4): 410}
    assert workloads.tell(OnLeak.STOP) == "stopped web"


def test_an_engine_that_does_not_know_us_is_an_error(engine: Engine) -> None:
    with pytest.raises(WorkloadError, match="No such container"):
        DockerWorkloads(engine.path, long_id(9)).tell(OnLeak.PAUSE)


def test_no_engine_behind_the_socket_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="see that the engine runs"):
        DockerWorkloads(tmp_path / "nothing.sock", US).tell(OnLeak.PAUSE)


@pytest.mark.parametrize("on_leak", [OnLeak.PAUSE, OnLeak.STOP])
def test_without_the_socket_nobody_can_be_told(on_leak: OnLeak) -> None:
    with pytest.raises(WorkloadError, match=f"{on_leak.value} the joined.*not mounted; mount it"):
        DockerWorkloads().tell(on_leak)


def test_sealing_needs_no_engine(tmp_path: Path) -> None:
    assert DockerWorkloads().tell(OnLeak.SEAL) == "nothing to do: the namespace is sealed"
    assert DockerWorkloads(tmp_path / "nothing.sock").tell(OnLeak.SEAL) == "nothing to do: the namespace is sealed"


DOCKER = "611 600 254:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw\n"
PODMAN = "890 880 0:25 /containers/overlay-containers/{id}/userdata/resolv.conf /etc/resolv.conf rw - tmpfs tmpfs rw\n"
NONE = "22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n"


@pytest.mark.parametrize("line", [DOCKER, PODMAN])
def test_our_id_is_read_from_the_files_that_the_engine_mounts(tmp_path: Path, line: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(NONE + line.format(id="0a" * 32) + NONE)
    assert own_id(mounts) == "0a" * 32


@pytest.mark.parametrize("line", [NONE, DOCKER.format(id="0a" * 31), DOCKER.replace("/etc/hostname", "/mnt")])
def test_outside_a_container_there_is_no_id(tmp_path: Path, line: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(line.replace("{id}", "0a" * 32))
    assert own_id(mounts) is None
    assert own_id(tmp_path / "missing") is None
