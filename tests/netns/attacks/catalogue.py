"""The attacks of `sidecar.prove`, made ready for the tests' scene, and those that need hands outside the namespace."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from sidecar.prove import catalogue as proof

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sidecar.prove.scene import Scene as Aim
    from tests.netns.attacks.scene import Scene

PASSING_INET = ("sockets", "protocols", "raw", "reports")
NO_RULE_SEES = "frames_by_af_xdp"
"""Held by other means than rules; tests/netns/test_xdp_hold.py tries it."""


@dataclass(frozen=True)
class Attack:
    """One attempt: it runs in the sidecar's namespace, and what gets out must hold a sign of the scene's.

    `where` is the side that is watched: "uplink", "tunnel" for what must not enter the tunnel, or "loopback".
    `passes_inet` tells what goes through the hooks of the inet family from what only a device's own hooks see.
    """

    name: str
    under_way: Callable[[Scene, Aim], AbstractContextManager[object]]
    where: str
    passes_inet: bool
    is_late: bool = False


_outside: dict[str, Attack] = {}


def attack(function: Callable[[Scene], None]) -> Callable[[Scene], None]:
    """Put `function` on the list; its name says what is tried."""
    return _register(function, proof.UPLINK)


def attack_on_tunnel(function: Callable[[Scene], None]) -> Callable[[Scene], None]:
    """Put `function` on the list of what must not enter the tunnel."""
    return _register(function, proof.TUNNEL)


def _register(function: Callable[[Scene], None], where: str) -> Callable[[Scene], None]:
    @contextmanager
    def under_way(scene: Scene, _: Aim) -> Iterator[None]:
        function(scene)
        yield

    name = function.__name__
    if name in _outside:
        raise ValueError(f"two attacks are called {name}")
    _outside[name] = Attack(name, under_way, where, passes_inet=True)
    return function


def catalogue() -> list[Attack]:
    """Return every attack, sorted by name."""
    import_module("tests.netns.attacks.outside")
    inside = [
        Attack(each.name, partial(_made, each), each.where, each.group in PASSING_INET, each.is_late)
        for each in proof.catalogue()
        if each.name != NO_RULE_SEES
    ]
    return sorted([*inside, *_outside.values()], key=lambda known: known.name)


@contextmanager
def _made(attack: proof.Attack, _: Scene, aim: Aim) -> Iterator[None]:
    try:
        under_way = proof.under_way(attack, aim)
        under_way.__enter__()
    except OSError as error:
        pytest.skip(f"not possible on this kernel: {error.strerror}")
    try:
        yield
    finally:
        under_way.__exit__(None, None, None)
