"""The list of attacks. A new one is a function in a module beside this one, decorated with `attack`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.netns.attacks.scene import Scene

MODULES = ("sockets", "packets", "neighbours", "outside")
PASSING_INET = ("sockets", "outside")


@dataclass(frozen=True)
class Attack:
    """One attempt: `attempt` runs in the sidecar's namespace, and what gets out must hold a sign of the scene's.

    `where` is the far side that is watched: "uplink", or "tunnel" for what must not enter the tunnel. `passes_inet`
    tells what goes through the hooks of the inet family from what only a device's own hooks see.
    """

    name: str
    attempt: Callable[[Scene], None]
    where: str
    passes_inet: bool


_known: dict[str, Attack] = {}


def attack(function: Callable[[Scene], None]) -> Callable[[Scene], None]:
    """Put `function` on the list; its name says what is tried."""
    return _register(function, "uplink")


def attack_on_tunnel(function: Callable[[Scene], None]) -> Callable[[Scene], None]:
    """Put `function` on the list of what must not enter the tunnel."""
    return _register(function, "tunnel")


def _register(function: Callable[[Scene], None], where: str) -> Callable[[Scene], None]:
    name = function.__name__
    if name in _known:
        raise ValueError(f"two attacks are called {name}")
    _known[name] = Attack(name, function, where, function.__module__.rpartition(".")[2] in PASSING_INET)
    return function


def catalogue() -> list[Attack]:
    """Return every attack of every module, sorted by name."""
    for module in MODULES:
        import_module(f"tests.netns.attacks.{module}")
    return sorted(_known.values(), key=lambda known: known.name)
