"""What a peer has seen."""

from __future__ import annotations

import subprocess
import time

from . import faults
from .names import TUNNEL_DEVICE


def status(peer: str) -> dict[str, object]:
    """Return what the peer has seen: bytes and the age of the last handshake, and the fault in force. No keys."""

    def shown(field: str) -> list[str]:
        command = ["wg", "show", TUNNEL_DEVICE, field]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1:]

    received, sent = (int(word) for word in shown("transfer"))
    (handshake,) = (int(word) for word in shown("latest-handshakes"))
    age_s = int(time.time()) - handshake if handshake else None
    return {
        "peer": peer,
        "fault": faults.current(),
        "rx_bytes": received,
        "tx_bytes": sent,
        "latest_handshake_age_s": age_s,
        "endpoint": shown("endpoints")[0],
    }
