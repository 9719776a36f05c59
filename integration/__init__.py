"""Tests against real containers: two mock WireGuard peers, the sidecar, workloads."""
