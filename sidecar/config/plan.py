"""Assembles the plan of endpoints and settings, and its digest."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from sidecar.config.choosing import timing_of
from sidecar.config.together import choose_targets, judge_together
from sidecar.core.model import OnLeak, Plan, ProbeTarget

if TYPE_CHECKING:
    from sidecar.config.choosing import Chosen
    from sidecar.config.draft import Draft
    from sidecar.config.mistakes import Mistakes
    from sidecar.core.model import Endpoint, Interface, Pins


def assemble(drafts: tuple[Draft, ...], chosen: Chosen, pins: Pins, mistakes: Mistakes) -> Plan:
    """Make the plan of at least one draft.

    Raises:
        ConfigError: the drafts do not fit each other, or `mistakes` held something before.
    """
    judge_together(drafts, mistakes)
    written = chosen.written("health.probe_targets", tuple) or ()
    targets: tuple[ProbeTarget, ...] = choose_targets(drafts, written, chosen.place("health.probe_targets"), mistakes)
    mistakes.raise_if_any()
    endpoints = tuple(draft.endpoint for draft in drafts)
    addresses = drafts[0].addresses
    return Plan(
        endpoints=endpoints,
        addresses=addresses,
        probe_targets=targets,
        pins=pins,
        digest=digest_of(endpoints, addresses),
        device=chosen.of("tunnel.device", str),
        timing=timing_of(chosen),
        wrap=chosen.of("failover.wrap", bool),
        rebind=chosen.of("failover.rebind", bool),
        on_leak=chosen.of("leak.on_leak", OnLeak),
    )


def digest_of(endpoints: tuple[Endpoint, ...], addresses: tuple[Interface, ...]) -> str:
    """Return SHA-256 over the endpoint list, in its order, keys included, and over the tunnel's addresses.

    Numbers such as the threshold are not in it: changing those is no reason to go back to the first endpoint.
    """
    document = {
        "endpoints": [_canonical(endpoint) for endpoint in endpoints],
        "addresses": [str(address) for address in addresses],
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(endpoint: Endpoint) -> dict[str, object]:
    return {
        "name": endpoint.name,
        "address": str(endpoint.address),
        "port": endpoint.port,
        "public_key": endpoint.public_key,
        "private_key": endpoint.private_key.reveal(),
        "preshared_key": endpoint.preshared_key.reveal() if endpoint.preshared_key else None,
        "persistent_keepalive_s": endpoint.persistent_keepalive_s,
        "allowed_ips": [str(network) for network in endpoint.allowed_ips],
        "dns": [str(address) for address in endpoint.dns],
        "mtu_bytes": endpoint.mtu_bytes,
    }
