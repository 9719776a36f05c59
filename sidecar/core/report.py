"""The status document: what the health check decides by and what `sidecar status` tells. Pure, and free of secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidecar.core.model import Health, LeakStatus
from sidecar.core.sights import LockStatus
from sidecar.core.state import Phase

if TYPE_CHECKING:
    from sidecar.core.model import Plan
    from sidecar.core.sights import Joiner
    from sidecar.core.state import State

VERSION = 1
FRESH_CYCLES = 3
"""A judgement older than this many cycles counts as UNKNOWN."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What belongs into the document and is not the machine's business.

    Attributes:
        tunnel_kind: "kernel" or "userspace".
        warnings: what the configuration says that we do not honour.
        pid: the watchdog's.
        joiners: who shares the namespace, as far as the engine was asked.
        joiners_unknown: why the engine could not say; None where it could, or was not to be asked.
    """

    tunnel_kind: str
    warnings: tuple[str, ...]
    pid: int
    joiners: tuple[Joiner, ...] = ()
    joiners_unknown: str | None = None


def document(state: State, plan: Plan, at_s: float, surroundings: Surroundings) -> dict[str, object]:
    """Return the status as JSON-ready values. `at_s` is the heartbeat: a reader that finds it old reads "unhealthy"."""
    reasons = (*unhealthy_reasons(state, plan, at_s), *joiner_reasons(surroundings))
    return {
        "version": VERSION,
        "phase": state.phase(plan).value,
        "healthy": not reasons,
        "reasons": list(reasons),
        "heartbeat_boottime_s": at_s,
        "cycle_s": plan.timing.cycle_s,
        "sentence": sentence(state, plan, at_s),
        "endpoint": _endpoint(state, plan),
        "tunnel": _tunnel(state, plan, at_s, surroundings.tunnel_kind),
        "lock": {
            "status": state.lock.status.value,
            "detail": state.lock.difference,
            "blocked": [list(row) for row in state.lock.blocked],
        },
        "leak": {
            "status": leak_status(state).value,
            "detail": _leak_detail(state),
            "accounting": [[finding.device, finding.status.value, finding.reason] for finding in state.findings],
        },
        "bad_cycles": state.run.bad_cycles,
        "threshold_cycles": plan.timing.threshold_cycles,
        "latch": {"reason": state.latch.reason, "evidence": state.latch.evidence} if state.latch else None,
        "config": {
            "fault": plan.fault,
            "warnings": [*surroundings.warnings, *_joiner_warnings(surroundings)],
            "endpoints": [endpoint.name for endpoint in plan.endpoints],
        },
        "pid": surroundings.pid,
        "endpoint_since_s": max(at_s - state.active_since_s, 0.0),
    }


def unhealthy_reasons(state: State, plan: Plan, at_s: float) -> tuple[str, ...]:
    """Say everything that keeps this from being healthy; empty means healthy. What is not known is a reason."""
    if state.latch is not None:
        return (f"halted: {state.latch.reason}: {state.latch.evidence}; find the cause, then run: sidecar unlock",)
    if plan.fault is not None:
        return (f"sealed: {plan.fault}",)
    reasons = list(state.unknown)
    if state.policy is None or state.policy.is_sealed:
        reasons.append("still sealed")
    elif state.lock.status is not LockStatus.INTACT:
        reasons.append(f"the ruleset is {state.lock.status.value}: {state.lock.difference}")
    if state.lock_failures:
        reasons.append(f"the ruleset could not be applied, {state.lock_failures} times in a row")
    reasons += [f"no live tap on {device}: a leak there would go unseen" for device in state.blind]
    reasons += [f"not every AF_XDP queue of {device} is ours: somebody could send by one" for device in state.unheld]
    reasons += state.faults
    reasons += [state.excuse] if state.excuse and state.excuse not in "; ".join(state.faults) else []
    reasons += state.failures or state.earlier_failures
    return (*dict.fromkeys(reasons), *_tunnel_reasons(state, plan, at_s))


def joiner_reasons(surroundings: Surroundings) -> tuple[str, ...]:
    """Name every joined container that could change the lock it shares; not to know them is a reason as well."""
    if surroundings.joiners_unknown is not None:
        return (f"who shares the namespace is not known: {surroundings.joiners_unknown}",)
    return tuple(
        f"container {joiner.name} {'is privileged' if joiner.privileged else 'has CAP_NET_ADMIN'}"
        " and could undo the lock; take that from it, or give it a network of its own"
        for joiner in surroundings.joiners
        if joiner.net_admin
    )


def _joiner_warnings(surroundings: Surroundings) -> tuple[str, ...]:
    return tuple(
        f"container {joiner.name} has CAP_NET_RAW; few programs need it: cap_drop: [NET_RAW]"
        for joiner in surroundings.joiners
        if joiner.net_raw and not joiner.net_admin
    )


def current_health(state: State, plan: Plan, at_s: float) -> Health:
    """Return the tunnel's health; a judgement that is too old is UNKNOWN."""
    if state.health_at_s is None or at_s - state.health_at_s > FRESH_CYCLES * plan.timing.cycle_s:
        return Health.UNKNOWN
    return state.health


