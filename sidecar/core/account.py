"""Does each device send only what the lock accepted? A frame round the lock is counted on one side alone.

The balance of a device is: accepted - transmitted - dropped. It is a constant, apart from frames in flight between
the two counters, which raise it for microseconds, and frames that vanish there without being counted, which raise it
for good. Only a frame that came round the lock can lower it. So a balance below the one that was known to be settled
is a leak, however much traffic there is, and a leak is found at any later reading, too: it does not go away.

Measured on Linux 6.18, two processors, no queueing discipline (veth, macvlan; IPv4, IPv6):

- One accepted frame, or packet of many segments, is one transmitted; frames and bytes agree exactly.
- What the egress rules drop is in neither count, whoever sent it (AF_PACKET past the queue included). What the
  device cannot deliver (other end down) is in `dropped`, once.
- At 126,000 frames a second a reading (accepted, transmitted, accepted: 25 µs) sees 3 frames accepted meanwhile;
  15 to 80 of 100 see none, and of those 4 in 1,000 had one frame in flight. The driver takes the best of several.
- 60 s at full speed, four times (veth and macvlan, packets of one and of 40 segments: 70,000 to 140,000 a second),
  40,103 readings: 0 LEAKING, 72 in 100 CLEAN, the others UNKNOWN because too busy; CLEAN at once when it was over.
- 100 frames by AF_XDP: transmitted + 100, accepted + 0.

What cannot be told apart is UNKNOWN:

- Devices that count segments, or have a queue (`Account.is_exact` is false): more frames than were accepted may be
  pieces of accepted ones. Such a device is never found LEAKING here.
- The lock's counters began anew (its table was deleted and made again): what the old ones had accepted last is lost.
- A balance above the settled one: as many frames could have left unseen as have vanished. If it stays there it is
  settled anew, and said once. (A leak of exactly as many frames as vanish uncounted between two readings would be
  missed. The kernel counts every drop behind the egress hook of the exact devices, as far as we could find.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sidecar.core.model import LeakStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.core.sights import Account

SETTLING_READINGS: Final = 3
"""So many readings in a row with one balance, and no frame accepted during any, settle it."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is kept of a device's readings.

    Attributes:
        last: the newest reading.
        settled: the balance with nothing in flight; None before it is known.
        candidate: the balance that may be settled next; None after a reading that says nothing exact.
        agreeing: how many readings in a row have had it.
    """

    last: Account
    settled: int | None = None
    candidate: int | None = None
    agreeing: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """What the newest reading of a device shows.

    Attributes:
        frames: LEAKING: so many at least have left that the lock did not accept. UNKNOWN: so many may have; None where
            no number can be told. CLEAN: 0.
        reason: for people; empty when CLEAN.
    """

    device: str
    status: LeakStatus
    frames: int | None = 0
    reason: str = ""


def audit(
    ledgers: Iterable[Ledger], accounts: Iterable[Account], devices: Iterable[str]
) -> tuple[tuple[Ledger, ...], tuple[Finding, ...]]:
    """Enter new readings; returns the ledgers to keep, and one finding for each of `devices`.

    Begin with no ledgers. Throw them away when an operator unlocks: what was found LEAKING stays so otherwise. Take the
    first reading while the lock is sealed: with nothing accepted yet, nothing is in flight, and one is enough.
    """
    known = {ledger.last.device: ledger for ledger in ledgers}
    read = {account.device: account for account in accounts}
    kept: list[Ledger] = []
    findings: list[Finding] = []
    for device in sorted(set(devices)):
        ledger, account = known.get(device), read.get(device)
        if account is None:
            finding = Finding(device, LeakStatus.UNKNOWN, None, f"{device}: its counters could not be read")
        else:
            ledger, finding = _enter(ledger, account)
        findings.append(finding)
        if ledger is not None:
            kept.append(ledger)
    return tuple(kept), tuple(findings)


def leaking(findings: Iterable[Finding]) -> Finding | None:
    """Return the first finding that is a leak; None where there is none."""
    return next((finding for finding in findings if finding.status is LeakStatus.LEAKING), None)


def _enter(ledger: Ledger | None, account: Account) -> tuple[Ledger, Finding]:
    if ledger is None or account.index != ledger.last.index:
        return _begin(account)
    if account.ruleset != ledger.last.ruleset:
        return _begin_ruleset(ledger, account)
    if _went_back(ledger.last, account):
        return _open(account), _unknown(account, None, "a counter was set back: nothing to compare it with")
    return _continue(ledger, account)


def _open(account: Account) -> Ledger:
    """Where nothing has been accepted yet nothing is in flight, and the balance is settled at once."""
    ledger = _weigh(Ledger(account), account)
    is_untouched = account.accepted_after == 0 and account.is_exact
    return replace(ledger, settled=_balance(account)) if is_untouched else ledger


def _begin(account: Account) -> tuple[Ledger, Finding]:
    """A device that was not known, or another one by a known name."""
    ledger = _open(account)
    if ledger.settled is not None:
        return ledger, Finding(account.device, LeakStatus.CLEAN)
    return ledger, _unknown(account, None, "its first reading: nothing to compare it with")


def _begin_ruleset(ledger: Ledger, account: Account) -> tuple[Ledger, Finding]:
    """The lock's counters count from 0 again, while the device's go on."""
    sent = _sent(account) - _sent(ledger.last)
    was_settled = _is_still(ledger.last) and ledger.settled == _balance(ledger.last)
    if account.is_exact and was_settled and _is_still(account) and sent == account.accepted_before:
        settled = replace(_weigh(Ledger(account), account), settled=_balance(account))
        return settled, Finding(account.device, LeakStatus.CLEAN)
    unaccounted = max(0, sent - account.accepted_before)
    why = f"the lock's counters began anew; {unaccounted} frames left that the new ones have not seen"
    return _open(account), _unknown(account, unaccounted, why)


def _continue(ledger: Ledger, account: Account) -> tuple[Ledger, Finding]:
    settled, weighed = ledger.settled, _weigh(ledger, account)
    is_agreed = weighed.agreeing >= SETTLING_READINGS
    if settled is None:
        if is_agreed:
            return replace(weighed, settled=weighed.candidate), Finding(account.device, LeakStatus.CLEAN)
        return weighed, _unknown(account, None, "no settled balance yet to compare it with")
    missing = settled - _highest(account)
    if missing > 0 and account.is_exact:
        return weighed, Finding(
            account.device,
            LeakStatus.LEAKING,
            missing,
            f"{account.device}: {missing} frames left that the lock did not accept",
        )
    if _is_still(account) and missing == 0:
        return weighed, Finding(account.device, LeakStatus.CLEAN)
    finding = _doubt(account, missing)
    return (replace(weighed, settled=weighed.candidate) if is_agreed else weighed), finding


def _doubt(account: Account, missing: int) -> Finding:
    if missing > 0:
        why = f"{missing} frames more than the lock accepted; this device may cut large packets behind the lock"
        return _unknown(account, missing, why)
    if not _is_still(account):
        meanwhile = account.accepted_after - account.accepted_before
        return _unknown(account, None, f"too busy to be read to the frame: {meanwhile} accepted during the reading")
    return _unknown(account, -missing, f"{-missing} accepted frames are neither sent nor dropped")


def _weigh(ledger: Ledger, account: Account) -> Ledger:
    if not _is_still(account):
        return replace(ledger, last=account, candidate=None, agreeing=0)
    balance = _balance(account)
    agreeing = ledger.agreeing + 1 if balance == ledger.candidate else 1
    return replace(ledger, last=account, candidate=balance, agreeing=agreeing)


def _unknown(account: Account, frames: int | None, why: str) -> Finding:
    return Finding(account.device, LeakStatus.UNKNOWN, frames, f"{account.device}: {why}")


def _went_back(last: Account, account: Account) -> bool:
    return (
        account.accepted_before < last.accepted_before
        or account.transmitted < last.transmitted
        or account.dropped < last.dropped
    )


def _is_still(account: Account) -> bool:
    """Whether nothing was accepted while the device's side was read."""
    return account.accepted_before == account.accepted_after


def _sent(account: Account) -> int:
    return account.transmitted + account.dropped


def _balance(account: Account) -> int:
    return account.accepted_before - _sent(account)


def _highest(account: Account) -> int:
    """The most that the balance can have been when the device's side was read."""
    return account.accepted_after - _sent(account)
