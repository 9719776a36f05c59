"""WireGuard by the kernel."""

from __future__ import annotations

from sidecar.drivers.wireguard_kernel.tunnel import KernelTunnel, kernel_has_wireguard

__all__ = ["KernelTunnel", "kernel_has_wireguard"]
