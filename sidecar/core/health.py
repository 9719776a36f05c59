"""Does the tunnel carry traffic? Judged from the peer's counters, and from a probe where they cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.model import Health

if TYPE_CHECKING:
    from sidecar.core.killswitch import Path
    from sidecar.core.sights import PeerSight
    from sidecar.core.state import Baseline

KEEPALIVE_BYTES = 32
"""A transport message with nothing in it. A server whose way out is dead still sends them.

Source: WireGuard whitepaper section 5.4.6: a 16-byte header and a 16-byte authentication tag.
"""

HANDSHAKE_BYTES = 148 + 92 + 64
"""Everything that one handshake can add to rx_bytes: an initiation, a response and a cookie reply.

Source: WireGuard whitepaper sections 5.4.2, 5.4.3 and 5.4.7.
"""

HANDSHAKE_SLACK_S = 0.5
"""Two readings of one handshake's age may differ by this much from rounding and from the time that reading takes."""

REJECT_AFTER_TIME_S = 180.0
"""A session older than this carries nothing. Source: WireGuard whitepaper section 6.1."""


def judge(before: Baseline | None, at_s: float, peer: PeerSight) -> Health | None:
    """Judge by counters alone: ALIVE if the peer sent data since `before`; None if only a probe can tell.

    Handshakes and keepalives are not data: a server that answers them and drops everything else must not look alive.
    """
    if before is None or before.peer.public_key != peer.public_key:
        return None
    received_bytes = peer.rx_bytes - before.peer.rx_bytes
    control_bytes = KEEPALIVE_BYTES
    if _handshake_happened(before, at_s, peer):
        control_bytes += HANDSHAKE_BYTES
    return Health.ALIVE if received_bytes > control_bytes else None


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


def _handshake_happened(before: Baseline, at_s: float, peer: PeerSight) -> bool:
    if peer.latest_handshake_age_s is None:
        return False
    if before.peer.latest_handshake_age_s is None:
        return True
    then_s = before.at_s - before.peer.latest_handshake_age_s
    return at_s - peer.latest_handshake_age_s > then_s + HANDSHAKE_SLACK_S
