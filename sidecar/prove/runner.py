"""The whole proof, in order: every attack where there is no lock, then every attack against the lock."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from ipaddress import ip_network
from typing import TYPE_CHECKING

from sidecar.core.proof import DEVICE
from sidecar.prove.attempter import Attempter
from sidecar.prove.catalogue import LOOPBACK, Attack, catalogue
from sidecar.prove.ground import Ground
from sidecar.prove.nowhere import Nowhere, scratch_namespace
from sidecar.prove.verdict import Control, Proof, Row, Shown
from sidecar.prove.watch import Tap, to_resolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sidecar.core.model import Network
    from sidecar.prove.facts import Facts

SCRATCH = "in a network namespace of their own"
WITHIN = "on a device of their own that leads nowhere"


def prove(facts: Facts, leave_out: Callable[[], AbstractContextManager[str]], *, may_scratch: bool = True) -> Proof:
    """Try everything, both ways.

    Args:
        facts: what to attack.
        leave_out: asks the watchdog to leave the control's device out of the lock, for the block; gives why it does
            not, or an empty string. Only asked for where no namespace can be made.
        may_scratch: make a namespace where possible.
    """
    with _place(leave_out, may_scratch=may_scratch) as (place, remark):
        shown = {attack.name: each for attack, each in _controls(Nowhere(_taken(facts)))}
    rows: list[Row] = []
    for uplink in facts.uplinks:
        with Ground(facts, uplink) as ground, Attempter() as attempter:
            for attack in catalogue():
                faced = ground.face(attack, attempter, shown[attack.name])
                rows.append(Row(attack, uplink.device, shown[attack.name], faced))
            late = ground.last_look()
        if late is not None:
            rows.append(Row(rows[-1].attack, uplink.device, rows[-1].shown, late))
    return Proof(tuple(rows), place, remark)


@contextmanager
def _place(leave_out: Callable[[], AbstractContextManager[str]], *, may_scratch: bool) -> Iterator[tuple[str, str]]:
    """Be where there is no lock, for the block."""
    with ExitStack() as stack:
        if may_scratch and stack.enter_context(scratch_namespace()):
            yield SCRATCH, ""
        else:
            yield WITHIN, stack.enter_context(leave_out())


def _taken(facts: Facts) -> Iterator[Network]:
    for uplink in facts.uplinks:
        yield from (interface.network for interface in uplink.addresses)
    for endpoint in facts.plan.endpoints:
        yield ip_network(endpoint.address)
    yield from (interface.network for interface in facts.plan.addresses)


def _controls(nowhere: Nowhere) -> Iterator[tuple[Attack, Shown]]:
    with ExitStack() as stack:
        place = stack.enter_context(nowhere)
        tap = stack.enter_context(Tap(DEVICE))
        loopback = stack.enter_context(Tap("lo", to_resolver(place.scene())))
        attempter = stack.enter_context(Attempter())
        for attack in catalogue():
            yield attack, _control(attack, attempter, place, loopback if attack.where == LOOPBACK else tap)


def _control(attack: Attack, attempter: Attempter, place: Nowhere, tap: Tap) -> Shown:
    scene = place.scene()
    place.arrived()
    tap.frames()
    tried = attempter.attempt(attack, scene)
    if tried.error is not None:
        return Shown(Control.IMPOSSIBLE, tried.error)
    arrived = attack.where != LOOPBACK and not tried.refused and place.wait_for(scene)
    tap_sees = any(scene.shows_in(frame) for frame in tap.frames())
    if arrived or (attack.where == LOOPBACK and tap_sees):
        return Shown(Control.OUT, tap_sees=tap_sees)
    if not tried.refused:
        return Shown(Control.FAILED, "sent, and did not arrive")
    return Shown(Control.FAILED if tried.is_dropped else Control.IMPOSSIBLE, tried.words)
