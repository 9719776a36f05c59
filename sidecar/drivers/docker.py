"""The `Workloads` port: pause or stop, by the Docker engine, the containers that share our network namespace.

This needs the engine's socket, which is root on the host; so it is an option, and without it a hard stop still takes
everything away from the workloads but their lives.
"""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from sidecar.core.model import OnLeak
from sidecar.errors import WorkloadError

MOUNTS = Path("/proc/self/mountinfo")
_OUR_FILES = re.compile(
    r"/([0-9a-f]{64})/(?:userdata/)?(?:hostname|hosts|resolv\.conf) /etc/(?:hostname|hosts|resolv\.conf) "
)
"""Docker and Podman mount three files from the container's directory, whose name is its id.

Source: proc_pid_mountinfo(5): the root of the mount within its file system is field 4, the mount point field 5.
"""
_SHARED = "container:"
_REQUEST_TIMEOUT_S = 5
_STOP_GRACE_S = 1
"""Sealed already, a workload has nobody left to say goodbye to."""
_AT_ONCE = 8
_SHORTEST_ID = 12
_GONE = 404


def own_id(mounts: Path = MOUNTS) -> str | None:
    """Return the id of the container whose network namespace this is; None where it is none that can be told."""
    try:
        found = _OUR_FILES.search(mounts.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return found[1] if found else None


class DockerWorkloads:
    """Tells the containers that joined us, or that joined the same namespace holder as we did.

    Args:
        engine_socket: the engine's socket as mounted in this container; None where it is not, which is the default.
        container: our own id; None looks it up.
    """

    def __init__(self, engine_socket: Path | None = None, container: str | None = None) -> None:
        self._socket = engine_socket
        self._container = container

    def tell(self, on_leak: OnLeak) -> str:
        """Do to every joined container what `on_leak` says. All are tried; takes a few seconds at most.

        Raises:
            WorkloadError: the engine cannot be asked, or a container did not obey; the others were dealt with.
        """
        if on_leak is OnLeak.SEAL:
            return "nothing to do: the namespace is sealed"
        if self._socket is None:
            raise self._error(
                on_leak, "the engine's socket is not mounted", "mount it and set its path, or choose on_leak = seal"
            )
        # Imported here: it takes 20 MiB that a sidecar without the socket, the usual one, need not hold.
        import docker  # noqa: PLC0415
        from docker.errors import DockerException  # noqa: PLC0415
        from requests.exceptions import RequestException  # noqa: PLC0415

        failures = (DockerException, RequestException, OSError)
        try:
            client = docker.DockerClient(base_url=f"unix://{self._socket}", timeout=_REQUEST_TIMEOUT_S)
            with closing(client):
                joined = self._joined(client, on_leak)
                with ThreadPoolExecutor(_AT_ONCE) as pool:
                    troubles = list(pool.map(lambda one: _obey(one, on_leak, failures), joined))
        except failures as error:
            raise self._error(
                on_leak, str(error), f"see that the engine runs and that {self._socket} is its socket"
            ) from error
        return self._in_words(on_leak, [one.name for one in joined], [trouble for trouble in troubles if trouble])

    def _joined(self, client: Any, on_leak: OnLeak) -> list[Any]:
        """Return the running containers that share our namespace, but for us and for the one that it belongs to."""
        known = client.containers.get(self._container or own_id() or socket.gethostname())
        running = client.containers.list(ignore_removed=True)
        owner = known
        while joined := [one for one in running if _names(_joined_to(owner), one)]:
            owner = joined[0]
        inside = [owner]
        others = [one for one in running if one.id != owner.id]
        while more := [one for one in others if any(_names(_joined_to(one), member) for member in inside)]:
            inside += more
            others = [one for one in others if one not in more]
        us = known if self._container is not None else self._ourselves(known, inside, on_leak)
        return [one for one in inside if one.id not in {us.id, owner.id}]

    def _ourselves(self, known: Any, inside: list[Any], on_leak: OnLeak) -> Any:
        """Return our own container, lest we stop it.

        Where we joined another's namespace, the engine mounts that one's files into us, and they bear that one's id.
        What tells us from it then is the engine's socket, which we have.
        """
        candidates = [known] if self._has_socket(known) else [one for one in inside if self._has_socket(one)]
        if len(candidates) != 1:
            raise self._error(
                on_leak,
                f"{len(candidates)} containers of this namespace have the socket, and one of them should be this one",
                "give this container's id",
            )
        return candidates[0]

    def _has_socket(self, container: Any) -> bool:
        mounted = {Path(mount["Destination"]).resolve() for mount in container.attrs.get("Mounts", [])}
        return self._socket is not None and self._socket.resolve() in mounted

    def _in_words(self, on_leak: OnLeak, names: list[str], troubles: list[str]) -> str:
        if troubles:
            raise self._error(
                on_leak, f"{len(troubles)} of {len(names)} did not obey: {'; '.join(troubles)}", "see to them by hand"
            )
        done = {OnLeak.PAUSE: "paused", OnLeak.STOP: "stopped"}[on_leak]
        return f"{done} {', '.join(sorted(names))}" if names else "nothing to do: no container shares the namespace"

    @staticmethod
    def _error(on_leak: OnLeak, got: str, remedy: str) -> WorkloadError:
        return WorkloadError(attempted=f"{on_leak.value} the joined containers", got=got, remedy=remedy)


def _joined_to(container: Any) -> str | None:
    """Return what `container` calls the one whose namespace it joined: an id, a part of one, or a name."""
    mode = container.attrs.get("HostConfig", {}).get("NetworkMode", "")
    return mode.removeprefix(_SHARED) if mode.startswith(_SHARED) else None


def _names(word: str | None, container: Any) -> bool:
    """Whether `word` means `container`, as the engine reads words."""
    if not word:
        return False
    return bool(word == container.name or (len(word) >= _SHORTEST_ID and container.id.startswith(word)))


def _obey(container: Any, on_leak: OnLeak, failures: tuple[type[Exception], ...]) -> str | None:
    """Make one container do as it is told; return what went wrong. One that is gone or paused already obeys."""
    try:
        if on_leak is OnLeak.STOP:
            container.stop(timeout=_STOP_GRACE_S)
        elif container.status != "paused":
            container.pause()
    except failures as error:
        if getattr(error, "status_code", None) == _GONE:
            return None
        return f"{container.name}: {error}"
    return None
