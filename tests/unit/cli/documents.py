"""Status documents, one for each way in which things can stand."""

from __future__ import annotations

import copy
from typing import Any

HEALTHY: dict[str, Any] = {
    "version": 1,
    "phase": "up",
    "healthy": True,
    "reasons": [],
    "heartbeat_boottime_s": 0.0,
    "cycle_s": 2.0,
    "sentence": "Through 20-backup (203.0.113.7:51820) for 4 min, locked; failover from 10-primary: 3 bad cycles.",
    "endpoint": {"name": "20-backup", "address": "203.0.113.7", "port": 51820, "index": 1, "count": 2},
    "tunnel": {
        "health": "alive",
        "detail": "rx grew",
        "kind": "kernel",
        "rx_bytes": 1_406_000_000,
        "tx_bytes": 91_000_000,
        "latest_handshake_age_s": 42.4,
    },
    "lock": {"status": "intact", "detail": "", "blocked": [["output", 3], ["egress eth0", 1200], ["forward", 0]]},
    "leak": {"status": "clean", "detail": ""},
    "bad_cycles": 0,
    "threshold_cycles": 3,
    "latch": None,
    "config": {"fault": None, "warnings": [], "endpoints": ["10-primary", "20-backup"]},
    "endpoint_since_s": 240.0,
    "pid": 17,
}

PRIMARY = {"name": "10-primary", "address": "2001:db8::7", "port": 51820, "index": 0, "count": 2}


def variant(**changes: Any) -> dict[str, Any]:
    """Return the healthy document with some fields replaced."""
    return {**copy.deepcopy(HEALTHY), **changes}


BY_NAME: dict[str, dict[str, Any]] = {
    "up": HEALTHY,
    "up-on-the-first": variant(
        sentence="Through 10-primary ([2001:db8::7]:51820) for 3 h 5 min, locked.",
        endpoint=PRIMARY,
        tunnel={**HEALTHY["tunnel"], "kind": "userspace", "rx_bytes": 900, "tx_bytes": 2_100_000_000_000},
        lock={"status": "intact", "detail": "", "blocked": []},
        config={
            "fault": None,
            "warnings": ["10-primary.conf line 9: PostUp is never run; remove it"],
            "endpoints": ["10-primary", "20-backup"],
        },
    ),
    "up-but-not-healthy": variant(
        healthy=False,
        reasons=[
            "the ruleset is changed: table inet sidecar is gone",
            "no live tap on eth1: a leak there would go unseen",
        ],
        lock={"status": "changed", "detail": "table inet sidecar is gone", "blocked": [["output", 1]]},
        leak={"status": "unknown", "detail": "no live tap on eth1"},
    ),
    "starting": variant(
        phase="starting",
        healthy=False,
        reasons=["the tunnel's health is not known: not judged yet"],
        sentence="Starting: waiting for 10-primary ([2001:db8::7]:51820) to answer; locked.",
        endpoint=PRIMARY,
        tunnel={
            "health": "unknown",
            "kind": None,
            "rx_bytes": None,
            "tx_bytes": None,
            "latest_handshake_age_s": None,
        },
    ),
    "degraded": variant(
        phase="degraded",
        healthy=False,
        reasons=["10-primary does not answer: sent 4 packets, none came back"],
        sentence="Degraded: 10-primary ([2001:db8::7]:51820) is silent, 2 of 3 bad cycles; locked.",
        endpoint=PRIMARY,
        tunnel={**HEALTHY["tunnel"], "health": "dead"},
        bad_cycles=2,
    ),
    "degraded-on-the-last": variant(
        phase="degraded",
        healthy=False,
        reasons=["20-backup does not answer: no answer from 10.64.0.1"],
        sentence="Degraded: 20-backup (203.0.113.7:51820) is silent, 1 of 3 bad cycles; locked.",
        tunnel={**HEALTHY["tunnel"], "health": "dead"},
        bad_cycles=1,
    ),
    "exhausted": variant(
        phase="exhausted",
        healthy=False,
        reasons=["exhausted: 20-backup is the last of the list and does not answer"],
        sentence="Exhausted: 20-backup (203.0.113.7:51820) is the last of the list and does not answer; locked, "
        "trying it again.",
        tunnel={**HEALTHY["tunnel"], "health": "dead", "latest_handshake_age_s": 754.0},
        bad_cycles=9,
    ),
    "halted": variant(
        phase="halted",
        healthy=False,
        reasons=["halted: a frame left outside the tunnel: …; find the cause, then run: sidecar unlock"],
        sentence="Halted: a frame left outside the tunnel. Nothing passes until an operator unlocks.",
        tunnel={**HEALTHY["tunnel"], "health": "unknown"},
        leak={"status": "leaking", "detail": "IPv4 10.0.0.2:5 > 203.0.113.9:53 UDP, 42 bytes by eth0 (1 frames seen)"},
        latch={
            "reason": "a frame left outside the tunnel",
            "evidence": "IPv4 10.0.0.2:5 > 203.0.113.9:53 UDP, 42 bytes by eth0",
        },
    ),
    "sealed": variant(
        phase="sealed",
        healthy=False,
        reasons=["sealed: read 10-primary.conf line 3: PrivateKey is not base64; copy it anew"],
        sentence="Sealed: read 10-primary.conf line 3: PrivateKey is not base64; copy it anew.",
        endpoint=None,
        tunnel=None,
        lock={"status": "intact", "detail": "", "blocked": [["output", 12]]},
        config={
            "fault": "read 10-primary.conf line 3: PrivateKey is not base64; copy it anew",
            "warnings": [],
            "endpoints": [],
        },
    ),
}
