"""The values of a WireGuard configuration, each read from its text as wg(8) reads it, or refused with a remedy.

Every function raises `UnusableError`, and none of them repeats a secret in it.
"""

from __future__ import annotations

import re
from ipaddress import (
    IPv4Address,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import TYPE_CHECKING

from sidecar.config.mistakes import UnusableError, shown
from sidecar.core.model import PublicKey, Secret

if TYPE_CHECKING:
    from sidecar.core.model import Address, Interface, Network

KEY_CHARACTERS = 44

LOWEST_MTU_BYTES = 576
"""Source: RFC 791 section 3.1, the datagram that every IPv4 host must accept."""

LOWEST_IPV6_MTU_BYTES = 1280
"""Source: RFC 8200 section 5. The kernel takes IPv6 away from a link with less."""

WIREGUARD_OVERHEAD_BYTES = 80
"""Outer IPv6 header 40, UDP 8, WireGuard's own 32.

Source: WireGuard protocol, "Subsequent Messages: Transport Data Messages"; wg-quick(8) takes the same off.
"""

HIGHEST_MTU_BYTES = 65535 - WIREGUARD_OVERHEAD_BYTES

_KEY = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")
"""32 bytes in base64. The last digit carries four bits of the key, and its two spare bits must be zero, as wg requires.

Source: wireguard-tools, src/encoding.c, key_from_base64.
"""

_ZERO_KEY = "A" * 43 + "="
_PREFIX = re.compile(r"(?P<address>[^/]+)(?:/(?P<length>[0-9]{1,3}))?")
_BRACKETED = re.compile(r"\[(?P<address>[^\]]*)\]:(?P<port>.*)")
_GO_DURATION = re.compile(r"(?:(?P<h>[0-9]{1,5})h)?(?:(?P<m>[0-9]{1,5})m)?(?:(?P<s>[0-9]{1,5})s)?")
_HOSTNAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9._-]{1,253}")


def private_key(text: str) -> Secret:
    """Read our private key."""
    value = _key(text)
    if value == _ZERO_KEY:
        raise UnusableError("the key is all zeroes, which WireGuard takes for no key", "put in your own private key")
    return Secret(value)


def preshared_key(text: str) -> Secret | None:
    """Read a preshared key; None for all zeroes, which is how WireGuard writes that there is none."""
    value = _key(text)
    return None if value == _ZERO_KEY else Secret(value)


def public_key(text: str) -> PublicKey:
    """Read the server's public key. It is shown in status, so a slip that puts a secret here is checked elsewhere."""
    value = _key(text)
    if value == _ZERO_KEY:
        raise UnusableError("the key is all zeroes, which no server has", "put in the server's public key")
    return PublicKey(value)


def _key(text: str) -> str:
    remedy = f"copy the whole key: {KEY_CHARACTERS} characters that end in ="
    if len(text) != KEY_CHARACTERS:
        raise UnusableError(f"a WireGuard key has {KEY_CHARACTERS} characters, this has {len(text)}", remedy)
    if not _KEY.fullmatch(text):
        raise UnusableError("this is not 32 bytes in base64", remedy)
    return text


def words_of(text: str) -> tuple[str, ...]:
    """Split a comma-separated list; empty items are left out."""
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


def number(text: str, low: int, high: int, what: str) -> int:
    """Read a whole number in decimal digits, both ends included."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise UnusableError(f"{shown(text)} is not {what}", f"use a whole number from {low} to {high}")
    return int(text)


def port(text: str) -> int:
    """Read a UDP port."""
    return number(text, 1, 65535, "a port")


def mtu_bytes(text: str) -> int:
    """Read the tunnel's MTU."""
    return number(text, LOWEST_MTU_BYTES, HIGHEST_MTU_BYTES, "an MTU")


def persistent_keepalive_s(text: str) -> int | None:
    """Read an interval in seconds; None for `off` and 0. Takes `25s` and `1m` too, as gluetun does."""
    if text.lower() == "off":
        return None
    parts = _GO_DURATION.fullmatch(text)
    if parts and text:
        text = str(sum(int(parts[unit] or 0) * seconds for unit, seconds in (("h", 3600), ("m", 60), ("s", 1))))
    return number(text, 0, 65535, "a keepalive interval") or None


