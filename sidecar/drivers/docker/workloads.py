"""Pause or stop the containers that joined us, and tell what they may do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from sidecar.core.model import OnLeak
from sidecar.drivers.docker.capabilities import joiner
from sidecar.drivers.docker.company import company
from sidecar.errors import WorkloadError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sidecar.core.sights import Joiner
    from sidecar.drivers.docker.company import Company

_REQUEST_TIMEOUT_S = 5
_STOP_GRACE_S = 1
"""Sealed already, a workload has nobody left to say goodbye to."""
_AT_ONCE = 8
_GONE = 404


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
        attempted = f"{on_leak.value} the joined containers"
        if self._socket is None:
            raise WorkloadError(
                attempted=attempted,
                got="the engine's socket is not mounted",
                remedy="mount it and set its path, or choose on_leak = seal",
            )
        with self._asking(self._socket, attempted) as (found, failures):
            joined = _workloads(found, attempted)
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                troubles = list(pool.map(lambda one: _obey(one, on_leak, failures), joined))
        return _in_words(on_leak, attempted, [one.name for one in joined], [trouble for trouble in troubles if trouble])

    def joiners(self) -> tuple[Joiner, ...] | None:
        """Return every other running container of the namespace, its owner too; None without the engine's socket.

        Where it cannot be told which one we are, we are among them. Takes milliseconds a running container, so it is
        not for each cycle.

        Raises:
            WorkloadError: the engine cannot be asked.
        """
        if self._socket is None:
            return None
        with self._asking(self._socket, "see who shares the network namespace") as (found, _):
            everybody = [joiner(one.name, one.attrs) for one in found.others()]
        return tuple(sorted(everybody, key=lambda one: one.name))

    @contextmanager
    def _asking(self, engine_socket: Path, attempted: str) -> Iterator[tuple[Company, tuple[type[Exception], ...]]]:
        # Imported here: it takes 20 MiB that a sidecar without the socket, the usual one, need not hold.
        import docker  # noqa: PLC0415
        from docker.errors import DockerException  # noqa: PLC0415
        from requests.exceptions import RequestException  # noqa: PLC0415

        failures = (DockerException, RequestException, OSError)
        try:
            client = docker.DockerClient(base_url=f"unix://{engine_socket}", timeout=_REQUEST_TIMEOUT_S)
            with closing(client):
                yield company(client, engine_socket, self._container), failures
        except failures as error:
            raise WorkloadError(
                attempted=attempted,
                got=str(error),
                remedy=f"see that the engine runs and that {engine_socket} is its socket",
            ) from error


def _workloads(found: Company, attempted: str) -> list[Any]:
    """Return the containers that may be told something: not us, lest we stop ourselves, and not a namespace's owner."""
    if found.us is None:
        got = f"{found.candidates} containers of this namespace have the socket, and one of them should be this one"
        raise WorkloadError(attempted=attempted, got=got, remedy="give this container's id")
    return [one for one in found.others() if one.id != found.owner.id]


def _in_words(on_leak: OnLeak, attempted: str, names: list[str], troubles: list[str]) -> str:
    if troubles:
        got = f"{len(troubles)} of {len(names)} did not obey: {'; '.join(troubles)}"
        raise WorkloadError(attempted=attempted, got=got, remedy="see to them by hand")
    done = {OnLeak.PAUSE: "paused", OnLeak.STOP: "stopped"}[on_leak]
    return f"{done} {', '.join(sorted(names))}" if names else "nothing to do: no container shares the namespace"


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
