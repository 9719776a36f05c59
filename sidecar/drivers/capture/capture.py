"""The `Capture` port: one tap for each device of the policy."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sidecar.drivers.capture.bpf import program
from sidecar.drivers.capture.tap import Tap
from sidecar.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.core.killswitch import Policy
    from sidecar.core.sights import Frame
    from sidecar.drivers.capture.evidence import PcapEvidence


class ScapyCapture:
    """Watches the devices of the namespace that `ensure` is called in.

    What was queued behind an older filter still arrives after a change, so whoever judges a frame holds it against
    the policy too, and against the one before.

    Args:
        evidence: keeps every frame that is reported, before it is.
    """

    def __init__(self, evidence: PcapEvidence) -> None:
        self._evidence = evidence
        self._taps: dict[str, Tap] = {}
        self._guard = threading.Lock()

    def ensure(self, policy: Policy, on_frame: Callable[[Frame], None]) -> None:
        """Watch exactly `policy.devices`; see the port.

        Raises:
            CaptureError: a device cannot be watched, or a tap had died over a frame that then was not reported. Every
                device was tried, and those that can be are watched.
        """
        troubles: list[str] = []
        with self._guard:
            for device in self._taps.keys() - set(policy.devices):
                self._taps.pop(device).close()
            for device in policy.devices:
                try:
                    self._ensure_tap(device, policy, on_frame, troubles)
                except CaptureError as error:
                    troubles.append(str(error))
        if troubles:
            raise CaptureError(
                attempted=f"watch {', '.join(policy.devices)}",
                got="; ".join(troubles),
                remedy="the next cycle tries again; what is not watched is reported as unknown",
            )

    def watched(self) -> frozenset[str]:
        """The devices whose tap is alive, asked from the thread and the socket themselves."""
        with self._guard:
            return frozenset(device for device, tap in self._taps.items() if tap.fault() is None)

    def close(self) -> None:
        """Stop every tap."""
        with self._guard:
            while self._taps:
                self._taps.popitem()[1].close()

    def _ensure_tap(self, device: str, policy: Policy, on_frame: Callable[[Frame], None], troubles: list[str]) -> None:
        wanted = program(policy, device)
        tap = self._taps.get(device)
        if tap is not None and tap.fault() is None:
            tap.on_frame = on_frame
            tap.swap(wanted)
            return
        if tap is not None:
            del self._taps[device]
            if tap.failure is not None:
                troubles.append(f"a frame on {device} was seen and not reported: {tap.failure!r}")
            tap.close()
        self._taps[device] = Tap(device, wanted, self._evidence.keep, on_frame)
