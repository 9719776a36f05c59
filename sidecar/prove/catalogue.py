"""The list of attacks. A new one is a function in a module of `attacks`, decorated with `attack`."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from sidecar.prove.scene import Scene

    Attempt = Callable[[Scene], Generator[None] | None]
    """What an attack does. One that yields keeps what it has open until the watch is over."""

MODULES = {
    "sockets": "Ordinary sockets",
    "protocols": "Other protocols",
    "raw": "Raw IP and marks",
    "packets": "AF_PACKET: frames that no inet hook sees",
    "neighbours": "Hidden in ARP and neighbour discovery",
    "rings": "Rings shared with the kernel",
    "reports": "What the kernel says by itself",
}
NET_RAW = "NET_RAW"
UPLINK, TUNNEL, LOOPBACK = "uplink", "tunnel", "loopback"


@dataclass(frozen=True, slots=True)
class Attack:
    """One attempt: what it sends must hold a sign of its scene.

    Attributes:
        title: what is tried, in a few words.
        group: which part of the catalogue it belongs to, a key of `MODULES`.
        needs: the capability that a workload needs for it; empty for none.
        where: what it must not leave by: "uplink"; "tunnel" for what must not enter that; "loopback" for what others
            in the loopback carry out.
        is_late: the kernel sends it a moment after it was asked to.
    """

    name: str
    title: str
    group: str
    attempt: Attempt
    needs: str
    where: str
    is_late: bool


_known: dict[str, Attack] = {}


def attack(*, needs: str = "", where: str = UPLINK, is_late: bool = False) -> Callable[[Attempt], Attempt]:
    """Put a function on the list; the first line of its docstring says what is tried."""

    def register(attempt: Attempt) -> Attempt:
        name = attempt.__name__
        if name in _known:
            raise ValueError(f"two attacks are called {name}")
        title = (attempt.__doc__ or "").strip().splitlines()[0].rstrip(".")
        group = attempt.__module__.rpartition(".")[2]
        _known[name] = Attack(name, title, group, attempt, needs, where, is_late)
        return attempt

    return register


def catalogue() -> tuple[Attack, ...]:
    """Return every attack of every module, group by group."""
    for module in MODULES:
        import_module(f"sidecar.prove.attacks.{module}")
    order = list(MODULES)
    return tuple(sorted(_known.values(), key=lambda known: order.index(known.group)))


@contextmanager
def under_way(attack: Attack, scene: Scene) -> Iterator[tuple[str, ...]]:
    """Make the attempt, and keep what it holds open for the block; gives the names of the errors that sends met.

    Raises:
        OSError: the attack cannot be made here: it did not come so far as to send.
    """
    _refusals.clear()
    going = attack.attempt(scene)
    try:
        if going is not None:
            next(going)
        yield tuple(_refusals)
    finally:
        if going is not None:
            going.close()


@contextmanager
def may_be_refused() -> Iterator[None]:
    """Go on where a send is refused, and remember it: that is what a lock does, with EPERM or ENOBUFS."""
    try:
        yield
    except OSError as error:
        note(error.errno or 0)


def note(number: int) -> None:
    """Remember the error that a send met; 0, and what only says that an answer is awaited, is none."""
    if number not in {0, errno.EINPROGRESS}:
        _refusals.append(errno.errorcode.get(number, str(number)))


_refusals: list[str] = []
