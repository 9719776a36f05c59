from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.core.account import SETTLING_READINGS, Finding, Ledger, audit
from sidecar.core.model import LeakStatus
from sidecar.core.sights import Account

UNTOUCHED = Account("eth0", 2, 1, 0, 0, 12, 0, is_exact=True)


class Book:
    """Enters readings of one device, one after the other."""

    def __init__(self) -> None:
        self.ledgers: tuple[Ledger, ...] = ()

    def enter(self, account: Account | None, device: str = "eth0") -> Finding:
        accounts = () if account is None else (account,)
        self.ledgers, findings = audit(self.ledgers, accounts, (device,))
        (finding,) = findings
        return finding


def reading(accepted: int, transmitted: int, *, dropped: int = 0, meanwhile: int = 0, is_exact: bool = True) -> Account:
    return Account("eth0", 2, 1, accepted, accepted + meanwhile, transmitted, dropped, is_exact)


@pytest.fixture
def settled() -> Book:
    """At a balance of -12, with 100 frames accepted and sent."""
    book = Book()
    assert book.enter(UNTOUCHED).status is LeakStatus.CLEAN
    assert book.enter(reading(100, 112)).status is LeakStatus.CLEAN
    return book


def test_a_device_of_which_nothing_was_accepted_yet_is_settled_at_once() -> None:
    assert Book().enter(UNTOUCHED) == Finding("eth0", LeakStatus.CLEAN, 0, "")


def test_a_device_that_was_in_use_before_is_unknown_until_it_has_settled() -> None:
    book = Book()
    for count in range(1, SETTLING_READINGS):
        assert book.enter(reading(count, count + 5)).status is LeakStatus.UNKNOWN
    assert book.enter(reading(50, 55)).status is LeakStatus.CLEAN


def test_readings_that_disagree_or_are_not_still_settle_nothing() -> None:
    book = Book()
    for account in (reading(1, 6), reading(2, 7), reading(3, 9), reading(4, 10), reading(5, 11, meanwhile=1)) * 2:
        book.ledgers = tuple(replace(ledger, last=account) for ledger in book.ledgers)
        assert book.enter(account).status is LeakStatus.UNKNOWN


def test_accepted_frames_that_are_sent_are_clean(settled: Book) -> None:
    assert settled.enter(reading(5000, 5012)) == Finding("eth0", LeakStatus.CLEAN, 0, "")


def test_accepted_frames_that_the_device_drops_are_clean(settled: Book) -> None:
    assert settled.enter(reading(110, 115, dropped=7)).status is LeakStatus.CLEAN


@pytest.mark.parametrize("frames", [1, 100])
def test_frames_that_were_not_accepted_are_a_leak_of_that_many(settled: Book, frames: int) -> None:
    finding = settled.enter(reading(200, 212 + frames))
    assert (finding.status, finding.frames) == (LeakStatus.LEAKING, frames)
    assert f"{frames} frames left" in finding.reason


def test_frames_round_the_lock_that_the_device_dropped_are_a_leak(settled: Book) -> None:
    assert settled.enter(reading(100, 112, dropped=1)).status is LeakStatus.LEAKING


def test_a_leak_stays_found_at_every_later_reading(settled: Book) -> None:
    for accepted in (200, 300, 400, 400, 400, 400, 400):
        assert settled.enter(reading(accepted, accepted + 13)).status is LeakStatus.LEAKING


def test_a_leak_under_load_is_certain_when_even_what_was_accepted_meanwhile_does_not_explain_it(settled: Book) -> None:
    finding = settled.enter(reading(200, 222, meanwhile=4))
    assert (finding.status, finding.frames) == (LeakStatus.LEAKING, 6)


@pytest.mark.parametrize("transmitted", [212, 213, 216])
def test_a_reading_during_which_frames_were_accepted_is_unknown_without_a_number(
    settled: Book, transmitted: int
) -> None:
    finding = settled.enter(reading(200, transmitted, meanwhile=4))
    assert (finding.status, finding.frames) == (LeakStatus.UNKNOWN, None)


