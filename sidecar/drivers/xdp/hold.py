"""The port `XdpHold`, in the network namespace of the calling thread."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from sidecar.drivers.xdp.queue_socket import Answer, QueueSocket
from sidecar.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.drivers.xdp.shelf import Item, Shelf

# A queue that was let go of is free again after 24 ms (measured); until then it looks like somebody else's.
_PATIENCE_S: Final = 0.25
_POLL_S: Final = 0.01


@dataclass
class _Device:
    """A device that we hold.

    Attributes:
        sockets: what each socket is bound to, as (queue, socket). A queue has two where the device's numbers of
            receiving and of sending queues were changed one after the other.
    """

    index: int
    sockets: list[tuple[int, QueueSocket]] = field(default_factory=list)

    def is_bound(self) -> bool:
        return bool(self.sockets) and all(bound.is_bound() for _, bound in self.sockets)

    def has(self, queue: int) -> bool:
        return any(queue == ours for ours, _ in self.sockets)

    def close(self) -> None:
        for _, bound in self.sockets:
            bound.close()


class KernelXdpHold:
    """`XdpHold`, for real.

    Args:
        shelf: where the sockets outlive this process; what is on it already is taken over. None: they end with us.
    """

    def __init__(self, shelf: Shelf | None = None) -> None:
        self._shelf = shelf
        self._devices: dict[str, _Device] = {}
        self._found: list[tuple[int, int, QueueSocket]] = []
        self._spare: QueueSocket | None = None
        self._has_taken_over = False
        self._shelf_is_stale = False

    def is_supported(self) -> bool:
        """See `XdpHold.is_supported`."""
        return self._next_socket() is not None

    def hold(self, devices: tuple[str, ...]) -> None:
        """See `XdpHold.hold`. Every device is tried, whatever became of the others."""
        if not self.is_supported():
            return
        steps: list[Callable[[], None]] = [
            self._take_over,
            partial(self._let_go, set(self._devices) - set(devices)),
            *(partial(self._converge, name) for name in devices),
            self._forget_found,
            self._tidy_shelf,
        ]
        failures: list[LockError] = []
        for step in steps:
            try:
                step()
            except LockError as error:
                failures.append(error)
        if failures:
            raise failures[0] if len(failures) == 1 else _all_of(failures)

    def held(self) -> frozenset[str]:
        """See `XdpHold.held`. A queue that a device has gained meanwhile is taken in passing."""
        return frozenset(name for name, device in self._devices.items() if self._is_held(name, device))

    def close(self) -> None:
        """See `XdpHold.close`."""
        for device in self._devices.values():
            device.close()
        self._devices.clear()
        if self._spare is not None:
            self._spare.close()
            self._spare = None

    def _is_held(self, name: str, device: _Device) -> bool:
        if _index_of(name) != device.index or not device.is_bound():
            return False
        try:
            return self._extend(name, device)
        except LockError:
            return False

    def _converge(self, name: str) -> None:
        index = _index_of(name)
        device = self._devices.get(name)
        if device is not None and (device.index != index or not device.is_bound()):
            self._let_go({name})
            device = None
        if index is None:
            return
        if device is None:
            device = self._devices[name] = _Device(index, self._found_on(index))
        if not self._extend(name, device):
            self._let_go({name})

    def _extend(self, name: str, device: _Device) -> bool:
        """Bind a socket to every queue that has none; false if the device is gone.

        There is no asking how many queues are in use: the channels that ethtool tells, the counts that rtnetlink tells
        and the queues in sysfs each differ from it on some device. So every queue is tried, the ones that are ours
        too, until the kernel says that there is no such queue.
        """
        for queue in count():
            answer = self._bind(device, queue)
            if answer is Answer.NO_SUCH_DEVICE:
                return False
            if answer is Answer.BUSY and not device.has(queue):
                raise LockError(
                    attempted=f"hold queue {queue} of {name} against AF_XDP",
                    got="somebody already holds it (EBUSY): frames may be passing the lock there, unseen",
                    remedy="find the process in this namespace that has CAP_NET_RAW and an XDP socket, and end it",
                )
            if answer is Answer.NO_SUCH_QUEUE:
                break
        if device.sockets:
            return True
        raise LockError(
            attempted=f"hold {name} against AF_XDP",
            got="the kernel refuses its first queue (EINVAL)",
            remedy="use another kind of uplink, or take NET_RAW from the workloads (cap_drop: [NET_RAW])",
        )

    def _bind(self, device: _Device, queue: int) -> Answer:
        candidate = self._next_socket()
        if candidate is None:
            raise LockError(attempted="open an AF_XDP socket", got="no AF_XDP any more", remedy="see dmesg")
        answer = candidate.bind(device.index, queue) if device.has(queue) else _bind(candidate, device.index, queue)
        if answer is Answer.BOUND:
            self._spare = None
            device.sockets.append((queue, candidate))
            if self._shelf is not None:
                self._shelf.put(device.index, queue, candidate.fileno())
        return answer

    def _next_socket(self) -> QueueSocket | None:
        """Return a socket that is not bound yet, the same one until it is; None where the kernel has no AF_XDP."""
        if self._spare is None:
            self._spare = QueueSocket.open()
        return self._spare

    def _take_over(self) -> None:
        """Adopt, once, what a process before us has left on the shelf and what is still bound."""
        if self._shelf is not None and not self._has_taken_over:
            self._shelf.review(self._adopt)
        self._has_taken_over = True

    def _adopt(self, item: Item) -> bool:
        left = QueueSocket.adopt(os.dup(item.descriptor))
        if not left.is_bound() or any(left.is_same(known) for *_, known in self._found):
            left.close()
            return False
        self._found.append((item.device_index, item.queue, left))
        return True

    def _found_on(self, index: int) -> list[tuple[int, QueueSocket]]:
        ours = [(queue, left) for at, queue, left in self._found if at == index]
        self._found = [found for found in self._found if found[0] != index]
        return ours

    def _let_go(self, names: set[str]) -> None:
        for name in names:
            self._devices.pop(name).close()
            self._shelf_is_stale = True

    def _forget_found(self) -> None:
        for *_, left in self._found:
            left.close()
            self._shelf_is_stale = True
        self._found.clear()

    def _tidy_shelf(self) -> None:
        """Take off the shelf what we do not hold ourselves any more."""
        if self._shelf is not None and self._shelf_is_stale:
            ours = {(device.index, queue) for device in self._devices.values() for queue, _ in device.sockets}
            self._shelf.review(lambda item: (item.device_index, item.queue) in ours)
        self._shelf_is_stale = False


def _index_of(name: str) -> int | None:
    with suppress(OSError):
        return socket.if_nametoindex(name)
    return None


def _bind(candidate: QueueSocket, index: int, queue: int) -> Answer:
    answer: Answer = Retrying(
        retry=retry_if_result(lambda answer: answer is Answer.BUSY),
        stop=stop_after_delay(_PATIENCE_S),
        wait=wait_fixed(_POLL_S),
        retry_error_callback=lambda _: Answer.BUSY,
    )(candidate.bind, index, queue)
    return answer


def _all_of(failures: list[LockError]) -> LockError:
    return LockError(
        attempted=f"{len(failures)} devices, the first to {failures[0].attempted}",
        got="; ".join(f"{failure.attempted}: {failure.got}" for failure in failures),
        remedy=failures[0].remedy,
    )
