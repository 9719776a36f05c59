"""What a container may do to the network that it shares, from what it was created with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sidecar.core.sights import Joiner

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_EVERY = "ALL"
_DEFAULT = frozenset({"NET_RAW"})
"""Those of Docker's default capabilities that matter here. Other engines give fewer; then we warn for nothing.

Source: DefaultCapabilities() in moby's oci/caps/defaults.go.
"""


def joiner(name: str, attributes: Mapping[str, Any]) -> Joiner:
    """Return what the engine's description of a container amounts to.

    What `docker exec --privileged` adds to one process is not in it. Where the description says nothing, the worst is
    assumed.

    Args:
        name: the container's.
        attributes: the engine's answer to "inspect".
    """
    host = attributes.get("HostConfig")
    if not isinstance(host, dict):
        return Joiner(name, net_admin=True, net_raw=True, privileged=True, host_pid=True)
    privileged = bool(host.get("Privileged"))
    added, dropped = _plain(host.get("CapAdd")), _plain(host.get("CapDrop"))
    return Joiner(
        name,
        net_admin=privileged or _has("NET_ADMIN", added, dropped),
        net_raw=privileged or _has("NET_RAW", added, dropped),
        privileged=privileged,
        host_pid=host.get("PidMode") == "host",
    )


def _has(capability: str, added: frozenset[str], dropped: frozenset[str]) -> bool:
    """Whether a container is given `capability`: what is added by its name counts even if it is dropped as well.

    Source: TweakCapabilities() in moby's oci/caps/utils.go.
    """
    if capability in added:
        return True
    offered = _EVERY in added or capability in _DEFAULT
    return offered and not dropped & {_EVERY, capability}


def _plain(names: Iterable[str] | None) -> frozenset[str]:
    return frozenset(name.upper().removeprefix("CAP_") for name in names or ())