def test_a_leak_hidden_by_load_is_found_when_the_load_has_passed(settled: Book) -> None:
    assert settled.enter(reading(200, 213, meanwhile=4)).status is LeakStatus.UNKNOWN
    assert settled.enter(reading(300, 313)).status is LeakStatus.LEAKING


def test_frames_in_flight_are_unknown_and_then_clean(settled: Book) -> None:
    assert settled.enter(reading(200, 211)).frames == 1
    assert settled.enter(reading(200, 212)).status is LeakStatus.CLEAN


def test_frames_that_vanish_are_said_and_settled_anew_and_a_later_leak_is_found_all_the_same(settled: Book) -> None:
    for accepted in range(200, 200 + SETTLING_READINGS):
        finding = settled.enter(reading(accepted, accepted + 9))
        assert (finding.status, finding.frames) == (LeakStatus.UNKNOWN, 3)
    assert settled.enter(reading(300, 309)).status is LeakStatus.CLEAN
    assert settled.enter(reading(300, 310)).status is LeakStatus.LEAKING


def test_a_device_that_counts_pieces_is_never_found_leaking(settled: Book) -> None:
    finding = settled.enter(reading(200, 252, is_exact=False))
    assert (finding.status, finding.frames) == (LeakStatus.UNKNOWN, 40)


def test_a_device_that_counts_pieces_is_clean_while_there_are_none() -> None:
    book = Book()
    found = [book.enter(reading(count, count, is_exact=False)).status for count in (0, 1, 2, 3)]
    assert found == [LeakStatus.UNKNOWN, LeakStatus.UNKNOWN, LeakStatus.CLEAN, LeakStatus.CLEAN]


def test_a_device_that_cannot_be_read_is_unknown_and_what_is_known_of_it_stays(settled: Book) -> None:
    assert settled.enter(None) == Finding("eth0", LeakStatus.UNKNOWN, None, "eth0: its counters could not be read")
    assert settled.enter(reading(100, 113)).status is LeakStatus.LEAKING


def test_another_device_of_the_same_name_begins_its_own_account(settled: Book) -> None:
    other = replace(UNTOUCHED, index=7, transmitted=0)
    assert settled.enter(other).status is LeakStatus.CLEAN
    assert settled.enter(replace(other, transmitted=1)).status is LeakStatus.LEAKING


@pytest.mark.parametrize(
    "back", [reading(99, 112), reading(100, 111), replace(reading(0, 112), accepted_after=0)], ids=str
)
def test_a_counter_that_was_set_back_is_unknown(settled: Book, back: Account) -> None:
    assert settled.enter(back).status is LeakStatus.UNKNOWN


def test_a_new_ruleset_on_a_quiet_device_is_clean(settled: Book) -> None:
    assert settled.enter(replace(reading(4, 116), ruleset=2)).status is LeakStatus.CLEAN
    assert settled.enter(replace(reading(4, 117), ruleset=2)).status is LeakStatus.LEAKING


def test_frames_that_left_while_the_ruleset_was_gone_are_unknown_and_counted(settled: Book) -> None:
    finding = settled.enter(replace(reading(4, 119), ruleset=2))
    assert (finding.status, finding.frames) == (LeakStatus.UNKNOWN, 3)
    assert "3 frames left" in finding.reason


def test_what_is_no_longer_asked_about_is_forgotten(settled: Book) -> None:
    settled.ledgers, findings = audit(settled.ledgers, (UNTOUCHED,), ())
    assert (settled.ledgers, findings) == ((), ())


def test_each_device_has_its_own_finding_in_the_order_of_names() -> None:
    accounts = (replace(UNTOUCHED, device="eth1"), UNTOUCHED)
    ledgers, findings = audit((), accounts, ("eth2", "eth1", "eth0"))
    assert [(finding.device, finding.status) for finding in findings] == [
        ("eth0", LeakStatus.CLEAN),
        ("eth1", LeakStatus.CLEAN),
        ("eth2", LeakStatus.UNKNOWN),
    ]
    assert [ledger.last.device for ledger in ledgers] == ["eth0", "eth1"]
