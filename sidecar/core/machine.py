"""The whole behaviour: one observation in, a new state and a list of effects out.

Rule 1: everything that changes the state is in this file.
Rule 2: the first effect of every move is the killswitch, and it is safe to be interrupted after any effect.
Rule 3: a leak ends in `_halt`, from anywhere; nothing but an operator's unlock takes the latch away.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from sidecar.core import account, failover, health, killswitch, leak, moves, proof, repair
from sidecar.core.failover import Move
from sidecar.core.messages import (
    ApplyPolicy,
    Converged,
    Effect,
    EffectFailed,
    FrameSeen,
    HardStop,
    HoldQueues,
    Observation,
    Probed,
    ProofRequested,
    Replanned,
    Reply,
    SaveState,
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
    from sidecar.core.messages import Request
    from sidecar.core.model import Endpoint, Plan
    from sidecar.core.sights import Survey


def step(state: State, observation: Observation, plan: Plan) -> Step:
    """Return what `observation` leads to. Pure: time is in the observation, and everything else is in the arguments.

    A failed effect is expected before any other observation; what followed a failed policy or hold is left undone.
    """
    if not isinstance(observation, EffectFailed):
        state = replace(state, proven_policy=state.policy)
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
            return _adopt_list(state, plan, observation.at_s, moves.CONFIGURED)
        case Converged() | SwitchRequested() | UnlockRequested() | ProofRequested():
            return _requested(state, observation, plan)
    assert_never(observation)


def _started(observation: Started, plan: Plan) -> Step:
    kept, at_s = observation.persisted, observation.at_s
    state = recall(kept, plan, at_s) if kept is not None else State(active_since_s=at_s)
    return _adopt_list(state, plan, at_s, *moves.beginning(observation, state))


def _adopt_list(state: State, plan: Plan, at_s: float, *said: Effect) -> Step:
    """Take up the plan's list: the same list keeps its endpoint (no failback), another begins with its first."""
    if not plan.endpoints:
        return Step(state, said)
    state = replace(state, active_since_s=at_s, baseline=None, health=Health.UNKNOWN)
    if state.list_digest == plan.digest and plan.index_of(state.active or "") is not None:
        return Step(replace(state, note="kept across a restart"), said)
    first, said = plan.endpoints[0].name, (*said, moves.announce_first(state, plan))
    return Step(replace(state, active=first, list_digest=plan.digest, run=Run(), note="first of the list"), said)


# --- looking --------------------------------------------------------------------------------------------------------


def _surveyed(state: State, observation: Surveyed, plan: Plan) -> Step:
    """Look at everything: the lock first, then the tap, then our own faults, and health once a cycle."""
    survey = observation.survey
    state = _begin_look(state, observation, plan)
    if survey.unknown:
        return _lock(state, killswitch.also_lock(state.policy, survey.uplinks)) if state.policy else Step(state)
    state, survey = _take_in(state, observation, plan)
    leaking = account.leaking(state.findings)
    if leaking is not None and state.latch is None:
        return _halt(state, plan, "frames left that the lock did not accept", leaking.reason)
    intended = moves.intended(state, plan)
    done = _lock(state, intended).saving()
    if state.latch is not None:
        return done.then(*moves.keep_down(state))
    done = done.then(*moves.watch_over(state, survey, intended))
    return _tend(done, survey, observation, plan).saving()


def _begin_look(state: State, observation: Surveyed, plan: Plan) -> State:
    """Take note of what holds for every look. Evidence from before a suspend or a long stall is dropped."""
    state = replace(state, lock=observation.survey.lock, unknown=observation.survey.unknown)
    last_s, stall_s = state.last_cycle_at_s, plan.timing.stall_cycles * plan.timing.cycle_s
    if last_s is not None and observation.at_s - last_s > stall_s:
        state = replace(state, baseline=None, health=Health.UNKNOWN, run=Run(exhausted=state.run.exhausted))
    if not observation.is_cycle:
        return state
    seen = not observation.survey.unknown and not state.awaits_verdict
    return replace(state, health=state.health if seen else Health.UNKNOWN, failures=(), earlier_failures=state.failures)


def _take_in(state: State, observation: Surveyed, plan: Plan) -> tuple[State, Survey]:
    """Take in what was seen; return it as well with what the kernel has forgotten and we remember."""
    proof_until_s = proof.until_s(state.proof_until_s, observation.survey.uplinks, observation.at_s)
    uplinks = killswitch.remember(proof.to_lock(observation.survey.uplinks, proof_until_s), state.uplinks)
    survey = replace(observation.survey, uplinks=uplinks)
    port_index = state.port_in_use(plan, survey.tunnel) if state.policy is None else state.port_index
    ledgers, findings = account.audit(state.ledgers, survey.accounts, survey.devices)
    state = replace(state, proof_until_s=proof_until_s, uplinks=uplinks, port_index=port_index)
    state = replace(state, ledgers=ledgers, findings=findings, blind=survey.blind, unheld=survey.unheld)
    return replace(state, hold_refused=state.hold_refused and bool(survey.unheld)), survey


