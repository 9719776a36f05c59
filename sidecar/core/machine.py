"""The whole behaviour: one observation in, a new state and a list of effects out.

Rule 1: everything that changes the state is in this file.
Rule 2: the first effect of every move is the killswitch, and it is safe to be interrupted after any effect.
Rule 3: a leak ends in `_halt`, from anywhere; nothing but an operator's unlock takes the latch away.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from sidecar.core import failover, health, killswitch, leak, moves, repair
from sidecar.core.failover import Move
from sidecar.core.messages import (
    Announce,
    ApplyPolicy,
    Converged,
    Effect,
    EffectFailed,
    EnsureCapture,
    FrameSeen,
    HardStop,
    LowerUplinks,
    Observation,
    Probe,
    Probed,
    Replanned,
    Reply,
    ResolveNextHops,
    SaveState,
    Severity,
    Started,
    Surveyed,
    SwitchRequested,
    UnlockRequested,
)
from sidecar.core.model import Health
from sidecar.core.sights import Latch, LockStatus
from sidecar.core.state import Baseline, Run, State, Step, recall

if TYPE_CHECKING:
    from sidecar.core.killswitch import Policy
    from sidecar.core.model import Plan
    from sidecar.core.sights import Survey

LOCK_FAILURES_TO_HALT = 2
"""A lock that is gone may fail to come back once, because a device vanished between looking and locking; not twice."""


def step(state: State, observation: Observation, plan: Plan) -> Step:
    """Return what `observation` leads to. Pure: time is in the observation, and everything else is in the arguments."""
    match observation:
        case Started():
            return _started(observation, plan)
        case Surveyed():
            return _surveyed(state, observation, plan)
        case Probed():
            return _probed(state, observation, plan)
        case FrameSeen():
            return _frame_seen(state, observation, plan)
        case EffectFailed():
            return _effect_failed(state, observation, plan)
        case Replanned():
            return _adopt_list(
                state, plan, observation.at_s, Announce("configured", "the configuration is usable again")
            )
        case Converged() | SwitchRequested():
            return _requested_move(state, observation, plan)
        case UnlockRequested():
            return _unlock_requested(state, observation)
    assert_never(observation)


# --- beginning ------------------------------------------------------------------------------------------------------


def _started(observation: Started, plan: Plan) -> Step:
    state = State(active_since_s=observation.at_s)
    said: list[Effect] = []
    if observation.damage is not None:
        said.append(Announce("state-damaged", observation.damage, Severity.WARNING))
    if observation.persisted is not None:
        state = recall(observation.persisted, plan, observation.at_s)
    if state.latch is not None:
        said.append(Announce("halted", f"still halted: {state.latch.reason}", Severity.ERROR))
    return _adopt_list(state, plan, observation.at_s, *said)


def _adopt_list(state: State, plan: Plan, at_s: float, *said: Effect) -> Step:
    """Take up the plan's list: the same list keeps its endpoint (no failback), another begins with its first."""
    if not plan.endpoints:
        return Step(state, said)
    if state.list_digest == plan.digest and plan.index_of(state.active or "") is not None:
        return Step(replace(state, active_since_s=at_s, note="kept across a restart"), said)
    first, why = plan.endpoints[0].name, "the list of endpoints changed; " if state.list_digest else ""
    state = replace(
        state, active=first, list_digest=plan.digest, run=Run(), active_since_s=at_s, note="first of the list"
    )
    return Step(state, (*said, Announce("selected", f"{why}begin with {first}")))


# --- looking --------------------------------------------------------------------------------------------------------


def _surveyed(state: State, observation: Surveyed, plan: Plan) -> Step:
    """Look at everything: the lock first, then the tap, then our own faults, and health once a cycle."""
    survey = observation.survey
    state = replace(state, lock=survey.lock, unknown=survey.unknown)
    if observation.is_cycle:
        state = replace(state, failures=(), earlier_failures=state.failures)
    if survey.unknown:
        return _lock(state, state.policy)
    uplinks = killswitch.remember(survey.uplinks, state.uplinks)
    blind = tuple(uplink.device for uplink in uplinks if uplink.carrier and uplink.device not in survey.watched)
    state, survey = replace(state, uplinks=uplinks, blind=blind), replace(survey, uplinks=uplinks)
    intended = moves.intended(state, plan)
    done = _lock(state, intended)
    if state.latch is not None:
        up = tuple(uplink.device for uplink in uplinks if uplink.carrier)
        return done.then(LowerUplinks(up)) if up else done
    if blind or intended != state.policy or survey.watched - set(intended.devices):
        done = done.then(EnsureCapture(intended))
    return _save(_tend(done, survey, observation, plan))


