"""A lock in memory: the policy in force, and what a test does to it behind the driver's back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.sights import LockSight, LockStatus
from sidecar.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.core.killswitch import Policy

NOT_PERMITTED = LockError(
    attempted="load the ruleset", got="Operation not permitted", remedy="give the container the capability NET_ADMIN"
)


class FakeLock:
    """`Lock` on a namespace whose devices are `devices`; like an older kernel, it cannot lock one that is not there.

    Set `failing` to an error and `apply` and `listing` raise it, `inspect` reports it. `applied` holds every policy
    that came into force, in order. Set `mistake` to what no driver may raise, and `apply` raises that.
    """

    def __init__(self, devices: Iterable[str] = ("eth0",)) -> None:
        self.devices = set(devices)
        self.applied: list[Policy] = []
        self.failing: LockError | None = None
        self.mistake: Exception | None = None
        self.dropped: dict[str, int] = {}
        self._in_force: Policy | None = None
        self._foreign: list[str] = []

    # --- what a test does to the world

    def flush(self) -> None:
        """Take everything away, as `nft flush ruleset` does."""
        self._in_force = None
        self._foreign.clear()

    def add_foreign_rule(self, rule: str) -> None:
        """Put a rule of somebody else's into a table of ours."""
        self._foreign.append(rule)

    # --- the port

    def apply(self, policy: Policy) -> None:
        if self.mistake is not None:
            raise self.mistake
        if self.failing is not None:
            raise self.failing
        gone = sorted(set(policy.devices) - self.devices)
        if gone:
            raise LockError(
                attempted="load the ruleset",
                got=f"no such device: {', '.join(gone)}",
                remedy="look at the devices again",
            )
        self._in_force = policy
        self._foreign.clear()
        self.applied.append(policy)

    def inspect(self, policy: Policy) -> LockSight:
        if self.failing is not None:
            return LockSight(LockStatus.UNREADABLE, str(self.failing))
        blocked = tuple(self.dropped.items())
        if self._in_force is None:
            return LockSight(LockStatus.CHANGED, "missing: table inet sidecar", blocked)
        if self._foreign:
            return LockSight(LockStatus.CHANGED, f"unexpected: {'; '.join(self._foreign)}", blocked)
        if self._in_force != policy:
            return LockSight(LockStatus.CHANGED, "another policy is in force", blocked)
        return LockSight(LockStatus.INTACT, "", blocked)

    def listing(self) -> str:
        if self.failing is not None:
            raise self.failing
        lines = [repr(self._in_force), *self._foreign] if self._in_force else []
        return "\n".join(lines)
