"""The device in the words of the userspace API. Pure: values to lines, lines to values. Keys are hexadecimal there."""

from __future__ import annotations

import base64
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from sidecar.core.model import PublicKey, Secret
from sidecar.core.sights import PeerSight, WireGuardSight

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.core.model import Address, Endpoint

    Line = tuple[str, str]

_NO_KEY: Final = "0" * 64
NANOSECONDS: Final = 1_000_000_000


def switch_lines(endpoint: Endpoint, listen_port: int, fwmark: int) -> list[str]:
    """Return the lines of the one write that makes `endpoint` the only peer.

    They are applied one by one, up to the first that fails. Opening the port is what can fail (somebody may have taken
    it), so it comes first: keys and peer are then still those of before.

    Raises:
        ValueError: a key is not base64; the key is not in the message.
    """
    return [
        f"listen_port={listen_port}",
        f"fwmark={fwmark}",
        f"private_key={_hexadecimal(endpoint.private_key.reveal())}",
        "replace_peers=true",
        f"public_key={_hexadecimal(endpoint.public_key)}",
        *([f"preshared_key={_hexadecimal(endpoint.preshared_key.reveal())}"] if endpoint.preshared_key else []),
        f"endpoint={join(endpoint.address, endpoint.port)}",
        f"persistent_keepalive_interval={endpoint.persistent_keepalive_s or 0}",
        "replace_allowed_ips=true",
        *(f"allowed_ip={network}" for network in endpoint.allowed_ips),
    ]


def parse_device(lines: Iterable[Line], now_s: float) -> WireGuardSight:
    """Return the device that the answer to `get=1` describes, seen at `now_s` of the wall clock.

    Raises:
        ValueError: a value is not what its key promises.
    """
    own: dict[str, str] = {}
    peers: list[list[Line]] = []
    for key, value in lines:
        if key == "public_key":
            peers.append([])
        if peers:
            peers[-1].append((key, value))
        else:
            own[key] = value
    private_key = own.get("private_key", _NO_KEY)
    return WireGuardSight(
        private_key=None if private_key == _NO_KEY else Secret(_base64(private_key)),
        listen_port=int(own.get("listen_port", "0")),
        fwmark=int(own.get("fwmark", "0")),
        peer=_parse_peer(peers[0], now_s) if len(peers) == 1 else None,
    )


def join(address: Address, port: int) -> str:
    """Return address and port as one word."""
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def _parse_peer(lines: list[Line], now_s: float) -> PeerSight:
    one = dict(lines)
    address, port = _parse_endpoint(one.get("endpoint"))
    seconds, nanoseconds = int(one.get("last_handshake_time_sec", "0")), int(one.get("last_handshake_time_nsec", "0"))
    age_s = max(now_s - seconds - nanoseconds / NANOSECONDS, 0.0)
    return PeerSight(
        public_key=PublicKey(_base64(one["public_key"])),
        endpoint_address=address,
        endpoint_port=port,
        allowed_ips=tuple(ip_network(value) for key, value in lines if key == "allowed_ip"),
        rx_bytes=int(one.get("rx_bytes", "0")),
        tx_bytes=int(one.get("tx_bytes", "0")),
        latest_handshake_age_s=age_s if seconds or nanoseconds else None,
    )


def _parse_endpoint(text: str | None) -> tuple[Address | None, int | None]:
    if text is None:
        return None, None
    host, _, port = text.rpartition(":")
    return ip_address(host.strip("[]")), int(port)


def _hexadecimal(key: str) -> str:
    try:
        return base64.b64decode(key, validate=True).hex()
    except ValueError:
        raise ValueError("a key is not base64") from None  # the cause might quote it


def _base64(key: str) -> str:
    return base64.b64encode(bytes.fromhex(key)).decode("ascii")
