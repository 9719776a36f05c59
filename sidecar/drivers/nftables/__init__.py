"""The lock in the kernel: a policy as nft text, loaded in one transaction and read back.

`render` is pure, `libnftables` is the edge, and `driver` is the `Lock` port.
"""

from __future__ import annotations

from sidecar.drivers.nftables.driver import NftablesLock
from sidecar.drivers.nftables.render import render

__all__ = ["NftablesLock", "render"]
