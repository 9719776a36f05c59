"""Mock WireGuard peers: see `__main__`."""
