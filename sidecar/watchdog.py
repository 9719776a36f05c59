"""The loop: wait for a message or the tick, look, step, carry out, tell.

One thread decides and acts; everybody else only puts messages into the inbox. A leak, a foreign change or an operator
wakes the loop at once and never waits for the tick.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from loguru import logger

from sidecar import survey
from sidecar.core import machine, report
from sidecar.core.killswitch import sealed
from sidecar.core.messages import (
    Announce,
    ApplyPolicy,
    Converged,
    Effect,
    EffectFailed,
    HardStop,
    HoldQueues,
    Observation,
    ProofRequested,
    Replanned,
    Reply,
    Severity,
    Started,
    Surveyed,
    SwitchRequested,
    UnlockRequested,
)
from sidecar.core.sights import Latch
from sidecar.core.state import State
from sidecar.errors import EXIT_SOFTWARE, EXIT_TEMPFAIL, Bug, ConfigError, ControlError
from sidecar.executor import Executor
from sidecar.inbox import Answer, Ask, Crashed, Inbox, Pace, Stop, Wake
from sidecar.joiners import JoinersSeen

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.core.messages import Request
    from sidecar.core.model import Plan
    from sidecar.planner import Planner
    from sidecar.ports import Drivers, StatusBoard

RECHECK_S = 0.2
"""After a policy that could not be applied, or in a storm of changes, the next look comes this soon."""

BREATH_S = 0.02
"""What is left for messages between two regular looks, however long the looks take."""


class Watchdog:
    """Runs the machine against the drivers until it is told to stop.

    Args:
        drivers: the edges.
        planner: the plan in force.
        status: the board that the health check reads.
        inbox: where everybody else's messages arrive.
        clock: seconds that go on during a suspend and never jump (CLOCK_BOOTTIME).
    """

    def __init__(
        self, drivers: Drivers, planner: Planner, status: StatusBoard, inbox: Inbox, clock: Callable[[], float]
    ) -> None:
        self._drivers = drivers
        self._planner = planner
        self._status = status
        self._inbox = inbox
        self._clock = clock
        self._replies: list[Reply] = []
        self._executor = Executor(drivers, clock, inbox.post, self._replies.append, self._on_crash)
        self._state = State()
        self._tick_at_s = 0.0
        self._recheck_at_s = math.inf
        self._pace = Pace()
        self._status_failure = ""
        self._joiners = JoinersSeen(())

    def run(self) -> int:
        """Run until `Stop`; return the exit code. The lock stays in force in every case."""
        try:
            self._begin()
            while self._turn():
                self._publish()
        except Exception as error:  # noqa: BLE001 - the one net under everything: seal first, ask later
            return self._fall(error)
        finally:
            self._executor.close()
        return 0

    # --- the loop ---------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._planner.begin()
        loaded = self._drivers.state_store.load()
        self._step(Started(self._clock(), loaded.persisted, loaded.damage))
        self._tick_at_s = self._clock()

    def _turn(self) -> bool:
        """Handle one message, or what is due; return whether to go on."""
        now_s = self._clock()
        match message := self._inbox.take(min(self._tick_at_s, self._recheck_at_s) - now_s):
            case None:
                self._due()
            case Wake() if self._pace.allows(now_s):
                self._look(is_cycle=False)
            case Wake():
                self._recheck_at_s = min(self._recheck_at_s, now_s + RECHECK_S)
            case Ask():
                message.answer.set_result(self._answer(message))
            case JoinersSeen():
                self._joiners = message
            case Crashed():
                raise Bug(f"a thread of ours ended: {message.error!r}") from message.error
            case Stop():
                return False
            case _:
                self._step(message)
        return True

    def _due(self) -> None:
        is_cycle = self._clock() >= self._tick_at_s
        if is_cycle:
            self._tick_at_s = self._clock() + self._plan.timing.cycle_s
            if self._planner.reconsider():
                self._step(Replanned(self._clock()))
        self._recheck_at_s = math.inf
        self._look(is_cycle=is_cycle)
        # A look that takes longer than a cycle (drivers at their time limits) must not starve messages: a leak is one.
        self._tick_at_s = max(self._tick_at_s, self._clock() + BREATH_S)

    def _look(self, *, is_cycle: bool) -> None:
        seen = survey.take(self._drivers, self._state, self._plan)
        self._step(Surveyed(self._clock(), seen, is_cycle))

    def _step(self, observation: Observation) -> None:
        done = machine.step(self._state, observation, self._plan)
        self._state = done.state
        self._carry_out(done.effects)

    def _carry_out(self, effects: tuple[Effect, ...]) -> None:
        for position, effect in enumerate(effects):
            failed = self._executor.execute(effect)
            if failed is None:
                continue
            self._step(failed)
            if isinstance(effect, ApplyPolicy | HoldQueues):
                self._abandon(effects[position + 1 :], failed)
                return

    def _abandon(self, effects: tuple[Effect, ...], failed: EffectFailed) -> None:
        """Leave the rest undone, because the lock or the hold before it failed; look again soon."""
        self._recheck_at_s = self._clock() + RECHECK_S
        for effect in effects:
            if isinstance(effect, Reply):
                self._replies.append(
                    replace(
                        effect, accepted=False, text=f"not yet, it follows when the lock can be applied: {failed.error}"
                    )
                )

    def _on_crash(self, error: BaseException) -> None:
        self._inbox.post(Crashed(error))

    @property
    def _plan(self) -> Plan:
        return self._planner.plan

    # --- operators --------------------------------------------------------------------------------------------------

    def _answer(self, ask: Ask) -> Answer:
        now_s = self._clock()
        match ask.command:
            case "converge":
                return self._converge()
            case "switch":
                return self._request(SwitchRequested(now_s, ask.name or ""))
            case "unlock":
                return self._request(UnlockRequested(now_s, survey.take(self._drivers, self._state, self._plan)))
            case "begin-proof":
                return self._request(ProofRequested(now_s, survey.take(self._drivers, self._state, self._plan)))
            case "end-proof":
                return self._request(ProofRequested(now_s, None))
            case "status":
                text = report.sentence(self._state, self._plan, now_s)
                return Answer(accepted=True, text=text, data=self._document())
            case "killswitch":
                return self._killswitch()
            case _:
                return Answer(accepted=False, text=f"unknown command {ask.command!r}", exit_code=EXIT_TEMPFAIL)

    def _converge(self) -> Answer:
        """Take up the configuration as it is on disk now, whole or not at all."""
        before = self._plan
        try:
            self._planner.plan = self._planner.read()
        except ConfigError as error:
            return Answer(accepted=False, text=str(error), exit_code=error.exit_code)
        answer = self._request(Converged(self._clock()))
        has_moved = self._state.list_digest == self._plan.digest != before.digest  # though its lock is not in force yet
        if not answer.accepted and not has_moved:
            self._planner.plan = before
        return answer

    def _request(self, observation: Request) -> Answer:
        self._replies.clear()
        self._step(observation)
        if not self._replies:
            raise Bug(f"{type(observation).__name__} was not answered")
        reply = self._replies[-1]
        if reply.accepted and not isinstance(observation, ProofRequested):
            self._tick_at_s = self._clock()
        return Answer(reply.accepted, reply.text, 0 if reply.accepted else EXIT_TEMPFAIL)

    def _killswitch(self) -> Answer:
        sight = self._drivers.lock.inspect(self._state.policy or sealed(()))
        data = {
            "listing": self._drivers.lock.listing(),
            "status": sight.status.value,
            "difference": sight.difference,
            "blocked": [list(row) for row in sight.blocked],
        }
        return Answer(accepted=True, text=f"the ruleset in force is {sight.status.value}", data=data)

    # --- telling ----------------------------------------------------------------------------------------------------

    def _document(self) -> dict[str, object]:
        kind, warnings, seen = self._drivers.tunnel.kind, self._planner.warnings, self._joiners
        surroundings = report.Surroundings(kind, warnings, os.getpid(), seen.joiners, seen.error)
        return report.document(self._state, self._plan, self._clock(), surroundings)

    def _publish(self) -> None:
        """Tell the health check. Where that fails, its heartbeat goes stale, which it reads as unhealthy."""
        try:
            self._status.publish(self._document())
        except ControlError as error:
            if str(error) != self._status_failure:
                self._drivers.events.append(Announce("status-lost", str(error), Severity.ERROR))
            self._status_failure = str(error)

    def _fall(self, error: Exception) -> int:
        """Seal and latch after something that must not happen; the process ends, the container does not."""
        logger.bind(kind="bug").opt(exception=error).error("the watchdog ends sealed: {}", error)
        latch = Latch("the watchdog met a mistake of its own", repr(error))
        persisted = replace(self._state.persisted(), latch=latch)
        policy = sealed(uplink.device for uplink in self._state.uplinks)
        failed = self._executor.execute(HardStop(policy, persisted, self._plan.on_leak))
        self._drivers.events.append(Announce("halted", f"{latch.reason}: {latch.evidence}", Severity.ERROR))
        if failed is not None:
            self._drivers.events.append(Announce("failed", failed.error, Severity.ERROR))
        return EXIT_SOFTWARE