def _save(done: Step) -> Step:
    """Write the state when it changed. A failed write has cleared `saved`, so it is tried again at the next look."""
    state, kept = done.state, done.state.persisted()
    if state.saved == kept:
        return done
    return done.with_state(replace(state, saved=kept)).then(SaveState(kept))


def _lock(state: State, intended: Policy | None) -> Step:
    """Put the intended policy in force where the kernel has another. What somebody else changed is said aloud."""
    if intended is None or (intended == state.policy and state.lock.status is LockStatus.INTACT):
        return Step(replace(state, lock_failures=0))
    done = Step(state, (ApplyPolicy(intended),))
    if state.policy is not None and state.lock.status is LockStatus.CHANGED:
        text = f"somebody changed the ruleset; put back: {state.lock.difference}"
        done = done.then(Announce("lock-restored", text, Severity.WARNING))
    previous = state.previous_policy if intended == state.policy else state.policy
    return done.with_state(replace(state, policy=intended, previous_policy=previous))


def _tend(done: Step, survey: Survey, observation: Surveyed, plan: Plan) -> Step:
    """Mend what is ours, and on a regular look go on to judge the tunnel."""
    state = done.state
    endpoint = state.endpoint(plan)
    if endpoint is None:
        return done
    unresolved = tuple(path for path in killswitch.paths(plan.endpoints, survey.uplinks) if health.unresolved(path))
    if unresolved and (observation.is_cycle or done.effects):
        done = done.then(ResolveNextHops(unresolved))
    found = repair.faults(plan, endpoint, state.listen_port(plan), survey)
    new = tuple(fault.text for fault in found if fault.text not in state.faults)
    if new and state.health_at_s is not None:
        done = done.then(Announce("repair", "; ".join(new), Severity.WARNING))
    silence = [fault.text for fault in found if fault.explains_silence]
    excuse = health.uplink_fault(killswitch.path_to(endpoint, survey.uplinks)) or "; ".join(silence) or None
    state = replace(state, faults=tuple(fault.text for fault in found), excuse=excuse)
    done = done.with_state(state).then(*(fault.effect for fault in found))
    return _cycle(done, survey, observation.at_s, plan) if observation.is_cycle else done


# --- judging --------------------------------------------------------------------------------------------------------


def _cycle(done: Step, survey: Survey, at_s: float, plan: Plan) -> Step:
    """Judge the tunnel by what its counters show since the last cycle; ask through it where they cannot tell."""
    state = done.state
    if (
        state.last_cycle_at_s is not None
        and at_s - state.last_cycle_at_s > plan.timing.stall_cycles * plan.timing.cycle_s
    ):
        state = replace(state, baseline=None, run=replace(state.run, bad_cycles=0))
    state = replace(state, last_cycle_at_s=at_s, cycle=state.cycle + 1)
    peer = survey.tunnel.wireguard.peer if survey.tunnel else None
    verdict = health.judge(state.baseline, at_s, peer) if peer else None
    endpoint = state.endpoint(plan)
    if endpoint and health.unreachable(killswitch.path_to(endpoint, survey.uplinks)):
        return _bad(done.with_state(state), at_s, plan, "the endpoint does not answer ARP or neighbour discovery")
    if verdict is Health.ALIVE and peer is not None:
        return _good(done.with_state(replace(state, baseline=Baseline(at_s, peer))), at_s, plan, "traffic arrives")
    probe = Probe(state.cycle, plan.probe_targets, plan.device, plan.timing.probe_timeout_s)
    return done.with_state(state).then(probe)


def _probed(state: State, observation: Probed, plan: Plan) -> Step:
    if state.latch is not None or observation.cycle != state.cycle or state.endpoint(plan) is None:
        return Step(state)
    verdict = observation.health
    if verdict is Health.UNKNOWN:
        verdict = health.judge_unprobed(state.baseline, observation.peer)
    if observation.peer is not None:
        state = replace(state, baseline=Baseline(observation.at_s, observation.peer))
    if verdict is Health.ALIVE:
        return _save(_good(Step(state), observation.at_s, plan, observation.detail))
    if verdict is Health.DEAD:
        return _save(_bad(Step(state), observation.at_s, plan, observation.detail))
    return Step(replace(state, health=Health.UNKNOWN, health_at_s=observation.at_s, health_detail=observation.detail))


def _good(done: Step, at_s: float, plan: Plan, detail: str) -> Step:
    state = done.state
    if state.health is not Health.ALIVE or state.run.bad_cycles:
        done = done.then(moves.announce_alive(state, plan))
    return done.with_state(replace(state, health=Health.ALIVE, health_at_s=at_s, health_detail=detail, run=Run()))


