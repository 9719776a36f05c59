"""What became of an attack against the lock, from what was seen and counted. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidecar.prove.catalogue import LOOPBACK, TUNNEL, UPLINK
from sidecar.prove.verdict import Faced, Result

if TYPE_CHECKING:
    from sidecar.prove.attempter import Tried
    from sidecar.prove.catalogue import Attack
    from sidecar.prove.scene import Scene


@dataclass(frozen=True, slots=True)
class Traces:
    """What the namespace shows at one moment, and what it has shown since the one before.

    Attributes:
        blocked: what the lock's outward drops caught so far, by place.
        unaccounted: frames that left without being accepted by the lock, since the last look; None: it cannot be told.
    """

    uplink: list[bytes]
    tunnel: list[bytes]
    loopback: list[bytes]
    blocked: dict[str, int]
    unaccounted: int | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that is known of one attempt.

    Attributes:
        before: what was there before it.
        after: what has been seen since.
        tried: what the one who tried it was told.
        blind: no tap saw it where there was no lock, so here none would.
        missed: frames that the taps had no room for.
    """

    before: Traces
    after: Traces
    tried: Tried
    blind: bool
    missed: int


def judge(attack: Attack, scene: Scene, evidence: Evidence) -> Faced:
    """Say what became of an attack. What left no trace of having been stopped is not held: it is not known."""
    after = evidence.after
    watched = {TUNNEL: after.tunnel, LOOPBACK: after.loopback}.get(attack.where, after.uplink)
    seen = sum(scene.shows_in(frame) for frame in watched)
    if seen:
        return Faced(Result.OUT, f"seen by a tap on the {attack.where}", seen)
    if after.unaccounted:
        return Faced(Result.OUT, "sent by the uplink, never accepted by the lock", after.unaccounted)
    if evidence.missed:
        return Faced(Result.UNCLEAR, f"the tap missed {evidence.missed} frames")
    if attack.where == UPLINK and any(scene.shows_in(frame) for frame in after.tunnel):
        return Faced(Result.HELD, "it went into the tunnel")
    refusal = evidence.tried.words
    if refusal and not evidence.tried.is_dropped:
        return Faced(Result.HELD, f"the kernel: {refusal}")
    if evidence.blind and after.unaccounted is None and not refusal:
        # Counters that moved prove nothing here: others on this network may have moved them.
        return Faced(Result.UNCLEAR, "no tap sees such frames, and this uplink's counters cannot be held to the frame")
    caught = [place for place, count in after.blocked.items() if count > evidence.before.blocked.get(place, 0)]
    if caught:
        return Faced(Result.HELD, ", ".join(caught))
    if refusal:
        return Faced(Result.HELD, f"a rule: {refusal}")
    return Faced(Result.UNCLEAR, "it left no trace, neither outside nor at a rule")
