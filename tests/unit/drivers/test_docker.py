"""Against an engine of our own: the five requests that matter, on a unix socket."""

from __future__ import annotations

import json
import re
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.core.model import OnLeak
from sidecar.core.sights import Joiner
from sidecar.drivers.docker import DockerWorkloads, own_id
from sidecar.drivers.docker.capabilities import joiner
from sidecar.errors import WorkloadError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def long_id(number: int) -> str:
    return f"{number:x}" * 64


US, HOLDER = long_id(1), long_id(2)


class Engine(socketserver.ThreadingUnixStreamServer):
    """Containers by id, and what was asked of them.

    Attributes:
        refusals: an HTTP status to answer with instead of obeying, by container id.
    """

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), Handler)
        self.path = path
        self.containers: dict[str, dict[str, Any]] = {}
        self.refusals: dict[str, int] = {}
        self.asked: list[str] = []

    def add(
        self,
        identifier: str,
        name: str,
        mode: str = "bridge",
        status: str = "running",
        *,
        with_socket: bool = False,
        **host: object,
    ) -> None:
        self.containers[identifier] = {
            "Id": identifier,
            "Name": f"/{name}",
            "State": {"Status": status},
            "HostConfig": {"NetworkMode": mode, **host},
            "Mounts": [{"Destination": "/data"}, *([{"Destination": str(self.path)}] if with_socket else [])],
        }


class Handler(BaseHTTPRequestHandler):
    server: Engine

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = re.sub(r"^/v[0-9.]+", "", self.path.partition("?")[0])
        if path == "/version":
            self.reply(200, {"ApiVersion": "1.45"})
        elif path == "/containers/json":
            listed = [one for one in self.server.containers.values() if one["State"]["Status"] != "exited"]
            self.reply(200, [{"Id": one["Id"]} for one in listed])
        else:
            self.inspect(path.split("/")[2])

    def inspect(self, word: str) -> None:
        matches = [one for key, one in self.server.containers.items() if key.startswith(word)]
        if matches and self.server.refusals.get(matches[0]["Id"]) != 410:
            self.reply(200, matches[0])
        else:
            self.reply(404, {"message": f"No such container: {word}"})

    def do_POST(self) -> None:
        _, _, identifier, action = re.sub(r"^/v[0-9.]+", "", self.path.partition("?")[0]).split("/")
        name = self.server.containers[identifier]["Name"][1:]
        self.server.asked.append(f"{action} {name}")
        refusal = self.server.refusals.get(identifier)
        if refusal is None:
            self.reply(204, None)
        else:
            self.reply(refusal, {"message": f"cannot {action} {name}"})

    def reply(self, status: int, body: Any) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if content:
            self.wfile.write(content)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "engine.sock") as engine:
        thread = threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        engine.add(US, "vpn")
        yield engine
        engine.shutdown()
        thread.join()


@pytest.fixture
def workloads(engine: Engine) -> DockerWorkloads:
    return DockerWorkloads(engine.path, US)


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


def mounted_from(monkeypatch: pytest.MonkeyPatch, identifier: str) -> None:
    """Let the files that the engine mounts into us come from this container."""
    monkeypatch.setattr("sidecar.drivers.docker.company.own_id", lambda: identifier)


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


def told(workloads: DockerWorkloads) -> dict[str, tuple[bool, bool]]:
    """Return who has NET_ADMIN and who has NET_RAW."""
    joiners = workloads.joiners()
    assert joiners is not None
    return {one.name: (one.net_admin, one.net_raw) for one in joiners}


@pytest.mark.parametrize(
    ("added", "dropped", "may"),
    [
        (None, None, (False, True)),
        ([], [], (False, True)),
        (None, ["NET_RAW"], (False, False)),
        (None, ["CAP_NET_RAW"], (False, False)),
        (None, ["net_raw"], (False, False)),
        (None, ["ALL"], (False, False)),
        (["NET_ADMIN"], None, (True, True)),
        (["cap_net_admin"], None, (True, True)),
        (["NET_ADMIN"], ["ALL"], (True, False)),
        (["NET_ADMIN"], ["NET_ADMIN"], (True, True)),
        (["ALL"], None, (True, True)),
        (["ALL"], ["NET_ADMIN"], (False, True)),
        (["ALL"], ["ALL"], (False, False)),
        (["NET_RAW"], ["ALL"], (False, True)),
        (["SYS_TIME"], None, (False, True)),
    ],
)
def test_what_a_joiner_may_do_follows_from_what_it_was_given(
    engine: Engine,
    workloads: DockerWorkloads,
    added: list[str] | None,
    dropped: list[str] | None,
    may: tuple[bool, bool],
) -> None:
    engine.add(long_id(3), "web", f"container:{US}", CapAdd=added, CapDrop=dropped)
    assert told(workloads) == {"web": may}


def test_a_privileged_joiner_may_do_everything_whatever_was_dropped(engine: Engine, workloads: DockerWorkloads) -> None:
    engine.add(long_id(3), "web", f"container:{US}", Privileged=True, CapDrop=["ALL"])
    assert workloads.joiners() == (Joiner("web", True, True, True, False),)  # noqa: FBT003 - all of it matters


def test_a_joiner_that_sees_the_host_s_processes_is_told(engine: Engine, workloads: DockerWorkloads) -> None:
    engine.add(long_id(3), "web", f"container:{US}", PidMode="host")
    engine.add(long_id(4), "beside", f"container:{US}", PidMode=f"container:{US}")
    joiners = workloads.joiners()
    assert joiners is not None
    assert {one.name: one.host_pid for one in joiners} == {"web": True, "beside": False}


def test_of_a_joiner_that_the_engine_says_nothing_about_the_worst_is_assumed() -> None:
    assert joiner("web", {}) == Joiner("web", True, True, True, True)  # noqa: FBT003


def test_joiners_are_whoever_is_in_the_namespace_but_us(engine: Engine) -> None:
    engine.add(US, "vpn", f"container:{HOLDER}", CapAdd=["NET_ADMIN"])
    engine.add(HOLDER, "holder", CapAdd=["NET_ADMIN"])
    engine.add(long_id(3), "web", f"container:{HOLDER}", status="paused")
    engine.add(long_id(4), "helper", f"container:{long_id(3)}")
    engine.add(long_id(5), "was here", f"container:{HOLDER}", status="exited", CapAdd=["NET_ADMIN"])
    engine.add(long_id(6), "elsewhere", CapAdd=["NET_ADMIN"])
    assert told(DockerWorkloads(engine.path, US)) == {
        "holder": (True, True),
        "web": (False, True),
        "helper": (False, True),
    }
    assert engine.asked == []


def test_where_it_cannot_be_told_who_we_are_nobody_is_left_out_of_the_joiners(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted_from(monkeypatch, HOLDER)
    engine.add(HOLDER, "holder")
    engine.add(US, "vpn", f"container:{HOLDER}", CapAdd=["NET_ADMIN"])
    assert set(told(DockerWorkloads(engine.path))) == {"holder", "vpn"}


def test_without_the_socket_nothing_is_known_of_joiners() -> None:
    assert DockerWorkloads().joiners() is None


def test_an_engine_that_does_not_answer_is_an_error_and_not_an_empty_company(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"see who shares the network namespace.*see that the engine runs"):
        DockerWorkloads(tmp_path / "nothing.sock", US).joiners()


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