def _lock(state: State, intended: Policy) -> Step:
    """Put the intended policy in force where the kernel has another."""
    if intended == state.policy and state.lock.status is LockStatus.INTACT:
        return Step(replace(state, lock_failures=0))
    return Step(state.believing(intended), moves.put_in_force(state, intended))


def _tend(done: Step, survey: Survey, observation: Surveyed, plan: Plan) -> Step:
    """Mend what is ours, and on a regular look go on to judge the tunnel.

    What explains a silence explains it for the whole cycle: a probe may have begun before the repair.
    """
    state = done.state
    endpoint = state.endpoint(plan)
    if endpoint is None:
        return done.with_state(replace(state, health=Health.UNKNOWN, faults=(), excuse=None))
    found = repair.faults(plan, endpoint, state.listen_port(plan), survey)
    done = done.then(*moves.mend(state, plan, found, resolve=observation.is_cycle or bool(done.effects)))
    ours = repair.excuse(killswitch.path_to(endpoint, survey.uplinks), found)
    excuse = moves.HELD_ELSEWHERE if state.hold_refused else ours
    excuse = excuse or (None if observation.is_cycle else state.excuse)
    done = done.with_state(replace(state, faults=tuple(fault.text for fault in found), excuse=excuse))
    return _cycle(done, endpoint, survey, observation.at_s, plan) if observation.is_cycle else done


# --- judging --------------------------------------------------------------------------------------------------------


def _cycle(done: Step, endpoint: Endpoint, survey: Survey, at_s: float, plan: Plan) -> Step:
    """Judge the tunnel by what its counters show since the last cycle; ask through it where they cannot tell."""
    state = replace(done.state, last_cycle_at_s=at_s, cycle=done.state.cycle + 1)
    peer = survey.peer
    if peer is not None and peer.is_of(endpoint) and health.judge(state.baseline, at_s, peer) is Health.ALIVE:
        return _good(done.with_state(replace(state, baseline=Baseline(at_s, peer))), at_s, plan, "traffic arrives")
    done = done.with_state(state)
    if health.unreachable(killswitch.path_to(endpoint, survey.uplinks)):
        return _bad(done, at_s, plan, "the endpoint does not answer ARP or neighbour discovery")
    return done.then(moves.ask(state, plan))


def _probed(state: State, observation: Probed, plan: Plan) -> Step:
    """Judge by the answer to this cycle's probe, unless it went through another peer than the active endpoint."""
    endpoint, peer, verdict = state.endpoint(plan), observation.peer, observation.health
    if state.latch is not None or endpoint is None or observation.cycle != state.cycle or not state.awaits_verdict:
        return Step(state)
    if peer is not None and not peer.is_of(endpoint):
        peer, verdict = None, Health.UNKNOWN
    if verdict is Health.UNKNOWN:
        verdict = health.judge_unprobed(state.baseline, peer)
    if peer is not None:
        state = replace(state, baseline=Baseline(observation.at_s, peer))
    if verdict is Health.ALIVE:
        return _good(Step(state), observation.at_s, plan, observation.detail).saving()
    if verdict is Health.DEAD:
        return _bad(Step(state), observation.at_s, plan, observation.detail).saving()
    return Step(_judged(state, Health.UNKNOWN, observation.at_s, observation.detail))


def _judged(state: State, verdict: Health, at_s: float, detail: str) -> State:
    return replace(state, health=verdict, health_at_s=at_s, health_detail=detail, judged_cycle=state.cycle)


def _good(done: Step, at_s: float, plan: Plan, detail: str) -> Step:
    state = done.state
    if state.health is not Health.ALIVE or state.run.bad_cycles:
        done = done.then(moves.announce_alive(state, plan))
    return done.with_state(replace(_judged(state, Health.ALIVE, at_s, detail), run=Run()))


def _bad(done: Step, at_s: float, plan: Plan, detail: str) -> Step:
    """A bad cycle. It counts, unless a fault of ours or of the uplink explains it, or we have just come here."""
    state = _judged(done.state, Health.DEAD, at_s, detail)
    done = done.with_state(state)
    if state.excuse is not None or failover.is_arriving(state.active_since_s, at_s, state.baseline, plan.timing):
        return done
    index = state.index(plan)
    decision = failover.decide(state.run, index=index, laps=state.laps, plan=plan, at_s=at_s)
    fresh_port = decision.move in (Move.REBIND, Move.RETRY)
    state = replace(state, run=decision.run, port_index=state.port_index + fresh_port)
    if decision.move is Move.ADVANCE:
        return _move_to(done.with_state(state), index + 1, at_s, plan, moves.too_many(plan))
    if decision.move is Move.WRAP:
        state = replace(state, laps=state.laps + 1)
        return _move_to(done.with_state(state), 0, at_s, plan, moves.WRAP)
    return done.with_state(state).then(*moves.after_bad_cycle(decision.move, state, plan))


