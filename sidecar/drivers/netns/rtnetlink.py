"""One rtnetlink socket for one call of the port: retries, and every failure as a LinkError."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, Final, Self

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkDecodeError, NetlinkDumpInterrupted, NetlinkError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from sidecar.drivers.netns.parsing import attributes, parse_route
from sidecar.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sidecar.drivers.netns.parsing import Hop

GONE: Final = frozenset({errno.ENODEV, errno.ENXIO, errno.ESRCH, errno.ENOENT, errno.EADDRNOTAVAIL})
"""What the kernel answers about something that is not there: no failure of a removal."""

_TRANSIENT: Final = frozenset({errno.EINTR, errno.EAGAIN, errno.ENOBUFS})
_REFUSALS: Final = frozenset({errno.EACCES, errno.EPERM, errno.ENODEV, errno.EINVAL, errno.ENOBUFS})
_FAILURES: Final = (NetlinkError, NetlinkDecodeError, OSError)
_REMEDIES: Final = {
    errno.EPERM: "give the container NET_ADMIN (cap_add)",
    errno.ENETUNREACH: "give the uplink an address in the gateway's network",
    errno.EHOSTUNREACH: "give the uplink an address in the gateway's network",
    errno.ENETDOWN: "set the device up first",
    errno.EOPNOTSUPP: "this kernel lacks the feature; leave it out of the endpoint files",
    errno.EAFNOSUPPORT: "this kernel has no IPv6; leave IPv6 out of the endpoint files",
}
_OTHER_REMEDY: Final = "see dmesg, and `ip address`, `ip route` in the sidecar's namespace"


class Rtnetlink:
    """An open socket in the calling thread's network namespace. Every method raises LinkError."""

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose
        try:
            self._netlink: Any = IPRoute()
        except _FAILURES as error:
            raise _link_error(f"{purpose}: open a netlink socket", error, None) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._netlink.close()

    def links(self) -> list[Mapping[str, Any]]:
        """Dump every link."""
        return self._dump("get_links")

    def link(self, device: str) -> Mapping[str, Any] | None:
        """Return the link called `device`; None where there is none."""
        return next((link for link in self.links() if attributes(link)["IFLA_IFNAME"] == device), None)

    def names(self) -> dict[int, str]:
        """Return the devices' names by index."""
        return {link["index"]: attributes(link)["IFLA_IFNAME"] for link in self.links()}

    def indexes(self) -> dict[str, int]:
        """Return the devices' indexes by name."""
        return {name: index for index, name in self.names().items()}

    def addresses(self) -> list[Mapping[str, Any]]:
        """Dump every address, both families."""
        return self._dump("get_addr")

    def hops(self) -> list[Hop]:
        """Return the next hops of every unicast route of the main table that the kernel did not make itself."""
        return [hop for message in self._dump("get_routes") for hop in parse_route(message)]

    def neighbours(self) -> list[Mapping[str, Any]]:
        """Dump the neighbour table, both families."""
        return self._dump("get_neighbours")

    def write(
        self,
        attempted: str,
        command: str,
        fields: Mapping[str, object],
        *,
        fine: frozenset[int] = frozenset(),
        remedy: str | None = None,
    ) -> None:
        """Send one change and wait for the kernel's acknowledgement.

        Args:
            attempted: for the error message.
            command: pyroute2's method and its first argument, such as "link set".
            fields: the method's keywords.
            fine: error numbers that mean the change was not needed.
            remedy: for the error message, where the kernel refuses without saying why.
        """
        method, verb = command.split()
        try:
            _retrying()(getattr(self._netlink, method), verb, **fields)
        except _FAILURES as error:
            if _number(error) not in fine:
                raise _link_error(attempted, error, remedy) from error

    def _dump(self, method: str) -> list[Mapping[str, Any]]:
        try:
            return _retrying()(lambda: list(getattr(self._netlink, method)()))
        except _FAILURES as error:
            raise _link_error(f"{self._purpose} ({method})", error, None) from error


def try_each(changes: Iterable[Callable[[], None]]) -> None:
    """Make every change, whatever became of the others; then raise one LinkError of all that failed."""
    failures: list[LinkError] = []
    for change in changes:
        try:
            change()
        except LinkError as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise LinkError(
            attempted=f"{len(failures)} changes, the first to {failures[0].attempted}",
            got="; ".join(f"{failure.attempted}: {failure.got}" for failure in failures),
            remedy=failures[0].remedy,
        )


def ipv6_remedy(device: str) -> str:
    """Return what to do where the kernel refuses IPv6 on a device: it is disabled there, as Docker does by default."""
    return (
        f'give the sidecar\'s service sysctls: {{net.ipv6.conf.default.disable_ipv6: "0"}}, so that {device} is made '
        "with IPv6, or leave IPv6 out of the endpoint files"
    )


def _retrying() -> Retrying:
    return Retrying(
        retry=retry_if_exception(_is_transient), stop=stop_after_attempt(4), wait=wait_fixed(0.01), reraise=True
    )


def _is_transient(error: BaseException) -> bool:
    # A dump is interrupted when the table changes under it; what was read may lack rows.
    return isinstance(error, NetlinkDumpInterrupted) or _number(error) in _TRANSIENT


def _number(error: BaseException) -> int | None:
    code: int | None = getattr(error, "code", None) or getattr(error, "errno", None)
    return code


def _link_error(attempted: str, error: BaseException, remedy: str | None) -> LinkError:
    number = _number(error) or 0
    name = errno.errorcode.get(number)
    got = f"{os.strerror(number)} ({name})" if name else repr(error)
    # Only the refusals that a disabled protocol causes have the caller's remedy; the others speak for themselves.
    chosen = remedy if number in _REFUSALS else None
    return LinkError(attempted=attempted, got=got, remedy=chosen or _REMEDIES.get(number, _OTHER_REMEDY))