def endpoint(text: str) -> tuple[Address, int]:
    """Read `address:port`, an IPv6 address in brackets."""
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed:
        return endpoint_address(bracketed["address"]), port(bracketed["port"])
    host, colon, port_text = text.rpartition(":")
    if ":" in host:
        raise UnusableError(
            f"{shown(text)} does not say where the IPv6 address ends",
            "put the address in brackets: [2001:db8::1]:51820",
        )
    if not colon:
        raise UnusableError(f"{shown(text)} has no port", "write address:port, such as 203.0.113.1:51820")
    return endpoint_address(host), port(port_text)


def endpoint_address(text: str) -> Address:
    """Read the address of a server: unicast, and not of this host or of one link."""
    if _HOSTNAME.fullmatch(text):
        raise UnusableError(
            f"{shown(text)} is a host name",
            "use an address (for now): nothing can resolve a name before the tunnel is up",
        )
    address = unicast(text)
    if address.is_link_local:
        raise UnusableError(f"{address} is a link-local address", "use the server's public address")
    return address


def unicast(text: str) -> Address:
    """Read an address that one host beyond this one can have."""
    try:
        address = ip_address(text)
    except ValueError:
        raise UnusableError(f"{shown(text)} is not an IP address", "write an IPv4 or IPv6 address") from None
    kind = _not_unicast(address)
    if kind:
        raise UnusableError(f"{address} is {kind}", "use the address of one host")
    return address


def _not_unicast(address: Address) -> str | None:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return f"an IPv4 address in IPv6 clothing ({address.ipv4_mapped})"
        if address.scope_id is not None:
            return "bound to one link by its %scope"
    if address.is_unspecified or (isinstance(address, IPv4Address) and address.packed[0] == 0):
        return "the unspecified address"
    if address.is_loopback:
        return "a loopback address"
    if address.is_multicast:
        return "a multicast address"
    # RFC 1112 section 4: class E, with the broadcast address. IPv6's "reserved" holds NAT64's prefix, which is in use.
    if isinstance(address, IPv4Address) and address.is_reserved:
        return "a reserved address"
    return None


def interface(text: str) -> Interface:
    """Read a tunnel address; without a length it stands alone (/32, /128), as in wg-quick."""
    address_text = _address_and_length(text)
    address = unicast(address_text)
    if isinstance(address, IPv6Address) and address.is_link_local:
        raise UnusableError(f"{address} is a link-local address", "remove it: the kernel makes one itself")
    try:
        parsed = ip_interface(text)
    except ValueError:
        raise _no_such_length(text) from None
    if parsed.network.prefixlen == 0:
        raise UnusableError(f"{parsed} would put every address on the link", "use the length that your provider gave")
    return parsed


def network(text: str) -> tuple[Network, bool]:
    """Read one of the allowed IPs; the flag says that host bits were set, which WireGuard masks away."""
    if text[:1] in {"+", "-"}:
        raise UnusableError(f"{shown(text)} is an incremental change", "write the networks themselves")
    address_text = _address_and_length(text)
    try:
        address = ip_address(address_text)
    except ValueError:
        raise UnusableError(f"{shown(text)} is not a network", "write networks such as 0.0.0.0/0, ::/0") from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise UnusableError(f"{shown(text)} is bound to one link by its %scope", "remove the scope")
    try:
        parsed = ip_network(text, strict=False)
    except ValueError:
        raise _no_such_length(text) from None
    return parsed, "/" in text and parsed.network_address != address


def _address_and_length(text: str) -> str:
    parts = _PREFIX.fullmatch(text)
    if not parts:
        raise UnusableError(f"{shown(text)} is not an address with a length", "write it as 10.64.0.2/32")
    return parts["address"]


def _no_such_length(text: str) -> UnusableError:
    return UnusableError(f"{shown(text)} has a length beyond its family's", "use 0 to 32, or 0 to 128 in IPv6")


def is_search_domain(text: str) -> bool:
    """Whether wg-quick would take this DNS entry for a search domain. Source: wg-quick(8), parse_options."""
    return not re.fullmatch(r"[0-9.]+", text) and ":" not in text


def is_ipv6(value: Address | Interface | Network) -> bool:
    """Whether this is of the IPv6 family."""
    return isinstance(value, IPv6Address | IPv6Interface | IPv6Network)
