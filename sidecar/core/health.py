"""Does the tunnel carry traffic? Judged from the peer's counters, and from a probe where they cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.model import Health

if TYPE_CHECKING:
    from sidecar.core.killswitch import Path
    from sidecar.core.sights import PeerSight
    from sidecar.core.state import Baseline

KEEPALIVE_BYTES = 32
"""A transport message with nothing in it. A server whose way out is dead still sends them, up to one a second.

Source: WireGuard whitepaper section 5.4.6: a 16-byte header and a 16-byte authentication tag; wg(8) on the interval.
"""

HANDSHAKE_BYTES = 148 + 92 + 64
"""Everything that one handshake can add to rx_bytes: an initiation, a response and a cookie reply.

Source: WireGuard whitepaper sections 5.4.2, 5.4.3 and 5.4.7.
"""

REKEY_TIMEOUT_S = 5.0
"""Each side begins a handshake at most this often. Source: WireGuard whitepaper section 6.1."""

REJECT_AFTER_TIME_S = 180.0
"""A session older than this carries nothing. Source: WireGuard whitepaper section 6.1."""


def judge(before: Baseline | None, at_s: float, peer: PeerSight) -> Health | None:
    """Judge by counters alone: ALIVE if the peer sent data since `before`; None if only a probe can tell.

    Handshakes and keepalives are not data: a server that sends them and drops everything else must not look alive. So
    must one that we cannot reach, and that begins a handshake every few seconds because it does not hear us.
    """
    if before is None or before.peer.public_key != peer.public_key:
        return None
    since_s = max(at_s - before.at_s, 0.0)
    control_bytes = KEEPALIVE_BYTES * (1 + since_s) + HANDSHAKE_BYTES * (1 + since_s / REKEY_TIMEOUT_S)
    return Health.ALIVE if peer.rx_bytes - before.peer.rx_bytes > control_bytes else None


def judge_unprobed(before: Baseline | None, peer: PeerSight | None) -> Health:
    """Judge when no probe could be sent: DEAD if we sent, nothing came back and no session is young."""
    if before is None or peer is None or before.peer.public_key != peer.public_key:
        return Health.UNKNOWN
    sent = peer.tx_bytes > before.peer.tx_bytes
    received = peer.rx_bytes > before.peer.rx_bytes
    age_s = peer.latest_handshake_age_s
    stale = age_s is not None and age_s > REJECT_AFTER_TIME_S
    return Health.DEAD if not received and sent and (stale or age_s is None) else Health.UNKNOWN


def unresolved(path: Path) -> bool:
    """Whether the kernel should be asked to resolve this path's next hop: it is unknown, or it fell silent."""
    neighbour = path.uplink.neighbours.get(path.next_hop)
    return neighbour is None or neighbour.mac is None or neighbour.failed


def unreachable(path: Path | None) -> bool:
    """Whether the endpoint itself is known to be silent: on-link, and it did not answer the kernel's ARP or ND."""
    if path is None or not path.on_link:
        return False
    neighbour = path.uplink.neighbours.get(path.next_hop)
    return neighbour is not None and neighbour.failed


def uplink_fault(path: Path | None) -> str | None:
    """Say why no endpoint could answer at all (no way there, no carrier, a silent gateway); None if one could."""
    if path is None:
        return "no uplink leads to the endpoint: no address in its network and no gateway"
    if not path.uplink.carrier:
        return f"uplink {path.uplink.device} has no carrier"
    if path.on_link:
        return None
    neighbour = path.uplink.neighbours.get(path.next_hop)
    if neighbour is not None and neighbour.failed:
        return f"gateway {path.next_hop} on {path.uplink.device} does not answer ARP or neighbour discovery"
    if neighbour is None or neighbour.mac is None:
        return f"gateway {path.next_hop} on {path.uplink.device} is not resolved yet"
    return None