def _move_to(done: Step, index: int, at_s: float, plan: Plan, why: moves.Why) -> Step:
    """Go to an endpoint: lock, note it durably, then one write. What is noted is finished after a crash."""
    state, left, to = done.state, done.state.active, plan.endpoints[index].name
    state = replace(
        state,
        active=to,
        list_digest=plan.digest,
        run=Run(),
        baseline=None,
        health=Health.UNKNOWN,
        lock_failures=0,  # only looks, which see what is in force, fail in a row
        cycle=state.cycle + 1,
        active_since_s=at_s,
        note=f"moved from {left}: {why.text}" if left != to else why.text,
    )
    policy = moves.intended(state, plan)
    state = replace(state.believing(policy), saved=state.persisted())
    return done.with_state(state).then(*moves.to_active(state, plan, policy, left, why))


# --- halting --------------------------------------------------------------------------------------------------------


def _frame_seen(state: State, observation: FrameSeen, plan: Plan) -> Step:
    if leak.permitted(observation.frame, (state.policy, state.previous_policy)):
        return Step(state)
    state = replace(state, frames_leaked=state.frames_leaked + 1)
    is_first = state.latch is None
    return _halt(state, plan, "a frame left outside the tunnel", observation.frame.summary) if is_first else Step(state)


def _halt(state: State, plan: Plan, reason: str, evidence: str) -> Step:
    """Seal and latch. From here nothing but an operator's unlock leads on."""
    latch = Latch(reason, evidence)
    state = replace(state, latch=latch, health=Health.UNKNOWN, run=Run(), cycle=state.cycle + 1, proof_until_s=None)
    state = replace(state, policy=moves.intended(state, plan), previous_policy=None, saved=state.persisted())
    return Step(state, moves.halt(state, latch, plan))


def _effect_failed(state: State, observation: EffectFailed, plan: Plan) -> Step:
    effect, error = observation.effect, observation.error
    said = () if error in state.failures + state.earlier_failures else (moves.announce_failure(error),)
    failures, port_index = dict.fromkeys((*state.failures, error)), state.port_index + moves.takes_a_port(effect)
    state = replace(state, failures=tuple(failures), port_index=port_index)
    if isinstance(effect, ApplyPolicy | HoldQueues | SaveState | HardStop):
        state = replace(state, saved=None)
    if isinstance(effect, HoldQueues) and state.latch is None:
        state = replace(state, hold_refused=True, excuse=moves.HELD_ELSEWHERE)
        policy = moves.intended(state, plan)
        seal = (ApplyPolicy(policy),) if policy != state.policy else ()
        return Step(state.believing(policy), (*seal, *said))
    if not isinstance(effect, ApplyPolicy):
        return Step(state, said)
    state = replace(state, policy=state.proven_policy, lock_failures=state.lock_failures + 1)
    is_gone = state.policy is not None and state.lock.status is LockStatus.CHANGED
    if is_gone and state.lock_failures >= leak.LOCK_FAILURES_TO_HALT and state.latch is None:
        return _halt(state, plan, "the lock is gone and cannot be restored", error).then(*said)
    return Step(state, said)


# --- an operator's requests -----------------------------------------------------------------------------------------


def _requested(state: State, observation: Request, plan: Plan) -> Step:
    refusal = moves.refusal(state, observation, plan)
    if refusal is not None:
        return Step(state, (Reply(accepted=False, text=refusal),))
    if isinstance(observation, UnlockRequested):
        state = replace(state, latch=None, frames_leaked=0, ledgers=(), findings=())
        state = replace(state, lock_failures=0, last_cycle_at_s=None, baseline=None)
        return Step(replace(state, saved=state.persisted()), moves.unlock(state))
    if isinstance(observation, ProofRequested) and state.policy is None:
        return Step(state, (Reply(accepted=True, text="no proof is running"),))  # and no device to lock is known yet
    if isinstance(observation, ProofRequested):
        state = replace(state, proof_until_s=observation.at_s + proof.LIMIT_S if observation.survey else None)
        policy = moves.intended(state, plan)
        return Step(state.believing(policy), proof.effects(policy))
    name = observation.name if isinstance(observation, SwitchRequested) else plan.endpoints[0].name
    why = moves.SWITCH if isinstance(observation, SwitchRequested) else moves.CONVERGE
    done = _move_to(Step(replace(state, laps=0)), plan.index_of(name) or 0, observation.at_s, plan, why)
    return done.then(Reply(accepted=True, text=f"now on {name}"))
