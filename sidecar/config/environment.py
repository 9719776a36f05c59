"""One endpoint from variables: the names that gluetun's users already have.

Source: gluetun's documentation, "Wireguard options", "DNS options" and "Docker secrets".
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from sidecar.config.draft import Entry, Fields
from sidecar.config.values import words_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.config.mistakes import Mistakes
    from sidecar.config.variables import Variables

NAME = "environment"
"""What the endpoint is called."""

PREFIX = "WIREGUARD_"
FILE_SUFFIXES = ("_SECRETFILE", "_FILE")

VARIABLES: Mapping[str, str] = {
    "PrivateKey": "WIREGUARD_PRIVATE_KEY",
    "Address": "WIREGUARD_ADDRESSES",
    "MTU": "WIREGUARD_MTU",
    "PublicKey": "WIREGUARD_PUBLIC_KEY",
    "PresharedKey": "WIREGUARD_PRESHARED_KEY",
    "EndpointAddress": "WIREGUARD_ENDPOINT_IP",
    "EndpointPort": "WIREGUARD_ENDPOINT_PORT",
    "AllowedIPs": "WIREGUARD_ALLOWED_IPS",
    "PersistentKeepalive": "WIREGUARD_PERSISTENT_KEEPALIVE_INTERVAL",
}
"""Each key of a wg-quick file, and the variable that says the same."""

DNS_VARIABLE = "DNS_ADDRESS"
"""gluetun's name for the resolver. Alone it makes no endpoint, and beside files it says nothing."""

NOT_HONOURED: Mapping[str, str] = {
    "WIREGUARD_IMPLEMENTATION": "has no effect: set SIDECAR_TUNNEL_IMPLEMENTATION",
    "WIREGUARD_INTERFACE": "has no effect: set SIDECAR_TUNNEL_DEVICE",
}
"""Variables of gluetun whose loss changes nothing that matters; others are refused."""

DEFAULT_ALLOWED_IPS: Mapping[str, str] = {".": "0.0.0.0/0", ":": "::/0"}
"""Everything, by the character that shows a family. Only what the tunnel has an address for: nobody wrote the rest."""


def read_fields(variables: Variables, mistakes: Mistakes, warnings: list[str]) -> Fields | None:
    """Return the endpoint as the variables describe it; None if they describe none."""
    variables.require_known(PREFIX, (*VARIABLES.values(), *NOT_HONOURED), mistakes)
    warnings.extend(
        f"{name}: {why}" for name, why in NOT_HONOURED.items() if variables.entry(name, mistakes) is not None
    )
    entries = {
        key: (entry,) for key, name in VARIABLES.items() if (entry := variables.entry(name, mistakes)) is not None
    }
    if not entries:
        return None
    dns = _dns(variables, mistakes, warnings)
    if dns is not None:
        entries["DNS"] = (dns,)
    return Fields(NAME, "the environment", {**VARIABLES, "DNS": DNS_VARIABLE}, entries)


def with_defaults(fields: Fields) -> Fields:
    """Return `fields` with gluetun's default for what it does not ask its users to set."""
    if "AllowedIPs" in fields.entries:
        return fields
    addresses = "".join(entry.text for entry in fields.entries.get("Address", ()))
    networks = [network for mark, network in DEFAULT_ALLOWED_IPS.items() if mark in addresses]
    if not networks:
        # No address, or none that could be one: that is the mistake to tell, not this.
        networks = list(DEFAULT_ALLOWED_IPS.values())
    everything = Entry(f"the default of {VARIABLES['AllowedIPs']}", ", ".join(networks))
    return replace(fields, entries={**fields.entries, "AllowedIPs": (everything,)})


def _dns(variables: Variables, mistakes: Mistakes, warnings: list[str]) -> Entry | None:
    """Return the resolvers; gluetun's default is a resolver of its own on the loopback, which is not here."""
    entry = variables.entry(DNS_VARIABLE, mistakes)
    if entry is None:
        return None
    words = words_of(entry.text)
    kept = [word for word in words if not _is_loopback(word)]
    if len(kept) < len(words):
        warnings.append(f"{entry.place}: a loopback address is left out, there is no resolver here as in gluetun")
    return Entry(entry.place, ", ".join(kept)) if kept else None


def _is_loopback(word: str) -> bool:
    try:
        return ip_address(word).is_loopback
    except ValueError:
        return False
