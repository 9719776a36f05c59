"""What a proof may ask of the lock: to leave one device alone, for a while, that leads nowhere.

`sidecar prove` shows of each attack that it gets out where there is no lock. Where no namespace can be made for that,
it takes a TAP device of its own in this one: whatever is sent there arrives in the proof's own process, and nowhere
else, and the device goes with the process. Only a device of that kind and of that name is left out, only in the
outward hooks, and only while a proof that asked for it is running. A halt ends it, a restart forgets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.messages import Announce, ApplyPolicy, Effect, Reply
from sidecar.core.sights import LockStatus

if TYPE_CHECKING:
    from sidecar.core.killswitch import Policy, Uplink
    from sidecar.core.messages import ProofRequested
    from sidecar.core.model import Plan
    from sidecar.core.state import State

DEVICE = "proof0"
LIMIT_S = 60.0
"""A proof takes about twenty seconds; one that is killed leaves no more behind than this."""

KIND = "tun"
"""What the kernel calls TUN and TAP devices. Their far end is a file, not a network."""


def until_s(before_s: float | None, uplinks: tuple[Uplink, ...], at_s: float) -> float | None:
    """Return until when the device is left out; None where it no longer is: time is up, or the name is another's."""
    others = any(uplink.device == DEVICE and uplink.kind != KIND for uplink in uplinks)
    return None if before_s is None or at_s >= before_s or others else before_s


def to_lock(uplinks: tuple[Uplink, ...], left_out_until_s: float | None) -> tuple[Uplink, ...]:
    """Return the uplinks without the one that is left out."""
    if left_out_until_s is None:
        return uplinks
    return tuple(uplink for uplink in uplinks if uplink.device != DEVICE)


def refusal(state: State, observation: ProofRequested, plan: Plan) -> str | None:
    """Say why nothing is left out now; None if it can be. Ending is never refused."""
    survey = observation.survey
    if survey is None:
        return None
    if state.latch is not None:
        return f"halted ({state.latch.reason}): nothing passes; find the cause, then run: sidecar unlock"
    if not plan.endpoints:
        return f"the configuration cannot be used: {plan.fault}"
    if state.policy is None or survey.unknown:
        return "; ".join(survey.unknown) or "the links have not been seen yet; try again in a moment"
    if survey.lock.status is not LockStatus.INTACT:
        return f"the ruleset is {survey.lock.status.value}: {survey.lock.difference}"
    if any(uplink.device == DEVICE for uplink in survey.uplinks):
        return f"there is a device called {DEVICE} already: another proof, or remove it"
    return None


def effects(policy: Policy) -> tuple[Effect, ...]:
    """Return the effects of a beginning or an end."""
    if policy.proof_device is None:
        text = f"{DEVICE} is locked like every other device again"
    else:
        text = f"{DEVICE}, which leads nowhere, is left out of the lock for {LIMIT_S:g} s at most"
    return ApplyPolicy(policy), Announce("proof", text), Reply(accepted=True, text=text)
