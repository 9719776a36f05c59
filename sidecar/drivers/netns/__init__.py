"""Links, addresses, routes and neighbours of a network namespace, over rtnetlink."""

from __future__ import annotations

from sidecar.drivers.netns.links import KernelLinks
from sidecar.drivers.netns.parsing import NO_MAC, OUR_ROUTE_PROTOCOL

__all__ = ["NO_MAC", "OUR_ROUTE_PROTOCOL", "KernelLinks"]
