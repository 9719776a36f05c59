"""Who shares the namespace, asked of the engine now and then: in a thread of its own, so that no look waits for it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidecar.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.core.sights import Joiner
    from sidecar.ports import Workloads

INTERVAL_S = 30.0
CLOSE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class JoinersSeen:
    """What the engine said.

    Attributes:
        joiners: who is there; empty where nobody is, or where `error` says why it could not be told.
        error: None where the engine answered.
    """

    joiners: tuple[Joiner, ...]
    error: str | None = None


class JoinerWatch:
    """Asks at once and then at intervals, and tells what was said. Without the engine's socket it asks nothing.

    Args:
        workloads: the engine.
        tell: takes each answer, in this watch's thread.
        crashed: takes what no driver may raise.
    """

    def __init__(
        self,
        workloads: Workloads,
        tell: Callable[[JoinersSeen], None],
        crashed: Callable[[BaseException], None],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._workloads = workloads
        self._tell = tell
        self._crashed = crashed
        self._interval_s = interval_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="joiners", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop asking."""
        self._closing.set()
        self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        try:
            while self._ask():
                if self._closing.wait(self._interval_s):
                    return
        except Exception as error:  # noqa: BLE001 - handed on: the loop ends sealed on it
            self._crashed(error)

    def _ask(self) -> bool:
        """Ask once; return whether there is anybody to ask."""
        try:
            joiners = self._workloads.joiners()
        except DriverError as error:
            self._tell(JoinersSeen((), str(error)))
            return True
        if joiners is None:
            return False
        self._tell(JoinersSeen(joiners))
        return True
