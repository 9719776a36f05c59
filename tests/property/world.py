"""The watchdog's loop over the machinery: how anything comes to the machine, and where it may be interrupted.

What an effect may do is checked by the specification, after each single one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.core.machine import step
from sidecar.core.messages import (
    ApplyPolicy,
    Converged,
    EffectFailed,
    FrameSeen,
    HoldQueues,
    Probed,
    ProofRequested,
    Replanned,
    Reply,
    Started,
    Surveyed,
    SwitchRequested,
    UnlockRequested,
)
from sidecar.core.model import Health
from sidecar.core.state import State
from tests.property.machinery import Machinery

if TYPE_CHECKING:
    from sidecar.core.messages import Observation
    from sidecar.core.model import Plan
    from sidecar.core.sights import (
        Frame,
        Survey,
    )
    from tests.property.specification import Specification

CYCLE_S = 2.0


class World(Machinery):
    """The machinery and the watchdog; `do` is how anything happens."""

    def __init__(self, plan: Plan, specification: Specification) -> None:
        super().__init__(plan)
        self.files = plan
        self.is_mute = False
        self.at_s = 0.0
        self.specification = specification
        self.state = State()
        self.start()

    # --- the watchdog -----------------------------------------------------------------------------------------------

    def start(self, damage: str | None = None) -> None:
        """A new process: it knows what the disk says and nothing else. Its taps are gone; the kernel is as it was."""
        self.plan = self.files
        self.asked = None
        self.kernel.taps = frozenset()
        self.state = State()
        self.specification.restarted(self)
        self.do(Started(self.at_s, self.saved, damage))

    def do(self, observation: Observation, crash_after: int | None = None) -> None:
        """Let the machine hear something and carry out what it asks for, or only the first `crash_after` effects."""
        before = self.state
        done = step(self.state, observation, self.plan)
        self.state = done.state
        self.specification.stepped(self, before, observation, done.effects)
        for position, effect in enumerate(done.effects):
            if position == crash_after:
                self.start()
                return
            error = self.carry_out(effect)
            self.specification.carried_out(self, effect, failed=error is not None)
            if error is None:
                continue
            self.do(EffectFailed(self.at_s, effect, error))
            if isinstance(effect, ApplyPolicy | HoldQueues):
                behind = done.effects[position + 1 :]
                self.replies += [replace(left, accepted=False) for left in behind if isinstance(left, Reply)]
                return
        if crash_after is not None:
            self.start()

    def look(self, *, is_cycle: bool = True, lost: bool = False, crash_after: int | None = None) -> None:
        self.at_s += CYCLE_S if is_cycle else 0.05
        if is_cycle and self.plan.fault is not None and self.files.fault is None:
            self.plan = self.files
            self.do(Replanned(self.at_s))
        survey = self.survey()
        survey = replace(survey, unknown=("links could not be listed",), uplinks=()) if lost else survey
        self.do(Surveyed(self.at_s, survey, is_cycle), crash_after)

    def answer(self, crash_after: int | None = None) -> None:
        """The probe under way comes to its end."""
        if self.asked is None:
            return
        asked, self.asked = self.asked, None
        self.exchange(200)
        heard = Health.ALIVE if self.carries() else Health.DEAD
        health = Health.UNKNOWN if self.kernel.link is None or self.is_mute else heard
        self.do(Probed(self.at_s + 1, asked.cycle, health, "a probe", self.peer_sight()), crash_after)

    def cycle(self) -> None:
        self.look()
        self.answer()

    def frame(self, frame: Frame, crash_after: int | None = None) -> None:
        self.do(FrameSeen(self.at_s, frame), crash_after)

    def converge(self, crash_after: int | None = None) -> bool:
        """Take up the files, as the watchdog does: whole, or not at all."""
        if self.files.fault is not None:
            return False
        before, self.plan = self.plan, self.files
        accepted = self._request(Converged(self.at_s), crash_after)
        if self.state.list_digest != self.plan.digest:
            self.plan = before
        return accepted

    def switch(self, name: str, crash_after: int | None = None) -> bool:
        return self._request(SwitchRequested(self.at_s, name), crash_after)

    def unlock(self, crash_after: int | None = None) -> bool:
        return self._request(UnlockRequested(self.at_s, self.survey()), crash_after)

    def prove(self, *, begin: bool) -> bool:
        return self._request(ProofRequested(self.at_s, self.survey() if begin else None), None)

    def _request(self, observation: Observation, crash_after: int | None) -> bool:
        self.replies.clear()
        self.do(observation, crash_after)
        assert crash_after is not None or len(self.replies) == 1
        return bool(self.replies) and self.replies[0].accepted

    def survey(self) -> Survey:
        return self.seen(self.state.policy)
