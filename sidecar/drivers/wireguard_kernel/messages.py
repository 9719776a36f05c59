"""The device in the kernel's netlink messages. Pure: values to attributes, attributes to values.

pyroute2's own `WireGuard.set` cannot say WGDEVICE_F_REPLACE_PEERS, so the attributes are laid out here; encoding and
decoding stay pyroute2's. Source: <linux/wireguard.h>, whose comments are the protocol.
"""

from __future__ import annotations

import base64
import socket
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

from sidecar.core.model import PublicKey, Secret
from sidecar.core.sights import PeerSight, WireGuardSight

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sidecar.core.model import Endpoint, Network

    Attributes = list[list[Any]]
    Message = Mapping[str, Any]

WGDEVICE_F_REPLACE_PEERS: Final = 1 << 0
WGPEER_F_REPLACE_ALLOWEDIPS: Final = 1 << 1
KEY_BYTES: Final = 32
NANOSECONDS: Final = 1_000_000_000
_IPV4: Final = 4


def switch_attributes(device: str, endpoint: Endpoint, listen_port: int, fwmark: int) -> Attributes:
    """Return the attributes of the one write that makes `endpoint` the only peer.

    Whatever their order here, the kernel opens the port before it touches a key or a peer, and stops there if the port
    is taken. Source: linux drivers/net/wireguard/netlink.c, wg_set_device().

    Raises:
        ValueError: a key is not 32 bytes of base64; the key is not in the message.
    """
    return [
        ["WGDEVICE_A_IFNAME", device],
        ["WGDEVICE_A_FLAGS", WGDEVICE_F_REPLACE_PEERS],
        ["WGDEVICE_A_LISTEN_PORT", listen_port],
        ["WGDEVICE_A_FWMARK", fwmark],
        ["WGDEVICE_A_PRIVATE_KEY", _checked(endpoint.private_key.reveal())],
        ["WGDEVICE_A_PEERS", [{"attrs": _peer_attributes(endpoint)}]],
    ]


def rebind_attributes(device: str, listen_port: int) -> Attributes:
    """Return the attributes of a write that moves the socket and leaves all else."""
    return [["WGDEVICE_A_IFNAME", device], ["WGDEVICE_A_LISTEN_PORT", listen_port]]


def parse_device(messages: Iterable[Message], now_s: float) -> WireGuardSight:
    """Return the device that a dump describes, seen at `now_s` of the wall clock.

    A device too long for one message comes in several; a peer that goes on in the next one is repeated with its key.
    """
    own: dict[str, Any] = {}
    peers: dict[bytes, list[dict[str, Any]]] = {}
    for message in messages:
        attributes = _attributes(message)
        for peer in map(_attributes, attributes.pop("WGDEVICE_A_PEERS", [])):
            peers.setdefault(peer["WGPEER_A_PUBLIC_KEY"], []).append(peer)
        own = {**attributes, **own}
    private_key = own.get("WGDEVICE_A_PRIVATE_KEY", b"")
    return WireGuardSight(
        private_key=Secret(_text(private_key)) if any(base64.b64decode(private_key)) else None,
        listen_port=own.get("WGDEVICE_A_LISTEN_PORT", 0),
        fwmark=own.get("WGDEVICE_A_FWMARK", 0),
        peer=_parse_peer(next(iter(peers.values())), now_s) if len(peers) == 1 else None,
    )


def _peer_attributes(endpoint: Endpoint) -> Attributes:
    attributes: Attributes = [
        ["WGPEER_A_PUBLIC_KEY", _checked(endpoint.public_key)],
        ["WGPEER_A_FLAGS", WGPEER_F_REPLACE_ALLOWEDIPS],
        ["WGPEER_A_ENDPOINT", {"addr": str(endpoint.address), "port": endpoint.port}],
        ["WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL", endpoint.persistent_keepalive_s or 0],
        ["WGPEER_A_ALLOWEDIPS", [{"attrs": _allowed_ip_attributes(network)} for network in endpoint.allowed_ips]],
    ]
    if endpoint.preshared_key is not None:
        attributes.append(["WGPEER_A_PRESHARED_KEY", _checked(endpoint.preshared_key.reveal())])
    return attributes


def _allowed_ip_attributes(network: Network) -> Attributes:
    return [
        ["WGALLOWEDIP_A_FAMILY", int(socket.AF_INET if network.version == _IPV4 else socket.AF_INET6)],
        ["WGALLOWEDIP_A_IPADDR", network.network_address.packed],
        ["WGALLOWEDIP_A_CIDR_MASK", network.prefixlen],
    ]


def _parse_peer(parts: list[dict[str, Any]], now_s: float) -> PeerSight:
    one = parts[0]
    endpoint = one.get("WGPEER_A_ENDPOINT")
    handshake = one.get("WGPEER_A_LAST_HANDSHAKE_TIME", {"tv_sec": 0, "tv_nsec": 0})
    age_s = max(now_s - handshake["tv_sec"] - handshake["tv_nsec"] / NANOSECONDS, 0.0)
    allowed = (entry for part in parts for entry in part.get("WGPEER_A_ALLOWEDIPS", []))
    return PeerSight(
        public_key=PublicKey(_text(one["WGPEER_A_PUBLIC_KEY"])),
        endpoint_address=ip_address(endpoint["addr"]) if endpoint else None,
        endpoint_port=endpoint["port"] if endpoint else None,
        allowed_ips=tuple(ip_network(entry["addr"]) for entry in allowed),
        rx_bytes=one.get("WGPEER_A_RX_BYTES", 0),
        tx_bytes=one.get("WGPEER_A_TX_BYTES", 0),
        latest_handshake_age_s=age_s if handshake["tv_sec"] or handshake["tv_nsec"] else None,
    )


def _attributes(message: Message) -> dict[str, Any]:
    return {slot[0]: slot[1] for slot in message["attrs"]}


def _checked(key: str) -> str:
    try:
        length_bytes = len(base64.b64decode(key, validate=True))
    except ValueError:
        raise ValueError("a key is not base64") from None  # the cause might quote it
    if length_bytes != KEY_BYTES:
        raise ValueError(f"a key has {length_bytes} bytes, not {KEY_BYTES}")
    return key


def _text(key: bytes | str) -> str:
    return key.decode("ascii") if isinstance(key, bytes) else key
