"""What must hold whatever happens: the design written a second time, without asking the core what it allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.messages import (
    Announce,
    ApplyPolicy,
    ConfigurePeer,
    Converged,
    EffectFailed,
    EnsureDevice,
    EnsureRoutes,
    FrameSeen,
    HardStop,
    HoldQueues,
    LowerUplinks,
    Probe,
    Probed,
    ProofRequested,
    RaiseUplinks,
    Rebind,
    Replanned,
    Reply,
    ResolveNextHops,
    SaveState,
    Started,
    Surveyed,
    SwitchRequested,
    UnlockRequested,
)
from sidecar.core.model import Health
from tests import builders as a
from tests.property.counting import Count

if TYPE_CHECKING:
    from sidecar.core.killswitch import Policy
    from sidecar.core.messages import Effect, Observation
    from sidecar.core.model import Plan
    from sidecar.core.state import State
    from tests.property.world import World

THRESHOLD = 3
PROOF_S = 60.0
STRANGER = a.stray_frame().destination_address
PERMIT_LESS = (Announce, LowerUplinks)
"""What a halted machine may ask for, besides a sealed policy, a note of the latch and a refusal."""

ACTS = (ConfigurePeer, EnsureDevice, EnsureRoutes, HardStop, Probe, Rebind, ResolveNextHops, RaiseUplinks, LowerUplinks)
"""What a look without sight is no ground for."""


class Specification(Count):
    """Watches every step and every effect. Counts for itself, and remembers where the tunnel has been."""

    def __init__(self) -> None:
        super().__init__()
        self.floor = 0
        self.unnoted = False
        self.failovers = 0
        self.proof_until_s: float | None = None

    # --- what the watchdog's loop tells -----------------------------------------------------------------------------

    def restarted(self, world: World) -> None:
        kept, plan = world.saved, world.plan
        self.halted = kept is not None and kept.latch is not None
        is_same = kept is not None and kept.list_digest == plan.digest and kept.active in names(plan)
        index = names(plan).index(kept.active) if is_same and kept and kept.active else 0
        if self.unnoted or not is_same:
            self.floor = index
        self.unnoted = False
        goes_on = kept is not None and (is_same or not plan.endpoints)  # a broken list may turn out to be the same
        self.bad_cycles = min(kept.bad_cycles, THRESHOLD - 1) if goes_on and kept else 0
        self._forget()
        self.is_excused = self.is_refused = self.has_looked = False
        self.arrived_at_s = world.at_s
        self.proof_until_s = None

    def stepped(self, world: World, before: State, observation: Observation, effects: tuple[Effect, ...]) -> None:
        """Hold one step against the promises, before anything of it is carried out."""
        after, plan = world.state, world.plan
        self._a_leak_halts_at_once(world, observation, effects)
        self._only_an_unlock_with_the_cause_gone_leaves_halted(world, observation, effects)
        assert (after.latch is not None) is self.halted
        if self.halted:
            self._nothing_opens(observation, effects)
        if isinstance(observation, Surveyed) and observation.survey.unknown:
            self._what_is_not_seen_opens_nothing_and_is_not_good(before, after, observation, effects)
        self._only_a_proof_leaves_a_device_out(world, observation, effects)
        self._judge(before, after, observation, plan)
        self._the_endpoint_changes_only_for_a_reason(before, after, observation, effects, plan)
        assert self.halted or after.run.exhausted or after.run.bad_cycles <= self.bad_cycles
        self._every_order_is_for_the_active_endpoint(after, effects, plan)
        self._secrets_do_not_show(after, effects, plan)
        assert sum(isinstance(effect, Reply) for effect in effects) == isinstance(
            observation, Converged | SwitchRequested | UnlockRequested | ProofRequested
        )

    def carried_out(self, world: World, effect: Effect, *, failed: bool) -> None:
        """Hold the kernel and the disk against the promises, after one effect: a crash may come right now."""
        self.unnoted |= failed and isinstance(effect, SaveState | HardStop)
        if isinstance(effect, HoldQueues):
            self.is_refused, self.is_excused = failed, failed or self.is_excused
        if failed:
            return
        if isinstance(effect, ApplyPolicy | HardStop):
            assert world.kernel.policy == effect.policy
            assert effect.policy.is_sealed or self.has_looked, "opened without knowing which devices to lock"
            permits_only_what_is_configured(effect.policy, world.plan)
        if isinstance(effect, HardStop):
            assert world.kernel.policy.is_sealed
            assert world.saved is not None
            assert world.saved.latch is not None
        if isinstance(effect, ConfigurePeer):
            self._never_back(effect.endpoint.name, world.plan)
            assert not self.halted
        if isinstance(effect, SaveState) and effect.persisted.active in names(world.plan):
            self._never_back(effect.persisted.active or "", world.plan)

    # --- leaks and halts --------------------------------------------------------------------------------------------

    def _a_leak_halts_at_once(self, world: World, observation: Observation, effects: tuple[Effect, ...]) -> None:
        stops = [effect for effect in effects if isinstance(effect, HardStop)]
        if isinstance(observation, FrameSeen) and observation.frame.destination_address == STRANGER:
            assert len(stops) == (not self.halted)
            assert self.halted or effects[0] is stops[0]
        elif not (isinstance(observation, EffectFailed) and isinstance(observation.effect, ApplyPolicy)):
            assert not stops, "nothing but a leak halts"
        for stop in stops:
            assert world.is_flushed or isinstance(observation, FrameSeen)
            assert stop.policy.is_sealed
            assert stop.persisted.latch is not None
            self.halted = True
            self.bad_cycles = 0

    def _only_an_unlock_with_the_cause_gone_leaves_halted(
        self, world: World, observation: Observation, effects: tuple[Effect, ...]
    ) -> None:
        if not isinstance(observation, UnlockRequested):
            return
        if not any(isinstance(effect, Reply) and effect.accepted for effect in effects):
            return
        assert self.halted
        assert world.kernel.policy.is_sealed
        assert not any(link.up for link in world.kernel.links.values())
        assert not any(route.device in world.kernel.links for route in world.kernel.routes)
        assert not observation.survey.unknown
        self.halted = False
        self._forget()

    def _only_a_proof_leaves_a_device_out(
        self, world: World, observation: Observation, effects: tuple[Effect, ...]
    ) -> None:
        """One device, by one name, that leads nowhere; for a minute; while it can be seen; and never while halted."""
        if isinstance(observation, ProofRequested) and any(
            isinstance(each, Reply) and each.accepted for each in effects
        ):
            assert not self.halted or observation.survey is None
            self.proof_until_s = observation.at_s + PROOF_S if observation.survey is not None else None
        if self.halted:
            self.proof_until_s = None
        for effect in effects:
            if isinstance(effect, ApplyPolicy | HardStop) and effect.policy.proof_device is not None:
                assert effect.policy.proof_device == "proof0"
                assert "proof0" not in effect.policy.devices
                assert not effect.policy.is_sealed
                assert self.proof_until_s is not None
                assert not isinstance(observation, Surveyed) or observation.at_s < self.proof_until_s
                assert not isinstance(observation, Surveyed) or not observation.survey.unknown
                assert all(link.kind == "tun" for device, link in world.kernel.links.items() if device == "proof0")

    def _nothing_opens(self, observation: Observation, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case ApplyPolicy(policy) | HardStop(policy):
                    assert policy.is_sealed
                    assert not policy.flows
                    assert not policy.resolutions
                case SaveState(persisted):
                    assert persisted.latch is not None
                case Reply():
                    assert not effect.accepted or isinstance(observation, ProofRequested)  # one may always end
                case _:
                    assert isinstance(effect, PERMIT_LESS), effect

    def _what_is_not_seen_opens_nothing_and_is_not_good(
        self, before: State, after: State, observation: Surveyed, effects: tuple[Effect, ...]
    ) -> None:
        assert not [effect for effect in effects if isinstance(effect, ACTS)]
        for effect in effects:
            if isinstance(effect, ApplyPolicy):
                assert before.policy is not None
                assert set(effect.policy.flows) <= set(before.policy.flows)
                assert set(effect.policy.resolutions) <= set(before.policy.resolutions)
                assert effect.policy.tunnel_device == before.policy.tunnel_device
                assert set(effect.policy.devices) >= set(before.policy.devices)
        assert after.run.bad_cycles <= before.run.bad_cycles
        if observation.is_cycle:
            assert after.health is not Health.ALIVE

    # --- health and failover ----------------------------------------------------------------------------------------

    def _the_endpoint_changes_only_for_a_reason(
        self, before: State, after: State, observation: Observation, effects: tuple[Effect, ...], plan: Plan
    ) -> None:
        accepted = any(isinstance(effect, Reply) and effect.accepted for effect in effects)
        if isinstance(observation, Converged | SwitchRequested):
            if accepted:
                wanted = observation.name if isinstance(observation, SwitchRequested) else names(plan)[0]
                assert after.active == wanted
                self.floor = 0
                self._arrive(observation.at_s, effects, after)
            else:
                assert after.active == before.active
        elif isinstance(observation, Started | Replanned):
            self._adopted(before, after, observation, plan)
        elif after.active != before.active:
            assert isinstance(observation, Surveyed | Probed)
            assert not self.halted
            assert self.bad_cycles >= THRESHOLD, f"left after {self.bad_cycles} counted bad cycles"
            assert names(plan).index(after.active or "") == names(plan).index(before.active or "") + 1
            self.failovers += 1
            self._arrive(observation.at_s, effects, after)

    def _adopted(self, before: State, after: State, observation: Started | Replanned, plan: Plan) -> None:
        if not plan.endpoints:
            return
        kept = observation.persisted if isinstance(observation, Started) else before.persisted()
        assert after.list_digest == plan.digest
        if kept is not None and kept.list_digest == plan.digest and kept.active in names(plan):
            assert after.active == kept.active
        else:
            assert after.active == names(plan)[0]
            self.floor = self.bad_cycles = 0
        if isinstance(observation, Replanned):
            self._forget()
            self.arrived_at_s = observation.at_s

    def _arrive(self, at_s: float, effects: tuple[Effect, ...], after: State) -> None:
        """A move: the lock first, then the note of it, then one write."""
        moving = [effect for effect in effects if isinstance(effect, ApplyPolicy | SaveState | ConfigurePeer)][-3:]
        lock, note, switch = moving
        assert isinstance(lock, ApplyPolicy)
        assert lock.policy == after.policy
        assert isinstance(note, SaveState)
        assert note.persisted.active == after.active
        assert isinstance(switch, ConfigurePeer)
        assert switch.endpoint.name == after.active
        self.bad_cycles, self.rx_bytes, self.arrived_at_s = 0, None, at_s

    def _never_back(self, name: str, plan: Plan) -> None:
        index = names(plan).index(name)
        assert index >= self.floor, f"back to {name}"
        self.floor = index

    # --- orders -----------------------------------------------------------------------------------------------------

    def _every_order_is_for_the_active_endpoint(self, after: State, effects: tuple[Effect, ...], plan: Plan) -> None:
        for effect in effects:
            if isinstance(effect, ConfigurePeer):
                assert effect.endpoint.name == after.active
                assert effect.endpoint in plan.endpoints
                assert effect.fwmark == a.FWMARK
            if isinstance(effect, ConfigurePeer | Rebind):
                assert effect.listen_port in a.LISTEN_PORTS
            if isinstance(effect, Probe):
                assert effect.cycle == after.cycle
        last = [effect.persisted for effect in effects if isinstance(effect, SaveState)][-1:]
        assert all(persisted.active == after.active and persisted.latch == after.latch for persisted in last)

    def _secrets_do_not_show(self, after: State, effects: tuple[Effect, ...], plan: Plan) -> None:
        shown = repr(after) + repr(effects)
        assert str(a.FWMARK) not in shown
        for endpoint in plan.endpoints:
            assert endpoint.private_key.reveal() not in shown
            assert endpoint.preshared_key is None or endpoint.preshared_key.reveal() not in shown


def names(plan: Plan) -> list[str]:
    return [endpoint.name for endpoint in plan.endpoints]


def permits_only_what_is_configured(policy: Policy, plan: Plan) -> None:
    """The policy in force names the tunnel and flows to configured endpoints, or nothing."""
    if policy.is_sealed:
        assert not policy.flows
        assert not policy.resolutions
        assert not policy.tunnel_addresses
        return
    assert policy.tunnel_device == "wg0"
    assert set(policy.listen_ports) <= set(a.LISTEN_PORTS)
    configured = {endpoint.address: endpoint.port for endpoint in plan.endpoints}
    for flow in policy.flows:
        assert configured[flow.endpoint_address] == flow.endpoint_port
        assert flow.source_mac == a.OWN_MAC
        is_near = flow.endpoint_address in a.ip_network("10.0.0.0/24")
        assert flow.next_hop_mac == (a.STRANGER_MAC if is_near else a.GATEWAY_MAC)
    assert {resolution.next_hop for resolution in policy.resolutions} <= {a.GATEWAY, *configured}