def _bad(done: Step, at_s: float, plan: Plan, detail: str) -> Step:
    """A bad cycle. It counts towards failover, unless a fault of ours or of the uplink explains it."""
    state = replace(done.state, health=Health.DEAD, health_at_s=at_s, health_detail=detail)
    done = done.with_state(state)
    if state.excuse is not None:
        return done
    index = state.index(plan)
    decision = failover.decide(state.run, index=index, laps=state.laps, plan=plan, at_s=at_s)
    fresh_port = decision.move in (Move.REBIND, Move.RETRY)
    state = replace(state, run=decision.run, port_index=state.port_index + fresh_port)
    if decision.move is Move.ADVANCE:
        return _move_to(done.with_state(state), index + 1, at_s, plan, f"{plan.timing.threshold_cycles} bad cycles")
    if decision.move is Move.WRAP:
        state = replace(state, laps=state.laps + 1)
        return _move_to(done.with_state(state), 0, at_s, plan, "the whole list was dead: begin anew")
    return done.with_state(state).then(*moves.after_bad_cycle(decision.move, state, plan))


def _move_to(done: Step, index: int, at_s: float, plan: Plan, why: str) -> Step:
    """Go to an endpoint: lock, note it durably, then one write. What is noted is finished after a crash."""
    state, left, to = done.state, done.state.active, plan.endpoints[index].name
    state = replace(
        state,
        active=to,
        list_digest=plan.digest,
        run=Run(),
        baseline=None,
        health=Health.UNKNOWN,
        cycle=state.cycle + 1,
        active_since_s=at_s,
        note=f"moved from {left}: {why}" if left != to else why,
    )
    policy = moves.intended(state, plan)
    previous = state.previous_policy if policy == state.policy else state.policy
    state = replace(state, policy=policy, previous_policy=previous, saved=state.persisted())
    return done.with_state(state).then(*moves.failover(state, plan, f"{left} → {to}: {why}"))


# --- halting --------------------------------------------------------------------------------------------------------


def _frame_seen(state: State, observation: FrameSeen, plan: Plan) -> Step:
    if leak.permitted(observation.frame, (state.policy, state.previous_policy)):
        return Step(state)
    state = replace(state, frames_leaked=state.frames_leaked + 1)
    if state.latch is not None:
        return Step(state)
    return _halt(state, plan, "a frame left outside the tunnel", observation.frame.summary)


def _halt(state: State, plan: Plan, reason: str, evidence: str) -> Step:
    """Seal and latch. From here nothing but an operator's unlock leads on."""
    state = replace(state, latch=Latch(reason, evidence), health=Health.UNKNOWN, run=Run())
    policy = moves.intended(state, plan)
    state = replace(state, policy=policy, previous_policy=None, saved=state.persisted())
    stop = HardStop(policy, state.persisted(), plan.on_leak)
    return Step(state, (stop, Announce("halted", f"{reason}: {evidence}", Severity.ERROR)))


def _effect_failed(state: State, observation: EffectFailed, plan: Plan) -> Step:
    effect, error = observation.effect, observation.error
    known = error in state.failures + state.earlier_failures
    state = replace(state, failures=tuple(dict.fromkeys((*state.failures, error))))
    done = Step(state, () if known else (Announce("failed", error, Severity.ERROR),))
    if isinstance(effect, SaveState | HardStop):
        return done.with_state(replace(state, saved=None))
    if not isinstance(effect, ApplyPolicy):
        return done
    state = replace(state, policy=state.previous_policy, lock_failures=state.lock_failures + 1)
    gone = state.lock.status is LockStatus.CHANGED and state.lock_failures >= LOCK_FAILURES_TO_HALT
    if gone and state.latch is None:
        return _halt(state, plan, "the lock is gone and cannot be restored", error).then(*done.effects)
    return done.with_state(state)


# --- an operator's requests -----------------------------------------------------------------------------------------


def _requested_move(state: State, observation: Converged | SwitchRequested, plan: Plan) -> Step:
    name = observation.name if isinstance(observation, SwitchRequested) else None
    refusal = moves.refusal(state, plan, name)
    if refusal is not None:
        return Step(state, (Reply(accepted=False, text=refusal),))
    index = (plan.index_of(name) if name is not None else None) or 0
    why = "an operator's switch" if name is not None else "an operator's converge"
    reply = Reply(accepted=True, text=f"now on {plan.endpoints[index].name}")
    return _move_to(Step(replace(state, laps=0)), index, observation.at_s, plan, why).then(reply)


def _unlock_requested(state: State, observation: UnlockRequested) -> Step:
    refusal = moves.unlock_refusal(state, observation.survey)
    if refusal is not None:
        return Step(state, (Reply(accepted=False, text=refusal),))
    state = replace(state, latch=None, frames_leaked=0, last_cycle_at_s=None, baseline=None)
    state = replace(state, policy=None, saved=state.persisted())
    return Step(state, moves.unlock(state))
