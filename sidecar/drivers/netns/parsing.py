"""What rtnetlink says, as values of the core. Pure: messages in, values out.

A message is what pyroute2 hands out: a mapping of the header's fields, with the attributes as pairs under "attrs".
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Any, Final

from sidecar.core.killswitch import Neighbour
from sidecar.core.model import MacAddress
from sidecar.core.sights import Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sidecar.core.model import Address, Interface, Network

    Message = Mapping[str, Any]

OUR_ROUTE_PROTOCOL: Final = 73
"""RTPROT of every route of ours. Source: <linux/rtnetlink.h> and iproute2's rt_protos leave 73 free."""

NO_MAC: Final = MacAddress("00:00:00:00:00:00")
"""What a link without Ethernet addresses gets; the idle tunl0, sit0 and their like that some kernels make are such."""

IPV4: Final = 4
IPV6: Final = 6

# Source: <linux/if.h>, <linux/if_arp.h>
IFF_UP: Final = 0x1
_IFF_LOOPBACK: Final = 0x8
_IFF_LOWER_UP: Final = 0x10000
_ARPHRD_ETHER: Final = 1
# Source: <linux/rtnetlink.h>
RT_TABLE_MAIN: Final = 254
_RTN_UNICAST: Final = 1
_RTPROT_KERNEL: Final = 2
# Source: <linux/neighbour.h>: FAILED; REACHABLE, STALE, DELAY, PROBE, PERMANENT
_NUD_FAILED: Final = 0x20
_NUD_HAS_MAC: Final = 0x02 | 0x04 | 0x08 | 0x10 | 0x80


@dataclass(frozen=True, slots=True)
class Hop:
    """One next hop of one unicast route of the main table; a multipath route has several.

    Attributes:
        index: of the device.
        gateway: None where the destination is on-link.
        metric: None where the kernel does not say, which means 0.
    """

    destination: Network
    index: int
    gateway: Address | None
    protocol: int
    metric: int | None
    is_multipath: bool = False

    def route(self, names: Mapping[int, str]) -> Route:
        """Return the core's value; `names` are the devices by index."""
        return Route(self.destination, names.get(self.index, f"device {self.index}"), self.gateway)

    def is_default(self) -> bool:
        """Whether it is for everything."""
        return self.destination.prefixlen == 0

    def is_own_host_route(self) -> bool:
        """Whether it is one of those that we make for endpoints."""
        return self.protocol == OUR_ROUTE_PROTOCOL and self.destination.prefixlen == self.destination.max_prefixlen


def attributes(message: Message) -> dict[str, Any]:
    """Return the attributes by name."""
    # By index: a nested attribute is a triple, with its flags.
    return {slot[0]: slot[1] for slot in message["attrs"]}


def family_of(value: Address | Interface | Network) -> int:
    """Return the address family that rtnetlink wants."""
    return int(AF_INET if value.version == IPV4 else AF_INET6)


def is_uplink(link: Message, tunnel_device: str) -> bool:
    """Whether a link is neither the loopback nor the tunnel. A device that is merely named `lo` is an uplink."""
    name = attributes(link)["IFLA_IFNAME"]
    return name != tunnel_device and not (name == "lo" and link["flags"] & _IFF_LOOPBACK)


def parse_mac(link: Message) -> MacAddress:
    """Return the link's own address; a link that is not Ethernet has NO_MAC."""
    mac: str | None = attributes(link).get("IFLA_ADDRESS")
    return MacAddress(mac.lower()) if mac is not None and link["ifi_type"] == _ARPHRD_ETHER else NO_MAC


def parse_kind(link: Message) -> str:
    """Return what the kernel calls the link's driver, such as "veth" or "tun"; empty where it has no name for it."""
    described = attributes(link).get("IFLA_LINKINFO")
    return str(attributes(described).get("IFLA_INFO_KIND", "")) if described is not None else ""


def has_carrier(link: Message) -> bool:
    """Whether the link is up, by our will and by its own."""
    return bool(link["flags"] & IFF_UP) and bool(link["flags"] & _IFF_LOWER_UP)


def parse_addresses(messages: Iterable[Message], index: int) -> tuple[Interface, ...]:
    """Return the addresses of a link, without link-local IPv6 ones, sorted.

    On a point-to-point link IFA_ADDRESS is the other end's; IFA_LOCAL is ours. Source: linux if_addr.h.
    """
    found = []
    for message in messages:
        if message["index"] != index:
            continue
        own = attributes(message)
        interface = ip_interface(f"{own.get('IFA_LOCAL', own.get('IFA_ADDRESS'))}/{message['prefixlen']}")
        if interface.version == IPV4 or not interface.ip.is_link_local:
            found.append(interface)
    return tuple(
        sorted(found, key=lambda interface: (interface.version, interface.packed, interface.network.prefixlen))
    )


def parse_route(message: Message) -> Iterator[Hop]:
    """Yield the next hops of a unicast route of the main table that the kernel did not make for an address."""
    own = attributes(message)
    is_main = own.get("RTA_TABLE", message["table"]) == RT_TABLE_MAIN
    if not is_main or message["type"] != _RTN_UNICAST or message["proto"] == _RTPROT_KERNEL:
        return
    everything = "0.0.0.0" if message["family"] == AF_INET else "::"  # noqa: S104 - a network, not a bind
    destination = ip_network(f"{own.get('RTA_DST', everything)}/{message['dst_len']}")
    paths = own.get("RTA_MULTIPATH")
    for index, gateway in [_one_hop(own)] if paths is None else [_one_hop(attributes(p), p["oif"]) for p in paths]:
        if index is not None:
            yield Hop(destination, index, gateway, message["proto"], own.get("RTA_PRIORITY"), paths is not None)


def _one_hop(own: Mapping[str, Any], index: int | None = None) -> tuple[int | None, Address | None]:
    # RTA_VIA: an IPv4 route by an IPv6 neighbour.
    gateway = own.get("RTA_GATEWAY") or own.get("RTA_VIA", {}).get("addr")
    return own.get("RTA_OIF", index), ip_address(gateway) if gateway else None


def choose_gateways(hops: Iterable[Hop]) -> tuple[Address, ...]:
    """Return the gateways of one device, at most one a family: of the best default route, else of our host routes."""
    chosen: dict[int, Address] = {}
    candidates = [hop for hop in hops if hop.is_default() or hop.is_own_host_route()]
    for hop in sorted(candidates, key=lambda hop: (not hop.is_default(), hop.metric or 0, repr(hop.gateway))):
        if hop.gateway is not None and hop.gateway.version == hop.destination.version:
            chosen.setdefault(hop.gateway.version, hop.gateway)
    return tuple(chosen[version] for version in sorted(chosen))


def parse_neighbour(message: Message) -> tuple[int, Address, Neighbour] | None:
    """Return the device's index, the address and what is known of it; None for rows that are not about an address."""
    own = attributes(message)
    if "NDA_DST" not in own:
        return None
    state = message["state"]
    mac = own.get("NDA_LLADDR") if state & _NUD_HAS_MAC else None
    neighbour = Neighbour(MacAddress(mac.lower()) if mac else None, failed=bool(state & _NUD_FAILED))
    return message["ifindex"], ip_address(own["NDA_DST"]), neighbour
