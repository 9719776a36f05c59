"""A prober whose targets answer when the test says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.model import Health
from sidecar.errors import ProbeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.core.model import Address, ProbeTarget


class FakeProber:
    """Answers at once, also with "nobody did".

    Attributes:
        devices: questions go out by these only.
        answering: the targets that answer.
        asked: what was probed, in order.
    """

    def __init__(self, devices: Iterable[str] = ("wg0",), answering: Iterable[Address] = ()) -> None:
        self.devices = set(devices)
        self.answering = set(answering)
        self.asked: list[tuple[tuple[ProbeTarget, ...], str]] = []

    def probe(self, targets: tuple[ProbeTarget, ...], device: str, timeout_s: float) -> tuple[Health, str]:
        self.asked.append((targets, device))
        if not targets or device not in self.devices:
            got = "no such device" if targets else "there is no target"
            raise ProbeError(attempted=f"probe through {device}", got=got, remedy="try again")
        for target in targets:
            if target.address in self.answering:
                return Health.ALIVE, f"{target.address} answered"
        return Health.DEAD, f"no answer within {timeout_s:g} s"
