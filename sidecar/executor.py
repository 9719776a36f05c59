"""Effect to driver call. A failure comes back as an observation; nothing is decided here."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, assert_never

from sidecar.core.messages import (
    Announce,
    ApplyPolicy,
    ConfigurePeer,
    Effect,
    EffectFailed,
    EnsureCapture,
    EnsureDevice,
    EnsureResolver,
    EnsureRoutes,
    FrameSeen,
    HardStop,
    HoldQueues,
    LowerUplinks,
    Observation,
    Probe,
    Probed,
    RaiseUplinks,
    Rebind,
    Reply,
    ResolveNextHops,
    SaveState,
)
from sidecar.core.model import Health
from sidecar.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.core.sights import Frame, PeerSight
    from sidecar.ports import Drivers


class Executor:
    """Carries out effects, one at a time, in the loop's thread; only probes wait for their answer elsewhere.

    Args:
        drivers: the edges.
        clock: seconds on the clock of all observations.
        observe: takes observations that arrive later (answers to probes, frames seen); called from other threads.
        reply: takes the answer to an operator's request.
        crashed: takes what no driver may raise, from another thread, so that the loop stops on it.
    """

    def __init__(
        self,
        drivers: Drivers,
        clock: Callable[[], float],
        observe: Callable[[Observation], None],
        reply: Callable[[Reply], None],
        crashed: Callable[[BaseException], None],
    ) -> None:
        self._drivers = drivers
        self._clock = clock
        self._observe = observe
        self._reply = reply
        self._crashed = crashed
        self._prober = ThreadPoolExecutor(max_workers=1, thread_name_prefix="probe")

    def execute(self, effect: Effect) -> EffectFailed | None:
        """Carry out one effect; return what failed, or None."""
        try:
            self._dispatch(effect)
        except DriverError as error:
            return EffectFailed(self._clock(), effect, str(error))
        return None

    def close(self) -> None:
        """Wait for nothing: a probe under way ends by its own time limit."""
        self._prober.shutdown(wait=False, cancel_futures=True)

    def _dispatch(self, effect: Effect) -> None:  # noqa: C901, PLR0912 - one case per effect, and mypy checks none is missing
        drivers = self._drivers
        match effect:
            case ApplyPolicy(policy):
                drivers.lock.apply(policy)
            case EnsureDevice(device, addresses, mtu_bytes):
                drivers.tunnel.create(device)
                drivers.links.configure_device(device, addresses, mtu_bytes)
            case ConfigurePeer(device, endpoint, listen_port, fwmark):
                drivers.tunnel.configure(device, endpoint, listen_port, fwmark)
            case Rebind(device, listen_port):
                drivers.tunnel.rebind(device, listen_port)
            case EnsureRoutes(routes, remove):
                drivers.links.ensure_routes(routes, remove)
            case ResolveNextHops(paths):
                drivers.links.resolve(paths)
            case EnsureResolver(nameservers):
                drivers.resolver.write(nameservers)
            case EnsureCapture(policy):
                drivers.capture.ensure(policy, self._on_frame)
            case HoldQueues(devices):
                drivers.xdp_hold.hold(devices)
            case Probe():
                self._prober.submit(self._probe, effect).add_done_callback(self._surface)
            case SaveState(persisted):
                drivers.state_store.save(persisted)
            case HardStop():
                self._hard_stop(effect)
            case RaiseUplinks(devices):
                drivers.links.raise_(devices)
            case LowerUplinks(devices):
                drivers.links.lower(devices)
            case Announce():
                drivers.events.append(effect)
            case Reply():
                self._reply(effect)
            case _:
                assert_never(effect)

    def _hard_stop(self, effect: HardStop) -> None:
        """Try every part, whatever the others do; then say together what failed.

        Raises:
            DriverError: at least one part failed.
        """
        drivers, latch = self._drivers, effect.persisted.latch
        parts: list[Callable[[], object]] = [
            lambda: drivers.lock.apply(effect.policy),
            lambda: drivers.state_store.save(effect.persisted),
            lambda: drivers.links.lower(effect.policy.devices),
            lambda: drivers.workloads.tell(effect.on_leak),
        ]
        if latch is not None:
            parts.append(lambda: drivers.evidence.save(latch))
        failures = [failure for part in parts if (failure := _attempt(part)) is not None]
        if failures:
            raise DriverError(
                attempted="hard stop",
                got="; ".join(failures),
                remedy="everything else of it was done; see to these parts by hand",
            )

    def _on_frame(self, frame: Frame) -> None:
        self._observe(FrameSeen(self._clock(), frame))

    def _probe(self, effect: Probe) -> None:
        try:
            health, detail = self._drivers.prober.probe(effect.targets, effect.device, effect.timeout_s)
        except DriverError as error:
            health, detail = Health.UNKNOWN, str(error)
        self._observe(Probed(self._clock(), effect.cycle, health, detail, self._peer(effect.device)))

    def _surface(self, done: Future[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self._crashed(error)

    def _peer(self, device: str) -> PeerSight | None:
        try:
            sight = self._drivers.tunnel.inspect(device)
        except DriverError:
            return None  # the survey of this cycle says the same, with words
        return sight.peer if sight else None


def _attempt(part: Callable[[], object]) -> str | None:
    try:
        part()
    except DriverError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - a mistake of ours in one part must not cost the others
        return f"a mistake of ours: {error!r}"
    return None
