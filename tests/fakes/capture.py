"""Taps and evidence that live in memory; a test plays the kernel by `emit`, `kill` and `remove`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sidecar.core.killswitch import Policy
    from sidecar.core.sights import Frame, Latch


class FakeCapture:
    """Watches devices that exist in `devices`.

    Attributes:
        policies: what `ensure` was called with, in order.
    """

    def __init__(self, devices: Iterable[str] = ("eth0",)) -> None:
        self.devices = set(devices)
        self.policies: list[Policy] = []
        self._taps: dict[str, Callable[[Frame], None]] = {}

    def ensure(self, policy: Policy, on_frame: Callable[[Frame], None]) -> None:
        self.policies.append(policy)
        self._taps = {device: on_frame for device in policy.devices if device in self.devices}
        missing = [device for device in policy.devices if device not in self.devices]
        if missing:
            raise CaptureError(attempted=f"watch {', '.join(missing)}", got="no such device", remedy="try again")

    def watched(self) -> frozenset[str]:
        return frozenset(self._taps)

    def close(self) -> None:
        self._taps.clear()

    def emit(self, frame: Frame) -> None:
        """Let a frame leave; whoever watches its device sees it."""
        if frame.device in self._taps:
            self._taps[frame.device](frame)

    def kill(self, device: str) -> None:
        """Let a tap die."""
        self._taps.pop(device, None)

    def remove(self, device: str) -> None:
        """Let a device go, and its tap with it."""
        self.devices.discard(device)
        self.kill(device)


class FakeEvidence:
    """Keeps what it is given.

    Attributes:
        saved: the latches, in order.
        fault: raised by `save` where set.
    """

    def __init__(self) -> None:
        self.saved: list[Latch] = []
        self.fault: CaptureError | None = None

    def save(self, latch: Latch) -> str:
        if self.fault is not None:
            raise self.fault
        self.saved.append(latch)
        return f"memory:{len(self.saved)}"
