"""Two counts of the same frames: what the lock's egress rules accepted, and what the device did with them.

`netlink` asks the kernel, `offloads` whether one accepted frame is one frame in the device's count, and `driver` is
the `Accounting` port. What the difference means is judged in `sidecar.core.account`.
"""

from __future__ import annotations

from sidecar.drivers.accounting.driver import KernelAccounting

__all__ = ["KernelAccounting"]
