"""WireGuard by wireguard-go."""

from __future__ import annotations

from sidecar.drivers.wireguard_userspace.supervisor import S6Supervisor, Supervisor
from sidecar.drivers.wireguard_userspace.tunnel import UserspaceTunnel

__all__ = ["S6Supervisor", "Supervisor", "UserspaceTunnel"]
