from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sidecar.errors import EXIT_TEMPFAIL
from sidecar.inbox import Answer, Ask, Inbox, Pace, Stop, Wake

if TYPE_CHECKING:
    import pytest

DEADLINE_S = 5.0


def test_a_burst_of_changes_is_one_wake() -> None:
    inbox = Inbox()
    for _ in range(1000):
        inbox.wake("nftables")
    assert isinstance(inbox.take(DEADLINE_S), Wake)
    assert inbox.take(0.001) is None


def test_a_change_after_the_look_began_wakes_again() -> None:
    inbox = Inbox()
    inbox.wake("link")
    assert isinstance(inbox.take(DEADLINE_S), Wake)
    inbox.wake("route")
    assert isinstance(inbox.take(DEADLINE_S), Wake)


def test_a_due_tick_comes_before_a_full_inbox() -> None:
    inbox = Inbox()
    inbox.post(Stop())
    assert inbox.take(0.0) is None
    assert isinstance(inbox.take(DEADLINE_S), Stop)


def test_a_request_waits_for_the_loop_and_gets_its_answer() -> None:
    inbox = Inbox()

    def loop() -> None:
        message = inbox.take(DEADLINE_S)
        assert isinstance(message, Ask)
        message.answer.set_result(Answer(accepted=True, text=f"{message.command} {message.name}"))

    thread = threading.Thread(target=loop)
    thread.start()
    assert inbox.ask("switch", "20-backup") == Answer(accepted=True, text="switch 20-backup")
    thread.join(DEADLINE_S)


def test_a_request_that_nobody_takes_is_refused_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.inbox.REQUEST_TIMEOUT_S", 0.01)
    answer = Inbox().ask("converge")
    assert not answer.accepted
    assert answer.exit_code == EXIT_TEMPFAIL


def test_a_storm_of_changes_is_bounded_and_a_burst_is_not() -> None:
    pace = Pace(burst=3, per_s=2.0)
    assert [pace.allows(100.0) for _ in range(5)] == [True, True, True, False, False]
    assert pace.allows(100.5)
    assert not pace.allows(100.5)
