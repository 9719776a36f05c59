"""One endpoint as it was written, key by key, and the making of an `Endpoint` from it.

A wg-quick file and a set of variables both become `Fields`; from there on there is one way to read and judge them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from sidecar.config import values
from sidecar.config.mistakes import Mistakes, UnusableError, shown
from sidecar.config.reach import Reach, judge_reach
from sidecar.core.model import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sidecar.core.model import Address, Interface, Network, PublicKey, Secret

T = TypeVar("T")

REMEDIES = {
    "PrivateKey": "add your private key",
    "Address": "add the tunnel address that your provider gave you, such as 10.64.0.2/32",
    "PublicKey": "add the server's public key",
    "Endpoint": "add the server's address and port, such as 203.0.113.1:51820",
    "EndpointAddress": "add the server's address, such as 203.0.113.1",
    "EndpointPort": "add the server's port, such as 51820",
    "AllowedIPs": "add what may go through the tunnel; everything is 0.0.0.0/0, ::/0",
}
"""What to do about a required key that is missing; the other keys are optional."""

RESOLVERS_READ = 3
"""Source: resolv.conf(5), MAXNS: the resolver reads no more than three."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One value as it was written.

    Attributes:
        place: the file and line, or the variable.
    """

    place: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fields:
    """Everything that was written about one endpoint.

    Attributes:
        name: what the endpoint will be called.
        source: where it all stands, for what is missing and so has no line.
        titles: each key that this source can have, and what it is called there.
        entries: what was written, by key; repeated keys have several.
    """

    name: str
    source: str
    titles: Mapping[str, str]
    entries: Mapping[str, tuple[Entry, ...]]

    def place(self, *keys: str) -> str:
        """Return where the first of `keys` that was written stands."""
        for key in keys:
            for entry in self.entries.get(key, ()):
                return entry.place
        return self.source


@dataclass(frozen=True, slots=True)
class Draft:
    """An endpoint that is right by itself, with the tunnel addresses that it was written with."""

    endpoint: Endpoint
    addresses: tuple[Interface, ...]
    fields: Fields


def draft(fields: Fields, mistakes: Mistakes, warnings: list[str]) -> Draft | None:
    """Make an endpoint of `fields`; None if that took a mistake, which is then in `mistakes`."""
    found = Mistakes()
    made = _Reader(fields, found, warnings).draft()
    mistakes.extend(found)
    return None if found else made


class _Reader:
    """Reads the values one by one, and keeps going after a mistake."""

    def __init__(self, fields: Fields, mistakes: Mistakes, warnings: list[str]) -> None:
        self._fields = fields
        self._mistakes = mistakes
        self._warnings = warnings

    def draft(self) -> Draft | None:
        private_key = self._one("PrivateKey", values.private_key)
        found_before = len(self._mistakes)
        addresses = self._addresses()
        addresses_hold = len(self._mistakes) == found_before
        dns = self._dns()
        mtu_bytes = self._one("MTU", values.mtu_bytes)
        public_key = self._one("PublicKey", values.public_key)
        preshared_key = self._preshared_key()
        endpoint = self._endpoint()
        allowed_ips = self._allowed_ips()
        persistent_keepalive_s = self._one("PersistentKeepalive", values.persistent_keepalive_s)
        if not (private_key and addresses and addresses_hold and public_key and endpoint and allowed_ips):
            # What depends on a wrong address would only be told as a second mistake, with a remedy that misleads.
            return None
        self._require_distinct(public_key, private_key, preshared_key)
        reach = Reach(self._fields.place, addresses, allowed_ips, dns, endpoint[0], mtu_bytes)
        kept = judge_reach(reach, self._mistakes, self._warnings)
        made = Endpoint(
            name=self._fields.name,
            address=endpoint[0],
            port=endpoint[1],
            public_key=public_key,
            private_key=private_key,
            preshared_key=preshared_key,
            persistent_keepalive_s=persistent_keepalive_s,
            allowed_ips=kept,
            dns=dns,
            mtu_bytes=mtu_bytes,
        )
        return Draft(made, addresses, self._fields)

    def _one(self, key: str, parse: Callable[[str], T]) -> T | None:
        """Read a key that may stand once; None if it is absent or wrong."""
        entries = self._fields.entries.get(key, ())
        if not entries:
            if key in REMEDIES and key in self._fields.titles:
                self._mistakes.add(self._fields.source, f"{self._fields.titles[key]} is missing", REMEDIES[key])
            return None
        if len(entries) > 1:
            got = f"{self._title(key)} was given before ({entries[0].place})"
            self._mistakes.add(entries[1].place, got, "keep one of them")
            return None
        return self._parsed(key, entries[0].place, entries[0].text, parse)

    def _many(self, key: str, parse: Callable[[str], T]) -> list[tuple[str, T]]:
        """Read a key that may stand repeatedly, each time with a list; the words come with their places."""
        entries = self._fields.entries.get(key, ())
        if not any(values.words_of(entry.text) for entry in entries):
            self._one(key, parse)
            return []
        found = []
        for entry in entries:
            for word in values.words_of(entry.text):
                value = self._parsed(key, entry.place, word, parse)
                if value is not None:
                    found.append((entry.place, value))
        return found

    def _parsed(self, key: str, place: str, text: str, parse: Callable[[str], T]) -> T | None:
        try:
            return parse(text)
        except UnusableError as error:
            self._mistakes.add(place, f"{self._title(key)}: {error.got}", error.remedy)
            return None

    def _title(self, key: str) -> str:
        return self._fields.titles[key]

    def _addresses(self) -> tuple[Interface, ...]:
        found: list[Interface] = []
        for place, address in self._many("Address", values.interface):
            if any(address.ip == other.ip for other in found):
                got = f"{self._title('Address')}: {address.ip} is there twice"
                self._mistakes.add(place, got, "keep one of them")
            else:
                found.append(address)
        return tuple(found)

    def _dns(self) -> tuple[Address, ...]:
        found: list[Address] = []
        for place, word in self._many("DNS", lambda text: text):
            if values.is_search_domain(word):
                self._warnings.append(f"{place}: the search domain {shown(word)} is ignored; use full names instead")
                continue
            address = self._parsed("DNS", place, word, values.unicast)
            if address is not None and address not in found:
                found.append(address)
        if not found:
            place, title = self._fields.place("DNS"), self._fields.titles["DNS"]
            self._warnings.append(f"{place}: there is no {title}, so workloads can resolve no names; name a resolver")
        if len(found) > RESOLVERS_READ:
            self._warnings.append(f"{self._fields.place('DNS')}: resolvers after the third are not asked")
        return tuple(found)

    def _preshared_key(self) -> Secret | None:
        before = bool(self._mistakes)
        key = self._one("PresharedKey", values.preshared_key)
        if key is None and self._fields.entries.get("PresharedKey") and bool(self._mistakes) == before:
            place = self._fields.place("PresharedKey")
            self._warnings.append(f"{place}: a preshared key of zeroes is none; remove it to silence this")
        return key

    def _endpoint(self) -> tuple[Address, int] | None:
        if "Endpoint" in self._fields.titles:
            return self._one("Endpoint", values.endpoint)
        address = self._one("EndpointAddress", values.endpoint_address)
        port = self._one("EndpointPort", values.port)
        return (address, port) if address and port else None

    def _allowed_ips(self) -> tuple[Network, ...]:
        found: list[Network] = []
        for place, (network, was_masked) in self._many("AllowedIPs", values.network):
            if was_masked:
                self._warnings.append(f"{place}: host bits are masked away, as WireGuard does: {network}")
            if network not in found:
                found.append(network)
        return tuple(found)

    def _require_distinct(self, public_key: PublicKey, private_key: Secret, preshared_key: Secret | None) -> None:
        """Refuse a secret where the public key belongs: a public key is shown in status."""
        secrets = {"PrivateKey": private_key, "PresharedKey": preshared_key}
        for key, secret in secrets.items():
            if secret is not None and secret.reveal() == public_key:
                got = f"{self._title('PublicKey')} is the same as {self._title(key)}"
                remedy = "put in the server's public key; if the secret was published, have a new one made"
                self._mistakes.add(self._fields.place("PublicKey"), got, remedy)
