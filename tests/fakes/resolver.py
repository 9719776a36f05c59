"""A resolv.conf in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.core.model import Address
    from sidecar.errors import ResolverError


class FakeResolver:
    """Lists what was written last.

    Attributes:
        fault: raised by both methods where set.
    """

    def __init__(self, nameservers: Iterable[Address] = ()) -> None:
        self._nameservers = tuple(nameservers)
        self.fault: ResolverError | None = None

    def nameservers(self) -> tuple[Address, ...]:
        if self.fault is not None:
            raise self.fault
        return self._nameservers

    def write(self, nameservers: tuple[Address, ...]) -> None:
        if self.fault is not None:
            raise self.fault
        self._nameservers = nameservers
