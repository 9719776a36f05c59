"""`docker run` to a lock, to traffic, to Docker's own "healthy"."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from bench.figures import Report, load
from bench.subject import Subject, running, status_of
from integration.harness import engine
from integration.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.models.containers import Container

DEADLINE_S = 90.0


def starts(runs: int) -> None:
    """Start a sidecar as the README does, with the image's own health check, on peers that are up already."""
    with running("default", "vpn") as subject:
        report = Report(f"start, default settings, the image's own health check (every 5 s); {load()}")
        subject.compose("stop", "--timeout", "2", "vpn")
        done = [_start(subject) for _ in range(runs)]
    report.spread("docker run -> told as up (traffic passes)", [up for up, _ in done], "s", 2)
    report.spread("docker run -> Docker says healthy", [healthy for _, healthy in done], "s", 2)


def _start(subject: Subject) -> tuple[float, float]:
    began_s = time.time()
    with _sidecar(subject) as container:
        container.reload()
        pid = container.attrs["State"]["Pid"]
        wait_until(lambda: status_of(pid).get("phase") == "up", DEADLINE_S, "the sidecar to be up", 0.01)
        up_s = time.time()
        return up_s - began_s, wait_until(lambda: _healthy_s(container), DEADLINE_S, "Docker's word") - began_s


def _healthy_s(container: Container) -> float | None:
    """Return when the first health check ended that Docker took for good; None before."""
    container.reload()
    checks = container.attrs["State"]["Health"]["Log"] or ()
    ended = [check["End"] for check in checks if check["ExitCode"] == 0]
    # Docker writes nanoseconds; Python reads microseconds.
    return datetime.fromisoformat(ended[0][:26] + ended[0][-6:]).timestamp() if ended else None


@contextmanager
def _sidecar(subject: Subject) -> Iterator[Container]:
    container = engine.client().containers.run(
        engine.IMAGE,
        name=f"{subject.project}-start-{secrets.token_hex(2)}",
        network=subject.network,
        cap_add=["NET_ADMIN"],
        devices=["/dev/net/tun"],
        security_opt=["no-new-privileges:true"],
        tmpfs={"/run": "mode=755,size=16m", "/tmp": "size=16m"},  # noqa: S108 - the container's
        volumes={str(subject.endpoints): {"bind": "/etc/sidecar/endpoints", "mode": "ro"}},
        sysctls={"net.ipv6.conf.default.disable_ipv6": "0"},
        labels={engine.LABEL: engine.run_id()},
        detach=True,
    )
    try:
        yield container
    finally:
        container.remove(force=True, v=True)
