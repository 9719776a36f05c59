"""What a move consists of, and what is said about it. Reads the state, never changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core import killswitch, repair
from sidecar.core.failover import Move
from sidecar.core.messages import (
    Announce,
    ApplyPolicy,
    ConfigurePeer,
    Effect,
    EnsureResolver,
    EnsureRoutes,
    RaiseUplinks,
    Rebind,
    Reply,
    ResolveNextHops,
    SaveState,
    Severity,
)
from sidecar.core.sights import LockStatus

if TYPE_CHECKING:
    from sidecar.core.killswitch import Policy
    from sidecar.core.model import Plan
    from sidecar.core.sights import Survey
    from sidecar.core.state import State


def intended(state: State, plan: Plan) -> Policy:
    """Return the policy that this state calls for. Only a whole plan without a latch permits anything."""
    if state.latch is not None or not plan.endpoints:
        return killswitch.sealed(uplink.device for uplink in state.uplinks)
    return killswitch.permit_tunnel(plan, state.uplinks)


def reconfigure(state: State, plan: Plan) -> tuple[Effect, ...]:
    """Return the effects that point the tunnel at the active endpoint; the lock permits it already.

    Where the way to it is not resolved yet, the peer follows when it is (`repair.faults`).
    """
    endpoint = state.endpoint(plan)
    if endpoint is None:
        return ()
    path = killswitch.path_to(endpoint, state.uplinks)
    effects: list[Effect] = []
    if path is not None and path.next_hop_mac is not None:
        effects.append(ConfigurePeer(plan.device, endpoint, state.listen_port(plan), plan.pins.fwmark))
    elif path is not None:
        effects.append(ResolveNextHops((path,)))
    effects.append(EnsureRoutes(repair.wanted_routes(plan, endpoint, state.uplinks)))
    if endpoint.dns:
        effects.append(EnsureResolver(endpoint.dns))
    return tuple(effects)


def failover(state: State, plan: Plan, text: str) -> tuple[Effect, ...]:
    """Return the effects of a move to the active endpoint: the lock, the note of it, the tunnel, a line for people."""
    policy = intended(state, plan)
    announce = Announce("failover", text, Severity.WARNING)
    return (ApplyPolicy(policy), SaveState(state.persisted()), *reconfigure(state, plan), announce)


def unlock(state: State) -> tuple[Effect, ...]:
    """Return the effects of an unlock: still sealed, the latch taken off the disk, the links up; more follows."""
    devices = tuple(uplink.device for uplink in state.uplinks)
    text = "unlocked: the tunnel is being made anew"
    return (
        ApplyPolicy(killswitch.sealed(devices)),
        SaveState(state.persisted()),
        RaiseUplinks(devices),
        Announce("unlocked", text, Severity.WARNING),
        Reply(accepted=True, text=text),
    )


def announce_alive(state: State, plan: Plan) -> Announce:
    """Say that traffic passes (again), and what that tells about the silence before."""
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


def refusal(state: State, plan: Plan, name: str | None) -> str | None:
    """Say why an operator's move is refused; None if it is not. `name` is None for a converge."""
    if state.latch is not None:
        return f"halted ({state.latch.reason}); find the cause, then run: sidecar unlock"
    if not plan.endpoints:
        return f"the configuration cannot be used: {plan.fault}"
    if name is not None and plan.index_of(name) is None:
        return f"no endpoint is called {name}; there are: {', '.join(endpoint.name for endpoint in plan.endpoints)}"
    return None


def unlock_refusal(state: State, survey: Survey) -> str | None:
    """Say why the halt cannot end yet; None if it can."""
    if state.latch is None:
        return "nothing is halted"
    reasons = list(survey.unknown)
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
