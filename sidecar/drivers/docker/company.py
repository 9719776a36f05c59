"""Who is in our network namespace: told by what each container joined, because its processes cannot be seen."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOUNTS = Path("/proc/self/mountinfo")
_OUR_FILES = re.compile(
    r"/([0-9a-f]{64})/(?:userdata/)?(?:hostname|hosts|resolv\.conf) /etc/(?:hostname|hosts|resolv\.conf) "
)
"""Docker and Podman mount three files from the container's directory, whose name is its id.

Source: proc_pid_mountinfo(5): the root of the mount within its file system is field 4, the mount point field 5.
"""
_SHARED = "container:"
_SHORTEST_ID = 12


@dataclass(frozen=True, slots=True)
class Company:
    """The running containers of one namespace, us included, as docker-py has them.

    Attributes:
        us: None where it cannot be told which one we are: `candidates` have the engine's socket, and one should.
        owner: whose namespace it is, which may be us.
    """

    us: Any | None
    owner: Any
    inside: tuple[Any, ...]
    candidates: int = 1

    def others(self) -> list[Any]:
        """Return everybody but us; everybody where it is not known who that is."""
        return [one for one in self.inside if self.us is None or one.id != self.us.id]


def own_id(mounts: Path = MOUNTS) -> str | None:
    """Return the id of the container whose network namespace this is; None where it is none that can be told."""
    try:
        found = _OUR_FILES.search(mounts.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return found[1] if found else None


def company(client: Any, engine_socket: Path, container: str | None) -> Company:
    """Ask the engine who shares our namespace. One question a running container: milliseconds each.

    Args:
        client: docker-py's; its exceptions are the caller's to wrap.
        engine_socket: as mounted in this container.
        container: our own id; None looks it up.
    """
    known = client.containers.get(container or own_id() or socket.gethostname())
    running = client.containers.list(ignore_removed=True)
    owner = known
    while joined := [one for one in running if _names(_joined_to(owner), one)]:
        owner = joined[0]
    inside = [owner]
    others = [one for one in running if one.id != owner.id]
    while more := [one for one in others if any(_names(_joined_to(one), member) for member in inside)]:
        inside += more
        others = [one for one in others if one not in more]
    candidates = [known] if container is not None else _with_our_socket(known, inside, engine_socket)
    us = candidates[0] if len(candidates) == 1 else None
    return Company(us, owner, tuple(inside), len(candidates))


def _with_our_socket(known: Any, inside: list[Any], engine_socket: Path) -> list[Any]:
    """Return who we may be.

    Where we joined another's namespace, the engine mounts that one's files into us, and they bear that one's id.
    What tells us from it then is the engine's socket, which we have.
    """
    if _has_socket(known, engine_socket):
        return [known]
    return [one for one in inside if _has_socket(one, engine_socket)]


def _has_socket(container: Any, engine_socket: Path) -> bool:
    mounted = {Path(mount["Destination"]).resolve() for mount in container.attrs.get("Mounts", [])}
    return engine_socket.resolve() in mounted


def _joined_to(container: Any) -> str | None:
    """Return what `container` calls the one whose namespace it joined: an id, a part of one, or a name."""
    mode = container.attrs.get("HostConfig", {}).get("NetworkMode", "")
    return mode.removeprefix(_SHARED) if mode.startswith(_SHARED) else None


def _names(word: str | None, container: Any) -> bool:
    """Whether `word` means `container`, as the engine reads words."""
    if not word:
        return False
    return bool(word == container.name or (len(word) >= _SHORTEST_ID and container.id.startswith(word)))
