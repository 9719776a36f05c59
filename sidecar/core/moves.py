"""What a move consists of, and what is said about it. Reads the state, never changes it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, assert_never

from sidecar.core import health, killswitch, proof, repair
from sidecar.core.failover import Move
from sidecar.core.messages import (
    Announce,
    ApplyPolicy,
    ConfigurePeer,
    Converged,
    Effect,
    EnsureCapture,
    EnsureResolver,
    EnsureRoutes,
    HardStop,
    HoldQueues,
    LowerUplinks,
    Probe,
    ProofRequested,
    RaiseUplinks,
    Rebind,
    Reply,
    ResolveNextHops,
    SaveState,
    Severity,
    SwitchRequested,
    UnlockRequested,
)
from sidecar.core.sights import LockStatus

if TYPE_CHECKING:
    from sidecar.core.killswitch import Policy
    from sidecar.core.messages import Request, Started
    from sidecar.core.model import Plan
    from sidecar.core.repair import Fault
    from sidecar.core.sights import Latch, Survey
    from sidecar.core.state import State


HELD_ELSEWHERE = "sealed: somebody else has AF_XDP queues of an uplink"
CONFIGURED = Announce("configured", "the configuration is usable again")


class Why(NamedTuple):
    """Why a move is made: a stable word for machines, and words for people."""

    kind: str
    text: str


SWITCH = Why("switch", "an operator's switch")
CONVERGE = Why("switch", "an operator's converge")
WRAP = Why("failover", "the whole list was dead: begin anew")


def too_many(plan: Plan) -> Why:
    """Return why the next endpoint is due."""
    return Why("failover", f"{plan.timing.threshold_cycles} bad cycles")


def beginning(observation: Started, state: State) -> tuple[Effect, ...]:
    """Return what a start says: what of the state file could not be read, and that everything is still halted."""
    said: list[Effect] = []
    if observation.damage is not None:
        said.append(Announce("state-damaged", observation.damage, Severity.WARNING))
    if state.latch is not None:
        said.append(Announce("halted", f"still halted: {state.latch.reason}", Severity.ERROR))
    return tuple(said)


def intended(state: State, plan: Plan) -> Policy:
    """Return the policy that this state calls for. Only a whole plan without a latch permits anything."""
    if state.latch is not None or state.hold_refused or not plan.endpoints:
        return killswitch.sealed(uplink.device for uplink in state.uplinks)
    policy = killswitch.permit_tunnel(plan, proof.to_lock(state.uplinks, state.proof_until_s))
    return policy if state.proof_until_s is None else replace(policy, proof_device=proof.DEVICE)


def watch_over(state: State, survey: Survey, policy: Policy) -> tuple[Effect, ...]:
    """Return what keeps every uplink watched by a tap, and every AF_XDP queue in our hands."""
    effects: list[Effect] = []
    if survey.unheld:
        effects.append(HoldQueues(policy.devices))
    if survey.blind or policy != state.policy or survey.watched - set(policy.devices):
        effects.append(EnsureCapture(policy))
    return tuple(effects)


def takes_a_port(effect: Effect) -> bool:
    """Whether an effect may fail for somebody else having its source port, so that the next one should be tried."""
    return isinstance(effect, ConfigurePeer | Rebind)


def reconfigure(state: State, plan: Plan) -> tuple[Effect, ...]:
    """Return the effects that point the tunnel at the active endpoint; the lock permits it already.

    The peer is replaced even where the way to the new one is not resolved yet: what was left must not carry traffic.
    """
    endpoint = state.endpoint(plan)
    if endpoint is None:
        return ()
    path = killswitch.path_to(endpoint, state.uplinks)
    effects: list[Effect] = []
    if path is not None and path.next_hop_mac is None:
        effects.append(ResolveNextHops((path,)))
    effects.append(ConfigurePeer(plan.device, endpoint, state.listen_port(plan), plan.pins.fwmark))
    effects.append(EnsureRoutes(repair.wanted_routes(plan, endpoint, state.uplinks)))
    if endpoint.dns:
        effects.append(EnsureResolver(endpoint.dns))
    return tuple(effects)


def put_in_force(state: State, policy: Policy) -> tuple[Effect, ...]:
    """Return the effects that apply `policy`; what somebody else changed is said aloud."""
    if state.policy is None or state.lock.status is not LockStatus.CHANGED:
        return (ApplyPolicy(policy),)
    text = f"somebody changed the ruleset; put back: {state.lock.difference}"
    return (ApplyPolicy(policy), Announce("lock-restored", text, Severity.WARNING))


def to_active(state: State, plan: Plan, policy: Policy, left: str | None, why: Why) -> tuple[Effect, ...]:
    """Return the effects of a move to the active endpoint: the lock, the note of it, the tunnel, a first question.

    The tap comes last: until its filter knows a new policy it only sees more than it needs to.
    """
    announce = Announce(why.kind, f"{left} → {state.active}: {why.text}", Severity.WARNING)
    return (
        ApplyPolicy(policy),
        SaveState(state.persisted()),
        *reconfigure(state, plan),
        announce,
        ask(state, plan),
        EnsureCapture(policy),
    )


def mend(state: State, plan: Plan, found: tuple[Fault, ...], *, resolve: bool) -> tuple[Effect, ...]:
    """Return the effects that resolve next hops and mend what was found; what was not there before is said."""
    effects: list[Effect] = []
    ways = killswitch.paths(plan.endpoints, state.uplinks)
    unresolved = tuple(path for path in ways if health.unresolved(path)) if resolve else ()
    if unresolved:
        effects.append(ResolveNextHops(unresolved))
    new = tuple(fault.text for fault in found if fault.text not in state.faults)
    if new and state.health_at_s is not None:
        effects.append(Announce("repair", "; ".join(new), Severity.WARNING))
    return (*effects, *(fault.effect for fault in found))


def ask(state: State, plan: Plan) -> Probe:
    """Return this cycle's question through the tunnel."""
    return Probe(state.cycle, plan.probe_targets, plan.device, plan.timing.probe_timeout_s)


