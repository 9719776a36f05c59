"""The Docker engine: whether there is one, what earlier runs left behind, and which addresses are free."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from ipaddress import IPv4Network, ip_network
from pathlib import Path

import docker
from docker.errors import APIError, DockerException

LABEL = "sidecar.test-run"
# Of what scripts/mock-config makes for a run: keys, which must not outlive it.
DIRECTORY_PREFIX = "sc-mock-"
IMAGE = "sidecar:local"
WORKLOAD_IMAGE = "sidecar-workload:local"
# Documentation addresses (RFC 5737). The first /28 is that of `make up`.
SUBNETS = list(IPv4Network("192.0.2.0/24").subnets(new_prefix=28))[1:]


@functools.cache
def client() -> docker.DockerClient:
    """Return the one connection of this process."""
    return docker.from_env(timeout=60)


def binary() -> str:
    """Return the docker client that scripts/test chose."""
    return os.environ.get("DOCKER") or shutil.which("docker") or "docker"


def why_not() -> str | None:
    """Say why no real container can be had here; None if it can."""
    if os.geteuid() != 0:
        return "not root"
    try:
        client().ping()
    except DockerException as error:
        return f"no Docker engine answers: {error}"
    compose = subprocess.run([binary(), "compose", "version"], capture_output=True, check=False)
    return None if compose.returncode == 0 else "no Docker Compose 2 (scripts/ensure-compose)"


def run_id() -> str:
    """Return what marks the containers of this process: its id and when it started, so that a reused id tells."""
    return f"{os.getpid()}.{_started_ticks(os.getpid())}"


def make_directory() -> Path:
    """Make a directory for the keys of one stack of this run, readable by nobody else."""
    return Path(tempfile.mkdtemp(prefix=f"{DIRECTORY_PREFIX}{run_id()}-"))


def _started_ticks(pid: int) -> str | None:
    """Return when a process started, in clock ticks since boot. Source: proc_pid_stat(5), field 22."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return stat.rpartition(")")[2].split()[19]


def _is_dead(run: str) -> bool:
    pid, _, ticks = run.partition(".")
    return not pid.isdigit() or _started_ticks(int(pid)) != ticks


def sweep() -> None:
    """Take away what runs that are dead have left: containers first, since they hold the rest, and keys."""
    filters = {"label": LABEL}
    engine = client()
    for container in engine.containers.list(all=True, filters=filters, ignore_removed=True):
        if _is_dead(container.labels[LABEL]):
            _removed(lambda container=container: container.remove(force=True, v=True))
    for network in engine.networks.list(filters=filters):
        if _is_dead(network.attrs["Labels"][LABEL]):
            _removed(network.remove)
    for volume in engine.volumes.list(filters=filters):
        if _is_dead(volume.attrs["Labels"][LABEL]):
            _removed(lambda volume=volume: volume.remove(force=True))
    for directory in Path(tempfile.gettempdir()).glob(f"{DIRECTORY_PREFIX}*"):
        if _is_dead(directory.name.split("-")[2]):
            shutil.rmtree(directory, ignore_errors=True)


def _removed(remove: functools.partial) -> None:
    """Remove something that another run may be removing at the same moment."""
    try:
        remove()
    except APIError as error:
        if error.status_code not in (404, 409):
            raise


def free_subnet() -> IPv4Network:
    """Return a /28 that no Docker network uses now."""
    taken = [
        ip_network(pool["Subnet"])
        for network in client().networks.list()
        for pool in (network.attrs["IPAM"]["Config"] or ())
        if pool.get("Subnet")
    ]
    for subnet in SUBNETS:
        if not any(other.version == 4 and subnet.overlaps(other) for other in taken):
            return subnet
    raise AssertionError(f"no free /28 in 192.0.2.0/24; docker network ls --filter label={LABEL} shows who has them")