def leak_status(state: State) -> LeakStatus:
    """Return whether something left outside the tunnel. Without sight of every uplink it is UNKNOWN."""
    if state.latch is not None:
        return LeakStatus.LEAKING
    unseen = state.unknown or state.blind or state.unheld
    if unseen or state.policy is None or state.lock.status is not LockStatus.INTACT:
        return LeakStatus.UNKNOWN
    return LeakStatus.CLEAN


def sentence(state: State, plan: Plan, at_s: float) -> str:
    """Say in one sentence where things stand."""
    if state.latch is not None:
        return f"Halted: {state.latch.reason}. Nothing passes until an operator unlocks."
    endpoint = state.endpoint(plan)
    if endpoint is None:
        return f"Sealed: {plan.fault}."
    where = f"{endpoint.name} ({_socket_address(endpoint.address.version, str(endpoint.address), endpoint.port)})"
    since = f"for {_duration(at_s - state.active_since_s)}"
    match state.phase(plan):
        case Phase.EXHAUSTED:
            return f"Exhausted: {where} is the last of the list and does not answer; locked, trying it again."
        case Phase.DEGRADED:
            bad = f"{state.run.bad_cycles} of {plan.timing.threshold_cycles} bad cycles"
            return f"Degraded: {where} is silent, {bad}; locked."
        case Phase.STARTING:
            return f"Starting: waiting for {where} to answer; locked."
        case _:
            note = f"; {state.note}" if state.note else ""
            return f"Through {where} {since}, locked{note}."


def _tunnel_reasons(state: State, plan: Plan, at_s: float) -> tuple[str, ...]:
    if state.run.exhausted is not None:
        return (f"exhausted: {state.active} is the last of the list and does not answer",)
    match current_health(state, plan, at_s):
        case Health.ALIVE:
            return ()
        case Health.DEAD:
            return (f"{state.active} does not answer: {state.health_detail}",)
        case Health.UNKNOWN:
            return (f"the tunnel's health is not known: {state.health_detail or 'not judged yet'}",)


def _endpoint(state: State, plan: Plan) -> dict[str, object] | None:
    endpoint = state.endpoint(plan)
    if endpoint is None:
        return None
    return {
        "name": endpoint.name,
        "address": str(endpoint.address),
        "port": endpoint.port,
        "index": state.index(plan),
        "count": len(plan.endpoints),
    }


def _tunnel(state: State, plan: Plan, at_s: float, kind: str) -> dict[str, object] | None:
    if not plan.endpoints:
        return None
    peer = state.baseline.peer if state.baseline else None
    return {
        "health": current_health(state, plan, at_s).value,
        "detail": state.health_detail,
        "kind": kind,
        "rx_bytes": peer.rx_bytes if peer else None,
        "tx_bytes": peer.tx_bytes if peer else None,
        "latest_handshake_age_s": peer.latest_handshake_age_s if peer else None,
    }


def _leak_detail(state: State) -> str:
    if state.latch is not None:
        frames = "1 frame" if state.frames_leaked == 1 else f"{state.frames_leaked} frames"
        return f"{state.latch.evidence} ({frames} seen)"
    return f"no live tap on {', '.join(state.blind)}" if state.blind else ""


def _socket_address(version: int, address: str, port: int) -> str:
    return f"[{address}]:{port}" if version == 6 else f"{address}:{port}"  # noqa: PLR2004 - IP's own


def _duration(seconds: float) -> str:
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if minutes < 1:
        return f"{max(seconds, 0):.0f} s"
    if hours < 1:
        return f"{minutes:.0f} min"
    return f"{hours:.0f} h" if days < 2 else f"{days:.0f} days"  # noqa: PLR2004 - people count hours up to two days
