"""The process that makes the attempts: no more than a workload with Docker's default capabilities."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sidecar.errors import Bug
from sidecar.prove.attempter import Attempter
from sidecar.prove.catalogue import catalogue
from sidecar.prove.confinement import DOCKER_DEFAULTS
from sidecar.prove.nowhere import Nowhere

if TYPE_CHECKING:
    from tests.netns.world import World

REPORT = """
import json, pathlib, subprocess
from sidecar.prove.confinement import confine, effective
confine()
lines = pathlib.Path("/proc/self/status").read_text().splitlines()
status = dict(line.split(":\\t") for line in lines if ":\\t" in line)
print(json.dumps({"effective": sorted(effective()), "status": status,
    "ip": subprocess.run(["ip", "link", "set", "lo", "up"], capture_output=True).returncode}))
"""


def test_what_is_left_is_dockers_default_for_the_process_and_all_that_it_starts(world: World) -> None:
    namespace = world.namespace("confined")
    with namespace.entered():
        done = subprocess.run([sys.executable, "-B", "-c", REPORT], check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    allowed = set(DOCKER_DEFAULTS.values())
    assert set(report["effective"]) <= allowed
    assert DOCKER_DEFAULTS["NET_RAW"] in report["effective"]
    mask = sum(1 << number for number in allowed)
    for held in ("CapPrm", "CapEff", "CapBnd"):
        assert int(report["status"][held], 16) & ~mask == 0, held
    for none in ("CapInh", "CapAmb"):
        assert int(report["status"][none], 16) == 0, none
    assert report["status"]["NoNewPrivs"] == "1"
    assert report["ip"] != 0


def test_dockers_defaults_are_what_docker_shows() -> None:
    # CapEff of a container started without options, in every version of Docker since NET_RAW and the rest were fixed.
    assert sum(1 << number for number in DOCKER_DEFAULTS.values()) == 0xA80425FB


def test_an_attempt_goes_by_the_pipe_and_its_errors_come_back(world: World) -> None:
    namespace = world.namespace("attempts")
    known = {attack.name: attack for attack in catalogue()}
    scene = replace(Nowhere(()).scene(), device="lo", tunnel_device="lo")
    with namespace.entered(), Attempter() as attempter:
        routed = attempter.attempt(known["udp_by_the_default_route"], scene)
        assert (routed.refused, routed.error) == (("ENETUNREACH",), None)
        assert routed.words == "Network is unreachable"
        missing = attempter.attempt(known["an_igmp_report"], replace(scene, device="gone0"))
        assert missing.error == "no interface with this name"
        assert attempter.attempt(known["a_frame"], scene).refused == ()


def test_an_attempter_that_is_gone_is_a_mistake_of_ours() -> None:
    (attack, *_) = catalogue()
    with Attempter() as attempter:
        attempter._process.kill()
        attempter._process.wait()
        with pytest.raises(Bug, match=attack.name):
            attempter.attempt(attack, Nowhere(()).scene())
