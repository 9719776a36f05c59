"""Giving a device its addresses, its MTU and its state, changing only what differs."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final

from sidecar.drivers.netns.parsing import IFF_UP, IPV6, attributes, family_of, parse_addresses
from sidecar.drivers.netns.rtnetlink import GONE, ipv6_remedy
from sidecar.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sidecar.core.model import Interface
    from sidecar.drivers.netns.rtnetlink import Rtnetlink

_IFA_F_NODAD: Final = 0x02
"""A tunnel has no neighbours to ask for duplicates, and the asking would hold the address back for a second.

Source: <linux/if_addr.h>.
"""

_IPV6_MIN_MTU_BYTES: Final = 1280
"""Below this the kernel takes IPv6 off the link. Source: RFC 8200 section 5."""


def configure(netlink: Rtnetlink, device: str, addresses: tuple[Interface, ...], mtu_bytes: int) -> None:
    """Give `device` exactly `addresses` beside its link-local ones, and the MTU, and set it up. Raises LinkError."""
    link = netlink.link(device)
    if link is None:
        raise LinkError(attempted=f"configure {device}", got="no such device", remedy="create the tunnel first")
    index: int = link["index"]
    for interface in parse_addresses(netlink.addresses(), index):
        if interface not in addresses:
            attempted = f"remove the address {interface} from {device}"
            netlink.write(attempted, "addr del", _fields(interface, index), fine=GONE)
    if attributes(link)["IFLA_MTU"] != mtu_bytes or not link["flags"] & IFF_UP:
        attempted = f"set {device} up with an MTU of {mtu_bytes} bytes"
        netlink.write(attempted, "link set", {"index": index, "mtu": mtu_bytes, "state": "up"})
    # Read again: an IPv4 address that went took its secondary addresses with it.
    present = parse_addresses(netlink.addresses(), index)
    for interface in addresses:
        if interface not in present:
            add(netlink, device, index, interface, _remedy(interface, mtu_bytes))


def add(netlink: Rtnetlink, device: str, index: int, interface: Interface, remedy: str | None = None) -> None:
    """Add one address. Raises LinkError."""
    nodad = {"flags": _IFA_F_NODAD} if interface.version == IPV6 else {}
    fields = {**_fields(interface, index), **nodad}
    netlink.write(
        f"add the address {interface} to {device}",
        "addr add",
        fields,
        fine=frozenset({errno.EEXIST}),
        remedy=remedy or (ipv6_remedy(device) if interface.version == IPV6 else None),
    )


def ipv6_of(messages: Iterable[Mapping[str, Any]], index: int) -> tuple[Interface, ...]:
    """Return the IPv6 addresses of a link, without link-local ones."""
    return tuple(interface for interface in parse_addresses(messages, index) if interface.version == IPV6)


def _fields(interface: Interface, index: int) -> dict[str, object]:
    return {
        "index": index,
        "family": family_of(interface),
        "address": str(interface.ip),
        "prefixlen": interface.network.prefixlen,
    }


def _remedy(interface: Interface, mtu_bytes: int) -> str | None:
    if interface.version == IPV6 and mtu_bytes < _IPV6_MIN_MTU_BYTES:
        return f"IPv6 needs an MTU of {_IPV6_MIN_MTU_BYTES} bytes or more; raise MTU, or leave IPv6 out"
    return None
