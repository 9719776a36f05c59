"""One look at everything, for the core. What cannot be seen is said, and never guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sidecar.core.killswitch import sealed
from sidecar.core.sights import Survey, TunnelSight
from sidecar.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.core.killswitch import Uplink
    from sidecar.core.model import Address, Plan
    from sidecar.core.sights import Account
    from sidecar.core.state import State
    from sidecar.ports import Drivers

T = TypeVar("T")


def take(drivers: Drivers, state: State, plan: Plan) -> Survey:
    """Look at links, routes, the tunnel, the ruleset, the taps and resolv.conf, in a few milliseconds."""
    unknown: list[str] = []

    def see(look: Callable[[], T], blank: T) -> T:
        try:
            return look()
        except DriverError as error:
            unknown.append(str(error))
            return blank

    lock = drivers.lock.inspect(state.policy or sealed(()))
    nothing: tuple[Uplink, ...] = ()
    uplinks = see(lambda: drivers.links.uplinks(plan.device, _next_hops(state, plan)), nothing)
    return Survey(
        uplinks=uplinks,
        tunnel=see(lambda: _tunnel(drivers, plan.device), None),
        lock=lock,
        routes=see(drivers.links.routes, ()),
        watched=drivers.capture.watched(),
        nameservers=see(drivers.resolver.nameservers, ()),
        held=drivers.xdp_hold.held() if drivers.xdp_hold.is_supported() else None,
        accounts=_accounts(drivers, tuple(uplink.device for uplink in uplinks)),
        unknown=tuple(unknown),
    )


def _next_hops(state: State, plan: Plan) -> tuple[Address, ...]:
    """The addresses whose neighbour rows matter: endpoints (they may be on-link) and gateways we remember."""
    gateways = tuple(gateway for uplink in state.uplinks for gateway in uplink.gateways)
    return (*(endpoint.address for endpoint in plan.endpoints), *gateways)


def _tunnel(drivers: Drivers, device: str) -> TunnelSight | None:
    link = drivers.links.device(device)
    wireguard = drivers.tunnel.inspect(device) if link is not None else None
    return TunnelSight(link, wireguard) if link is not None and wireguard is not None else None


def _accounts(drivers: Drivers, devices: tuple[str, ...]) -> tuple[Account, ...]:
    """Read the accounts. Those that cannot be read are left out, which the core takes as UNKNOWN, and goes on."""
    try:
        return drivers.accounting.read(devices)
    except DriverError:
        return ()
