"""Small readable values for tests of the core: a plan of three endpoints, uplinks, what a healthy look shows.

Every builder returns something whole and right; keyword arguments change one thing about it.
Keys are words, not keys: the core only compares them.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, Any

from sidecar.core import killswitch, repair
from sidecar.core.killswitch import Neighbour, Policy, Uplink
from sidecar.core.messages import Probed, Started, Surveyed
from sidecar.core.model import (
    Endpoint,
    Health,
    MacAddress,
    Pins,
    Plan,
    ProbeKind,
    ProbeTarget,
    PublicKey,
    Secret,
)
from sidecar.core.sights import (
    Frame,
    LinkSight,
    LockSight,
    LockStatus,
    PeerSight,
    Persisted,
    Survey,
    TunnelSight,
    WireGuardSight,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sidecar.core.state import State

OWN_MAC = MacAddress("02:00:00:00:00:02")
GATEWAY_MAC = MacAddress("02:00:00:00:00:01")
STRANGER_MAC = MacAddress("02:00:00:00:00:99")
GATEWAY = ip_address("10.0.0.1")
GATEWAY_V6 = ip_address("fd00::1")
GATEWAY_V6_MAC = MacAddress("02:00:00:00:00:61")
OWN_ADDRESS = ip_address("10.0.0.2")
OWN_ADDRESS_V6 = ip_address("fd00::2")
FWMARK = 0xC0FFEE11
LISTEN_PORTS = (20001, 20002, 20003)
INTACT = LockSight(LockStatus.INTACT)
CHANGED = LockSight(LockStatus.CHANGED, "our table is missing")
UNREADABLE = LockSight(LockStatus.UNREADABLE, "nft did not answer")


def endpoint(name: str = "10-primary", address: str = "203.0.113.1", **changes: Any) -> Endpoint:
    values: dict[str, Any] = {
        "port": 51820,
        "public_key": PublicKey(f"public key of {name}"),
        "private_key": Secret(f"private key for {name}"),
        "preshared_key": Secret(f"preshared key with {name}"),
        "persistent_keepalive_s": 25,
        "allowed_ips": (ip_network("0.0.0.0/0"),),
        "dns": (ip_address("10.64.0.1"),),
        "mtu_bytes": None,
        **changes,
    }
    return Endpoint(name=name, address=ip_address(address), **values)


PRIMARY = endpoint("10-primary", "203.0.113.1")
BACKUP = endpoint("20-backup", "203.0.113.2")
RESERVE = endpoint("30-reserve", "203.0.113.3")
THREE = (PRIMARY, BACKUP, RESERVE)
ON_LINK = endpoint("20-on-link", "10.0.0.9")


def plan(endpoints: Sequence[Endpoint] = THREE, **changes: Any) -> Plan:
    values: dict[str, Any] = {
        "addresses": (ip_interface("10.64.0.2/32"),),
        "probe_targets": (ProbeTarget(ProbeKind.DNS, ip_address("10.64.0.1")),),
        "pins": Pins(FWMARK, LISTEN_PORTS),
        "digest": "digest of " + ", ".join(each.name for each in endpoints),
        "fault": None if endpoints else "no endpoint is configured",
        **changes,
    }
    return Plan(endpoints=tuple(endpoints), **values)


def uplink(device: str = "eth0", **changes: Any) -> Uplink:
    values: dict[str, Any] = {
        "index": 2,
        "mac": OWN_MAC,
        "addresses": (ip_interface(f"{OWN_ADDRESS}/24"),),
        "gateways": (GATEWAY,),
        "neighbours": {GATEWAY: Neighbour(GATEWAY_MAC)},
        "carrier": True,
        "mtu_bytes": 1500,
        **changes,
    }
    return Uplink(device=device, **values)


def uplink_v6(device: str = "eth0", **changes: Any) -> Uplink:
    values: dict[str, Any] = {
        "addresses": (ip_interface(f"{OWN_ADDRESS_V6}/64"),),
        "gateways": (GATEWAY_V6,),
        "neighbours": {GATEWAY_V6: Neighbour(GATEWAY_V6_MAC)},
        **changes,
    }
    return uplink(device, **values)


def peer(of: Endpoint = PRIMARY, **changes: Any) -> PeerSight:
    values: dict[str, Any] = {
        "public_key": of.public_key,
        "endpoint_address": of.address,
        "endpoint_port": of.port,
        "allowed_ips": of.allowed_ips,
        "rx_bytes": 10_000,
        "tx_bytes": 10_000,
        "latest_handshake_age_s": 30.0,
        **changes,
    }
    return PeerSight(**values)


def wireguard(of: Endpoint = PRIMARY, *, counters: PeerSight | None = None, **changes: Any) -> WireGuardSight:
    values: dict[str, Any] = {
        "private_key": of.private_key,
        "listen_port": LISTEN_PORTS[0],
        "fwmark": FWMARK,
        "peer": counters or peer(of),
        **changes,
    }
    return WireGuardSight(**values)


def tunnel(of: Endpoint = PRIMARY, *, counters: PeerSight | None = None, **changes: Any) -> TunnelSight:
    link = LinkSight(up=True, mtu_bytes=1420, addresses=(ip_interface("10.64.0.2/32"),))
    values: dict[str, Any] = {"link": link, "wireguard": wireguard(of, counters=counters), **changes}
    return TunnelSight(**values)


def survey(
    of: Endpoint = PRIMARY,
    *,
    within: Plan | None = None,
    uplinks: Iterable[Uplink] | None = None,
    counters: PeerSight | None = None,
    **changes: Any,
) -> Survey:
    """Return a look at which everything is as `within` wants it, with the tunnel on the endpoint `of`."""
    within = within or plan()
    uplinks = tuple(uplinks) if uplinks is not None else (uplink(),)
    values: dict[str, Any] = {
        "tunnel": tunnel(of, counters=counters),
        "lock": INTACT,
        "routes": repair.wanted_routes(within, of, uplinks),
        "watched": frozenset(each.device for each in uplinks),
        "nameservers": of.dns,
        **changes,
    }
    return Survey(uplinks=uplinks, **values)


def lost(sight: Survey, **changes: Any) -> Survey:
    """Return a look that could not see everything."""
    return replace(sight, unknown=("links could not be listed",), **changes)


def looked(at_s: float, sight: Survey | None = None, *, is_cycle: bool = True) -> Surveyed:
    return Surveyed(at_s, sight or survey(), is_cycle)


def answered(state: State, at_s: float, health: Health, counters: PeerSight | None = None) -> Probed:
    """Return the answer to the probe of the current cycle."""
    return Probed(at_s, state.cycle, health, f"the probe says {health.value}", counters)


def started(at_s: float = 0.0, persisted: Persisted | None = None, damage: str | None = None) -> Started:
    return Started(at_s, persisted, damage)


def permit(within: Plan | None = None, *uplinks: Uplink) -> Policy:
    return killswitch.permit_tunnel(within or plan(), uplinks or (uplink(),))


def flow_frame(**changes: Any) -> Frame:
    """Return an outer packet of the tunnel, as the policy of `permit()` names it."""
    values: dict[str, Any] = {
        "device": "eth0",
        "source_mac": OWN_MAC,
        "destination_mac": GATEWAY_MAC,
        "ether_type": 0x0800,
        "source_address": OWN_ADDRESS,
        "destination_address": PRIMARY.address,
        "protocol": 17,
        "source_port": LISTEN_PORTS[0],
        "destination_port": PRIMARY.port,
        "length_bytes": 190,
        "summary": "IPv4 UDP to the endpoint",
        **changes,
    }
    return Frame(**values)


def raw_frame(data: bytes) -> Frame:
    """Return what a tap tells of a frame without ports on eth0: in the end, its bytes."""
    return flow_frame(
        source_mac=MacAddress(data[6:12].hex(":")),
        destination_mac=MacAddress(data[:6].hex(":")),
        ether_type=int.from_bytes(data[12:14], "big"),
        source_address=None,
        destination_address=None,
        protocol=None,
        source_port=None,
        destination_port=None,
        length_bytes=len(data),
        summary=f"a frame of {len(data)} bytes",
        data=data,
    )


def stray_frame(**changes: Any) -> Frame:
    """Return a frame that no policy ever names: plain DNS to a stranger."""
    return flow_frame(
        **{
            "destination_address": IPv4Address("198.51.100.53"),
            "destination_port": 53,
            "source_port": 40000,
            "summary": "IPv4 10.0.0.2:40000 > 198.51.100.53:53 UDP, 60 bytes",
            **changes,
        }
    )
