"""What the operator asked for, as values: endpoints, numbers, pins. Everything here is frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import NewType, NoReturn

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network

MacAddress = NewType("MacAddress", str)
"""Six lower-case hexadecimal octets with colons, as the kernel prints them."""

PublicKey = NewType("PublicKey", str)
"""A Curve25519 public key, 32 bytes in base64 (44 characters)."""


class Secret:
    """A value that no log, repr, format or pickle can show; `reveal` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself, for the one driver that must write it."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")


class Health(Enum):
    """Whether the tunnel carries traffic. UNKNOWN is never read as good."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


class LeakStatus(Enum):
    """Whether something left outside the tunnel. UNKNOWN is never read as good."""

    CLEAN = "clean"
    LEAKING = "leaking"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One WireGuard server: everything that changes, together, when the tunnel moves to it.

    Attributes:
        name: the file's stem, such as "10-primary"; unique in a plan.
        private_key: ours, 32 bytes in base64; providers may hand out one per server.
        preshared_key: None where the server uses none.
        persistent_keepalive_s: None means off.
        allowed_ips: what is routed into the tunnel.
        dns: the resolvers that are reached through the tunnel; empty means names do not resolve.
        mtu_bytes: None means derive it from the uplink.
    """

    name: str
    address: Address
    port: int
    public_key: PublicKey
    private_key: Secret
    preshared_key: Secret | None
    persistent_keepalive_s: int | None
    allowed_ips: tuple[Network, ...]
    dns: tuple[Address, ...]
    mtu_bytes: int | None


class ProbeKind(Enum):
    """How a probe asks for an answer through the tunnel."""

    DNS = "dns"
    ICMP = "icmp"


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """Something beyond the tunnel that answers. Any one answer of all targets shows that the tunnel carries traffic."""

    kind: ProbeKind
    address: Address


@dataclass(frozen=True, slots=True)
class Timing:
    """How often to look and how patient to be.

    Attributes:
        cycle_s: one look at everything.
        probe_timeout_s: how long a probe may stay unanswered; below `cycle_s`.
        threshold_cycles: this many bad cycles in a row mean failover.
        stall_cycles: a gap of more cycles than this between two looks voids older evidence (suspend, SIGSTOP).
        exhausted_first_retry_s: the first wait before the last endpoint is tried anew; doubles each time.
        exhausted_last_retry_s: where the doubling ends.
        wrap_hold_down_s: with `wrap`, how long the last endpoint is dead before the first is tried; doubles each lap.
    """

    cycle_s: float = 2.0
    probe_timeout_s: float = 1.0
    threshold_cycles: int = 3
    stall_cycles: int = 5
    exhausted_first_retry_s: float = 4.0
    exhausted_last_retry_s: float = 60.0
    wrap_hold_down_s: float = 60.0


class OnLeak(Enum):
    """What a hard stop does to joined containers, besides taking their network away."""

    SEAL = "seal"
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Pins:
    """What tells our outer packets from a forgery; drawn at random once per namespace and never shown.

    Attributes:
        fwmark: 32 bits, not zero; set on the tunnel's own socket.
        listen_ports: source ports the tunnel may use, all permitted from the start, so that a rebind changes no rule.
    """

    fwmark: int = field(repr=False)
    listen_ports: tuple[int, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole configuration, validated. No endpoint means: stay sealed, and `fault` says why.

    Attributes:
        endpoints: in the order of preference; forward only.
        addresses: the tunnel's own, shared by every endpoint.
        digest: SHA-256 in hexadecimal over the endpoint list; another digest is a changed configuration.
        fault: why there is nothing to run on; None in a usable plan.
        device: the tunnel's name.
        wrap: after the last endpoint, start again with the first (with hold-down). Off by default.
        rebind: try a fresh source port before moving to the next endpoint.
    """

    endpoints: tuple[Endpoint, ...]
    addresses: tuple[Interface, ...]
    probe_targets: tuple[ProbeTarget, ...]
    pins: Pins
    digest: str
    fault: str | None = None
    device: str = "wg0"
    timing: Timing = Timing()
    wrap: bool = False
    rebind: bool = True
    on_leak: OnLeak = OnLeak.SEAL

    def index_of(self, name: str) -> int | None:
        """Return the position of the endpoint called `name`; None where there is none."""
        return next((index for index, endpoint in enumerate(self.endpoints) if endpoint.name == name), None)

    @property
    def tunnel_addresses(self) -> tuple[Address, ...]:
        """The tunnel's addresses without their prefix lengths."""
        return tuple(interface.ip for interface in self.addresses)
