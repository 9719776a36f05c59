"""VPN-locked egress for containers."""