def halt(state: State, latch: Latch, plan: Plan) -> tuple[Effect, ...]:
    """Return the effects of a hard stop."""
    announce = Announce("halted", f"{latch.reason}: {latch.evidence}", Severity.ERROR)
    return (HardStop(intended(state, plan), state.persisted(), plan.on_leak), announce)


def keep_down(state: State) -> tuple[Effect, ...]:
    """Return the effects that take the links down again which somebody raised while halted."""
    raised = tuple(uplink.device for uplink in state.uplinks if uplink.carrier)
    return (LowerUplinks(raised),) if raised else ()


def unlock(state: State) -> tuple[Effect, ...]:
    """Return the effects of an unlock: the links up, the latch off the disk; the seal stays until the next look.

    In this order: interrupted in between, a restart finds the latch, takes the links down, and can be unlocked again.
    """
    text = "the latch is gone, the tunnel is being made anew"
    return (
        RaiseUplinks(tuple(uplink.device for uplink in state.uplinks)),
        SaveState(state.persisted()),
        Announce("unlocked", text, Severity.WARNING),
        Reply(accepted=True, text=text),
    )


def announce_first(state: State, plan: Plan) -> Announce:
    """Say that the first endpoint of the list is taken; `state` is from before."""
    why = "the list of endpoints changed; " if state.list_digest else ""
    return Announce("selected", f"{why}begin with {plan.endpoints[0].name}")


def announce_failure(error: str) -> Announce:
    """Say that an effect failed."""
    return Announce("failed", error, Severity.ERROR)


def announce_alive(state: State, plan: Plan) -> Announce:
    """Say that traffic passes (again), and what that tells about the silence before."""
    if state.run.exhausted is not None:
        return Announce("recovered", f"{state.active} answers again: the list is not exhausted any more")
    if state.run.rebound:
        return Announce(
            "revived",
            f"{state.active} answers on a fresh source port: the path had condemned the old flow, the server was up",
        )
    if state.run.bad_cycles:
        return Announce("recovered", f"{state.active} answers again after {state.run.bad_cycles} bad cycles")
    endpoint = state.endpoint(plan)
    where = f" ({endpoint.address} port {endpoint.port})" if endpoint else ""
    return Announce("up", f"traffic passes through {state.active}{where}")


def after_bad_cycle(move: Move, state: State, plan: Plan) -> tuple[Effect, ...]:
    """Return the effects of a bad cycle that leaves the active endpoint in place."""
    if move is Move.RETRY:
        return reconfigure(state, plan)
    if move is Move.EXHAUST:
        return (_announce_exhausted(state, plan),)
    if state.run.exhausted is not None:
        return ()
    text = f"{state.active}: bad cycle {state.run.bad_cycles} of {plan.timing.threshold_cycles}: {state.health_detail}"
    announce = Announce("bad-cycle", text, Severity.WARNING)
    return (announce, Rebind(plan.device, state.listen_port(plan))) if move is Move.REBIND else (announce,)


def _announce_exhausted(state: State, plan: Plan) -> Announce:
    text = f"{state.active} is dead too and it is the last of {len(plan.endpoints)}; it is tried again, with back-off"
    return Announce("exhausted", text, Severity.ERROR)


def refusal(state: State, observation: Request, plan: Plan) -> str | None:
    """Say why an operator's request is refused; None if it is not."""
    match observation:
        case UnlockRequested():
            return _unlock_refusal(state, observation.survey)
        case ProofRequested():
            return proof.refusal(state, observation, plan)
        case SwitchRequested():
            return _move_refusal(state, plan, observation.name)
        case Converged():
            return _move_refusal(state, plan, None)
    assert_never(observation)


def _move_refusal(state: State, plan: Plan, name: str | None) -> str | None:
    if state.latch is not None:
        return f"halted ({state.latch.reason}); find the cause, then run: sidecar unlock"
    if not plan.endpoints:
        return f"the configuration cannot be used: {plan.fault}"
    if state.policy is None:
        return "the links have not been seen yet, so there is no lock for a tunnel; try again in a moment"
    if name is not None and plan.index_of(name) is None:
        return f"no endpoint is called {name}; there are: {', '.join(endpoint.name for endpoint in plan.endpoints)}"
    return None


def _unlock_refusal(state: State, survey: Survey) -> str | None:
    if state.latch is None:
        return "nothing is halted"
    reasons = list(survey.unknown)
    if state.policy is None:
        reasons.append("the links have not been seen yet; try again in a moment")
    if survey.lock.status is not LockStatus.INTACT:
        reasons.append(f"the sealed ruleset is {survey.lock.status.value}: {survey.lock.difference}")
    raised = [uplink.device for uplink in survey.uplinks if uplink.carrier]
    if raised:
        reasons.append(f"somebody set {', '.join(raised)} up again while halted")
    locked = {uplink.device for uplink in survey.uplinks}
    reasons += [
        f"a route to {route.destination} leaves by {route.device}; remove it"
        for route in survey.routes
        if route.device in locked
    ]
    return "; ".join(reasons) or None
