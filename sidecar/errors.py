"""The whole tree of errors.

    SidecarError
    ├── ConfigError          what the operator wrote is wrong            exit 64
    ├── RequestRefused       a command that cannot be carried out now    exit 75
    └── DriverError          one edge to the outside failed              exit 69
        ├── LockError        nftables
        ├── LinkError        links, addresses, routes, neighbours
        ├── TunnelError      WireGuard, kernel or userspace
        ├── CaptureError     the tap on the uplinks
        ├── ProbeError       the probe could not be sent (an unanswered probe is data, not an error)
        ├── ResolverError    resolv.conf
        ├── StateError       the state volume
        ├── WorkloadError    the Docker engine
        └── ControlError     the control socket and the status file
    Bug                      an invariant of ours broke                  exit 70

A leak is data, never an exception. No third-party exception crosses a driver.

Source: exit codes from sysexits.h (EX_USAGE 64, EX_UNAVAILABLE 69, EX_SOFTWARE 70, EX_TEMPFAIL 75).
"""

from __future__ import annotations

EXIT_CONFIG = 64
EXIT_UNAVAILABLE = 69
EXIT_SOFTWARE = 70
EXIT_TEMPFAIL = 75


class SidecarError(Exception):
    """Something that an operator can act on: what was attempted, on what, what came back, and the remedy.

    Args:
        attempted: the action and its object, such as "read /etc/sidecar/endpoints/10-primary.conf".
        got: what came back, such as "permission denied".
        remedy: what to do about it, an imperative clause.
    """

    exit_code = EXIT_SOFTWARE

    def __init__(self, *, attempted: str, got: str, remedy: str) -> None:
        self.attempted = attempted
        self.got = got
        self.remedy = remedy
        super().__init__(f"{attempted}: {got}; {remedy}")


class ConfigError(SidecarError):
    """The configuration cannot be used; nothing of it was applied.

    Attributes:
        also: further mistakes that the same reading found, each whole; `every` has them all.
    """

    exit_code = EXIT_CONFIG
    also: tuple[ConfigError, ...] = ()

    @property
    def every(self) -> tuple[ConfigError, ...]:
        """This mistake and the further ones, in the order in which they were found."""
        return (self, *self.also)

    def __str__(self) -> str:
        more = f" (and {len(self.also)} more: `sidecar check` lists them)" if self.also else ""
        return super().__str__() + more


class RequestRefused(SidecarError):  # noqa: N818 - a refusal is an answer, not a malfunction
    """A command was understood and refused; trying it later may work."""

    exit_code = EXIT_TEMPFAIL


class DriverError(SidecarError):
    """An edge to the outside failed; the leaf says which."""

    exit_code = EXIT_UNAVAILABLE


class LockError(DriverError):
    """The ruleset could not be loaded or read."""


class LinkError(DriverError):
    """A link, address, route or neighbour could not be read or changed."""


class TunnelError(DriverError):
    """The WireGuard device could not be made, written or read."""


class CaptureError(DriverError):
    """The tap on an uplink could not be opened or has died."""


class ProbeError(DriverError):
    """A probe could not be sent. A probe that nobody answered is evidence, not an error."""


class ResolverError(DriverError):
    """resolv.conf could not be read or written."""


class StateError(DriverError):
    """The state could not be read or written."""


class WorkloadError(DriverError):
    """The Docker engine refused or did not answer."""


class ControlError(DriverError):
    """The control socket, the status file or the event file failed."""


class Bug(Exception):  # noqa: N818 - the word is the message
    """An invariant of this program broke. It ends sealed, and the process exits with 70."""

    exit_code = EXIT_SOFTWARE
