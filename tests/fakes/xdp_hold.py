"""AF_XDP queues in memory, for tests that need no kernel."""

from __future__ import annotations

from dataclasses import dataclass, field

from sidecar.errors import LockError


@dataclass
class FakeQueues:
    """One device as AF_XDP sees it.

    Attributes:
        others: queues that somebody else has a socket on.
        ours: queues that the hold has a socket on.
    """

    queues: int
    others: set[int] = field(default_factory=set)
    ours: set[int] = field(default_factory=set)


class FakeXdpHold:
    """`XdpHold` on imagined devices. A test adds and removes them, and tries what an attacker would."""

    def __init__(self, *, supported: bool = True) -> None:
        self.supported = supported
        self.devices: dict[str, FakeQueues] = {}

    def add_device(self, name: str, queues: int = 1) -> None:
        """Make a device, or make one anew: what was bound to its predecessor is bound no more."""
        self.devices[name] = FakeQueues(queues)

    def remove_device(self, name: str) -> None:
        """Delete a device."""
        del self.devices[name]

    def somebody_binds(self, name: str, queue: int) -> bool:
        """Try as somebody else; returns whether it worked."""
        device = self.devices[name]
        if not self.supported or queue >= device.queues or queue in device.ours | device.others:
            return False
        device.others.add(queue)
        return True

    def somebody_ends(self, name: str, queue: int) -> None:
        """Close what somebody else has."""
        self.devices[name].others.discard(queue)

    def is_supported(self) -> bool:
        """See `XdpHold.is_supported`."""
        return self.supported

    def hold(self, devices: tuple[str, ...]) -> None:
        """See `XdpHold.hold`."""
        if not self.supported:
            return
        busy: list[str] = []
        for name, device in self.devices.items():
            wanted = set(range(device.queues)) if name in devices else set()
            busy += [f"queue {queue} of {name}" for queue in sorted(wanted & device.others)]
            device.ours = wanted - device.others
        if busy:
            raise LockError(attempted=f"hold {', '.join(busy)} against AF_XDP", got="busy", remedy="end who holds it")

    def held(self) -> frozenset[str]:
        """See `XdpHold.held`."""
        return frozenset(
            name for name, device in self.devices.items() if device.ours and len(device.ours) == device.queues
        )

    def close(self) -> None:
        """See `XdpHold.close`."""
        for device in self.devices.values():
            device.ours.clear()
