"""Policies that several layers of tests put to the lock. The addresses are those of documentation networks."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from sidecar.core.killswitch import Flow, Policy, Resolution, sealed
from sidecar.core.model import MacAddress

FWMARK = 0x0BADCAFE
LISTEN_PORTS = (51820, 40001)
TUNNEL = "wg0"
OWN_MAC = MacAddress("02:00:00:00:00:02")
GATEWAY_MAC = MacAddress("02:00:00:00:00:01")
PRIMARY_MAC = MacAddress("02:00:00:00:00:0a")
BACKUP_MAC = MacAddress("02:00:00:00:00:14")


def flow(endpoint: str, port: int, *, source: str, next_hop_mac: str, device: str = "eth0") -> Flow:
    return Flow(device, OWN_MAC, MacAddress(next_hop_mac), ip_address(source), ip_address(endpoint), port)


def resolution(next_hop: str, *, source: str, mac: str | None, device: str = "eth0") -> Resolution:
    known = MacAddress(mac) if mac else None
    return Resolution(device, OWN_MAC, ip_address(source), ip_address(next_hop), known)


SEALED = sealed(["eth0"])

UNRESOLVED = Policy(
    tunnel_device=TUNNEL,
    tunnel_addresses=(ip_address("10.9.0.2"),),
    devices=("eth0",),
    flows=(),
    resolutions=(resolution("10.77.0.1", source="10.77.0.2", mac=None),),
    listen_ports=LISTEN_PORTS,
    fwmark=FWMARK,
)

GATEWAY = replace(
    UNRESOLVED,
    flows=(
        flow("203.0.113.10", 51820, source="10.77.0.2", next_hop_mac=GATEWAY_MAC),
        flow("192.0.2.20", 443, source="10.77.0.2", next_hop_mac=GATEWAY_MAC),
    ),
    resolutions=(resolution("10.77.0.1", source="10.77.0.2", mac=GATEWAY_MAC),),
)

ON_LINK = replace(
    UNRESOLVED,
    flows=(
        flow("10.77.0.10", 51820, source="10.77.0.2", next_hop_mac=PRIMARY_MAC),
        flow("10.77.0.20", 51820, source="10.77.0.2", next_hop_mac=BACKUP_MAC),
    ),
    resolutions=(
        resolution("10.77.0.10", source="10.77.0.2", mac=PRIMARY_MAC),
        resolution("10.77.0.20", source="10.77.0.2", mac=BACKUP_MAC),
    ),
)

TWO_UPLINKS = replace(
    GATEWAY,
    devices=("br-lan.7", "eth0"),
    flows=(*GATEWAY.flows, flow("10.78.0.20", 51821, source="10.78.0.2", next_hop_mac=BACKUP_MAC, device="br-lan.7")),
    resolutions=(
        *GATEWAY.resolutions,
        resolution("10.78.0.20", source="10.78.0.2", mac=BACKUP_MAC, device="br-lan.7"),
    ),
)

IPV6 = replace(
    UNRESOLVED,
    tunnel_addresses=(ip_address("10.9.0.2"), ip_address("2001:db8:9::2")),
    flows=(flow("2001:db8:10::10", 51820, source="2001:db8:77::2", next_hop_mac=GATEWAY_MAC),),
    resolutions=(resolution("2001:db8:77::1", source="2001:db8:77::2", mac=GATEWAY_MAC),),
)

EVERY = {
    "sealed": SEALED,
    "unresolved": UNRESOLVED,
    "gateway": GATEWAY,
    "on_link": ON_LINK,
    "two_uplinks": TWO_UPLINKS,
    "ipv6": IPV6,
}
