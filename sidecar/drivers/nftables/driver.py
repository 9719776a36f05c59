"""The `Lock` port on nf_tables.

Tables of others are neither read nor judged, because none of them can open ours: to accept a packet in one table does
not undo a drop in another. One that translates addresses changes where a packet goes, and postrouting and the device's
egress hook judge the result; one that copies or forwards frames to a device ends at that device's egress hook.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from sidecar.core.sights import LockSight, LockStatus
from sidecar.drivers.nftables import device_chains, inet_chains, libnftables, listing, transition
from sidecar.drivers.nftables.difference import difference
from sidecar.drivers.nftables.render import FAMILIES, TABLE, render
from sidecar.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import TypeVar

    from sidecar.core.killswitch import Policy
    from sidecar.drivers.nftables.listing import Table

    T = TypeVar("T")

# A transaction of somebody else's is over in milliseconds; a cycle must not be spent waiting for one. `apply` may be
# patient twice.
_PATIENCE_S = 0.2
_FIRST_WAIT_S = 0.005
_LONGEST_WAIT_S = 0.05


_NO_DEVICE = "No such file or directory"
_ABSENT = "sidecar-absent"
# Both in one transaction, so that nobody ever sees the table.
_LOCK_ABSENT = f"""
add table netdev sidecar_absent
add chain netdev sidecar_absent egress {{ type filter hook egress device "{_ABSENT}" priority filter; policy drop; }}
delete table netdev sidecar_absent
"""


class NftablesLock:
    """The ruleset of the network namespace that the calling thread is in.

    Args:
        awaited: names that a device may appear by. They are locked like the policy's devices, before there is any such
            device, where the kernel can do that (6.16); elsewhere a new device is open until the next policy names it.
    """

    def __init__(self, awaited: Iterable[str] = ()) -> None:
        self._awaited = frozenset(awaited)
        self._can_await: bool | None = None

    def apply(self, policy: Policy) -> None:
        """Put `policy` in force in one transaction and require that the kernel now lists what was sent.

        Where the converging script is refused, or did not lead there (somebody changed the tables meanwhile, or made
        in them what nft cannot name), a second transaction deletes the tables and makes them anew.

        Raises:
            LockError: `policy` is not in force; no rule was relaxed to find that out.
        """
        text = self._render(policy)
        wanted = listing.tables(text, TABLE)
        try:
            _patiently(lambda: _converge(wanted, text))
        except LockError:
            _patiently(lambda: _replace(wanted, text))

    def inspect(self, policy: Policy) -> LockSight:
        """Hold the kernel's ruleset against `policy`; what cannot be read is UNREADABLE, with the reason."""
        try:
            wanted = listing.tables(self._render(policy), TABLE)
            found = _patiently(_found)
        except LockError as error:
            return LockSight(LockStatus.UNREADABLE, str(error))
        words = difference(wanted, found, TABLE)
        status = LockStatus.CHANGED if words else LockStatus.INTACT
        return LockSight(status, words, tuple(_blocked(policy, found)))

    def listing(self) -> str:
        """Return our tables as nft prints them, with counters and without the mark.

        Raises:
            LockError: the ruleset cannot be read.
        """
        return listing.redacted(_patiently(_ruleset), TABLE)

    def _render(self, policy: Policy) -> str:
        """Return the text of `policy` and of the devices that are awaited: as those that are there and may nothing."""
        exempt = {policy.tunnel_device, policy.proof_device}
        awaited = self._awaited - exempt if self._awaited and self._awaits() else frozenset()
        return render(replace(policy, devices=tuple(sorted({*policy.devices, *awaited}))))

    def _awaits(self) -> bool:
        """Whether the kernel takes a chain for a device that is not there. Only a plain answer is remembered."""
        if self._can_await is None:
            try:
                _patiently(lambda: libnftables.run(_LOCK_ABSENT, "lock a device that is not there"))
            except LockError as error:
                if _NO_DEVICE in error.got:
                    self._can_await = False
                return False
            self._can_await = True
        return self._can_await


def _converge(wanted: Mapping[str, Table], text: str) -> None:
    _load(transition.converging(wanted, _found(), TABLE, text))
    _require(wanted)


def _replace(wanted: Mapping[str, Table], text: str) -> None:
    try:
        found = _found()
    except LockError:
        found = {}  # nothing to carry over: a listing that cannot be read has no counters either
    _load(transition.replacing(wanted, found, TABLE, text))
    _require(wanted)


def _load(script: str) -> None:
    libnftables.run(script, "load the ruleset")


def _require(wanted: Mapping[str, Table]) -> None:
    words = difference(wanted, _found(), TABLE)
    if words:
        raise LockError(
            attempted="load the ruleset and read it back",
            got=f"the kernel lists something else ({words})",
            remedy="find what else writes to the tables called sidecar (`nft monitor`)",
        )


def _found() -> dict[str, Table]:
    """Return our tables as they are now. Tables of ours in other families are not ours."""
    tables = listing.tables(_ruleset(), TABLE)
    return {family: table for family, table in tables.items() if family in FAMILIES}


def _ruleset() -> str:
    return libnftables.run("list ruleset", "read the ruleset")


def _blocked(policy: Policy, found: Mapping[str, Table]) -> Iterator[tuple[str, int]]:
    """Yield what the final drops caught, by hook; a counter that is not there has nothing to say."""
    rows = [("netdev", f"egress {device}", device_chains.dropped("egress", device)) for device in policy.devices]
    rows += [("inet", hook, inet_chains.dropped(hook)) for hook in inet_chains.HOOKS]
    rows += [("inet", "embedded DNS", inet_chains.EMBEDDED_DNS_COUNTER)]
    rows += [("netdev", f"ingress {device}", device_chains.dropped("ingress", device)) for device in policy.devices]
    for family, place, counter in rows:
        if family in found and counter in found[family].counts:
            yield place, found[family].counts[counter].packets


def _patiently(attempt: Callable[[], T]) -> T:
    """Return what `attempt` does, trying again for a moment while the kernel is busy."""
    retrying = Retrying(
        retry=retry_if_exception_type(libnftables.TransientLockError),
        stop=stop_after_delay(_PATIENCE_S),
        wait=wait_exponential(multiplier=_FIRST_WAIT_S, max=_LONGEST_WAIT_S),
        reraise=True,
    )
    return retrying(attempt)
