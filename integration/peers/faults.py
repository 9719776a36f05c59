"""What can go wrong with a VPN server, made by nftables in the peer's own namespace."""

from __future__ import annotations

import subprocess

from .names import LISTEN_PORT, TUNNEL_DEVICE

TABLE = "inet fault"
# The type byte of a WireGuard message: the first of the UDP payload, 64 bits after the header's start.
# Type 4 is transport data. Source: WireGuard whitepaper, section 5.4.6.
TRANSPORT_DATA = "@th,64,8 4"

CUT = f"""
    chain in {{ type filter hook input priority -10; udp dport {LISTEN_PORT} counter drop; }}
    chain out {{ type filter hook output priority -10; udp sport {LISTEN_PORT} counter drop; }}
"""
DROP_DATA = f"""
    chain in {{ type filter hook input priority -10; udp dport {LISTEN_PORT} {TRANSPORT_DATA} counter drop; }}
    chain out {{ type filter hook output priority -10; udp sport {LISTEN_PORT} {TRANSPORT_DATA} counter drop; }}
"""
BLACKHOLE = f"""
    chain in {{ type filter hook input priority -10; iifname "{TUNNEL_DEVICE}" counter drop; }}
"""

FAULTS = {
    "restore": "",
    # The server is gone: nothing answers.
    "cut": CUT,
    # The server answers handshakes, but what it is sent does not arrive: a middlebox, or a key that was revoked.
    "drop-data": DROP_DATA,
    # WireGuard is well on both sides; the server forwards nothing.
    "blackhole": BLACKHOLE,
}


def ruleset(name: str) -> str:
    """Return the nft text that puts one fault in force, in place of the last one."""
    text = f"table {TABLE} {{}}\ndelete table {TABLE}\n"
    return text + (f"table {TABLE} {{{FAULTS[name]}}}\n" if FAULTS[name] else "")


def apply(name: str) -> None:
    """Put one fault in force.

    Raises:
        subprocess.CalledProcessError: nft refused; its words are on stderr.
    """
    subprocess.run(["nft", "-f", "-"], input=ruleset(name), text=True, check=True)


def current() -> str:
    """Return the name of the fault in force, as the rules in the kernel tell it."""
    listing = subprocess.run(
        ["nft", "list", "table", *TABLE.split()], capture_output=True, text=True, check=False
    ).stdout
    if not listing:
        return "restore"
    if TUNNEL_DEVICE in listing:
        return "blackhole"
    return "drop-data" if "@th" in listing else "cut"
