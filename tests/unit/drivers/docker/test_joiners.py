"""Who shares our namespace, and what they may do there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.core.sights import Joiner
from sidecar.drivers.docker import DockerWorkloads
from sidecar.drivers.docker.capabilities import joiner
from sidecar.errors import WorkloadError
from tests.unit.drivers.docker.engine import HOLDER, US, long_id, mounted_from

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.drivers.docker.engine import Engine


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
