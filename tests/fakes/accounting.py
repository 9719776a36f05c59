"""Counters in memory, for tests that need no kernel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sidecar.core.sights import Account

if TYPE_CHECKING:
    from sidecar.errors import LinkError


@dataclass
class FakeAccounting:
    """`Accounting` on imagined devices. Set `failing` and every reading raises it."""

    failing: LinkError | None = None

    def __post_init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self._indexes = 1

    def add_device(self, name: str, *, is_exact: bool = True) -> None:
        """Make a device, or make one anew, counted by the lock."""
        self._indexes += 1
        self.accounts[name] = Account(name, self._indexes, 1, 0, 0, 0, 0, is_exact)

    def remove_device(self, name: str) -> None:
        """Delete a device."""
        del self.accounts[name]

    def send(self, name: str, frames: int) -> None:
        """Let frames pass the lock and the device."""
        account = self.accounts[name]
        accepted = account.accepted_before + frames
        self.accounts[name] = replace(
            account,
            accepted_before=accepted,
            accepted_after=accepted,
            transmitted=account.transmitted + frames,
        )

    def leak(self, name: str, frames: int) -> None:
        """Let frames pass the device that never passed the lock."""
        account = self.accounts[name]
        self.accounts[name] = replace(account, transmitted=account.transmitted + frames)

    def restart_ruleset(self) -> None:
        """Delete the lock's table and make it again."""
        self.accounts = {
            name: replace(account, ruleset=account.ruleset + 1, accepted_before=0, accepted_after=0)
            for name, account in self.accounts.items()
        }

    def read(self, devices: tuple[str, ...]) -> tuple[Account, ...]:
        """See `Accounting.read`."""
        if self.failing is not None:
            raise self.failing
        return tuple(self.accounts[name] for name in sorted(set(devices)) if name in self.accounts)
