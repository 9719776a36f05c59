"""Addresses of the mock world: one place, for the peers and for the tests that talk to them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

TUNNEL_DEVICE = "wg0"
LISTEN_PORT = 51820
CLIENT_V4 = IPv4Address("10.64.0.2")
CLIENT_V6 = IPv6Address("fd00:64::2")
RESOLVER_V4 = IPv4Address("10.64.0.1")
RESOLVER_V6 = IPv6Address("fd00:64::1")
# The far side is the same at both peers (anycast), so that what answers names the peer. Documentation addresses:
# RFC 5737 and RFC 3849.
FAR_V4 = IPv4Address("198.51.100.10")
FAR_V6 = IPv6Address("2001:db8:64::10")
FAR_PORT = 80
BITTORRENT_PORT = 6881

ZONE = {
    "whoami.test": (FAR_V4, FAR_V6),
    "far.test": (FAR_V4,),
    "resolver.test": (RESOLVER_V4, RESOLVER_V6),
}

# What a download consists of, again and again: its length is prime, so a shifted or repeated block cannot go unnoticed.
PATTERN = bytes(range(251))
FILE_LIMIT_BYTES = 256 * 1024 * 1024


def content(start: int, length: int) -> bytes:
    """Return `length` bytes of the endless download, from byte `start` on."""
    skip = start % len(PATTERN)
    repeats = (skip + length) // len(PATTERN) + 1
    return (PATTERN * repeats)[skip : skip + length]


def plain(address: str) -> IPv4Address | IPv6Address:
    """Return an address, with IPv4 mapped into IPv6 (RFC 4291 section 2.5.5.2) unfolded."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed
