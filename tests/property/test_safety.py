"""Safety over any history: whatever happens, in whatever order, interrupted anywhere, `specification.py` holds."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from sidecar.core.messages import (
    ApplyPolicy,
    ConfigurePeer,
    EnsureCapture,
    EnsureDevice,
    EnsureRoutes,
    HardStop,
    Rebind,
    SaveState,
)
from tests import builders as a
from tests.property.machinery import PROOF, Link
from tests.property.specification import Specification
from tests.property.world import World

PLANS = {
    "three": a.plan(a.THREE),
    "one on-link between": a.plan((a.PRIMARY, a.ON_LINK, a.RESERVE)),
    "on-link first": a.plan((a.ON_LINK, a.PRIMARY)),
    "one": a.plan((a.BACKUP,)),
    "broken": a.plan((), digest="", fault="endpoints/10.conf: line 3: no key"),
}
ENDPOINTS = {endpoint.name: endpoint for endpoint in (*a.THREE, a.ON_LINK)}
FALLIBLE = (ApplyPolicy, SaveState, HardStop, ConfigurePeer, EnsureDevice, EnsureRoutes, EnsureCapture, Rebind)

crashes = st.none() | st.none() | st.integers(0, 12)
names = st.sampled_from(list(ENDPOINTS))


class Histories(RuleBasedStateMachine):
    """Few rules with many faces, so that time goes on about as often as something happens."""

    @initialize(plan=st.sampled_from(list(PLANS)), cycles=st.integers(0, 2))
    def begin(self, plan: str, cycles: int) -> None:
        self.specification = Specification()
        self.world = World(PLANS[plan], self.specification)
        for _ in range(cycles):
            self.world.cycle()

    # --- time goes on -----------------------------------------------------------------------------------------------

    @rule(count=st.integers(1, 4))
    def cycles(self, count: int) -> None:
        for _ in range(count):
            self.world.cycle()

    @rule(count=st.integers(1, 8))
    def cycles_with_traffic(self, count: int) -> None:
        for _ in range(count):
            self.world.traffic()
            self.world.cycle()

    @rule(name=names, count=st.integers(2, 4))
    def a_server_is_gone_for_some_cycles(self, name: str, count: int) -> None:
        self.world.down.add(name)
        for _ in range(count):
            self.world.cycle()
        self.world.down.discard(name)

    @rule(is_cycle=st.booleans(), lost=st.booleans(), crash_after=crashes)
    def look(self, *, is_cycle: bool, lost: bool, crash_after: int | None) -> None:
        self.world.look(is_cycle=is_cycle, lost=lost, crash_after=crash_after)

    @rule(crash_after=crashes)
    def probe_ends(self, crash_after: int | None) -> None:
        self.world.answer(crash_after)

    @rule(is_cycle=st.booleans())
    @precondition(lambda self: not self.world.broken)
    def look_and_all_is_as_it_should_be(self, *, is_cycle: bool) -> None:
        world = self.world
        world.look(is_cycle=is_cycle)
        world.look(is_cycle=is_cycle)  # a device had vanished between looking and locking, or queues came free
        assert world.state.policy == world.kernel.policy
        assert set(world.kernel.policy.devices) == set(world.kernel.links) - {world.kernel.policy.proof_device}
        assert world.saved == world.state.persisted()
        is_open = bool(world.plan.endpoints) and not self.specification.halted and not self.specification.is_refused
        assert world.kernel.policy.is_sealed is not is_open
        if self.specification.halted:
            assert not any(link.up for link in world.kernel.links.values())
        elif is_open and world.kernel.peer is not None:
            assert world.kernel.peer.name == world.state.active

    # --- something happens ------------------------------------------------------------------------------------------

    @rule(
        what=st.sampled_from(["down", "back", "all down", "all back", "condemned"]), name=names, port=st.integers(0, 2)
    )
    def to_the_servers(self, what: str, name: str, port: int) -> None:
        down = self.world.down
        match what:
            case "down":
                down.add(name)
            case "back":
                down.discard(name)
            case "all down":
                down.update(ENDPOINTS)
            case "all back":
                down.clear()
            case "condemned":
                self.world.condemned.add((name, a.LISTEN_PORTS[port]))

    @rule(
        what=st.sampled_from(
            ["gateway silent", "gateway back", "neighbours forgotten", "cut", "mended", "eth1", "no eth1"]
        )
    )
    def to_the_uplinks(self, what: str) -> None:
        world = self.world
        match what:
            case "gateway silent" | "gateway back":
                world.gateway_answers = what == "gateway back"
            case "neighbours forgotten":
                for link in world.kernel.links.values():
                    link.neighbours.clear()
            case "cut" | "mended":
                world.set_link("eth0", up=what == "mended")
            case "eth1":
                world.kernel.links["eth1"] = Link()
            case "no eth1":
                world.kernel.links.pop("eth1", None)

    @rule(what=st.sampled_from(["begin", "end", "its device", "a device of its name", "no device", "a minute"]))
    def a_proof(self, what: str) -> None:
        world = self.world
        match what:
            case "begin" | "end":
                world.prove(begin=what == "begin")
            case "its device" | "a device of its name":
                world.kernel.links[PROOF] = Link(kind="tun" if what == "its device" else "veth")
            case "no device":
                world.kernel.links.pop(PROOF, None)
            case "a minute":
                world.at_s += 60.0

    @rule(
        what=st.sampled_from(
            [
                "tunnel dies",
                "another peer",
                "flush",
                "queues taken",
                "queues free",
                "mute",
                "not mute",
                "probe lost",
                "suspend",
                "nap",
            ]
        ),
        name=names,
    )
    def to_the_machine(self, what: str, name: str) -> None:
        world = self.world
        match what:
            case "tunnel dies":
                world.lose_tunnel()
            case "another peer" if world.kernel.link is not None:
                world.kernel.peer = ENDPOINTS[name]
            case "flush":
                world.flush()
            case "queues taken" | "queues free":
                world.queues_taken = what == "queues taken"
                world.kernel.held = frozenset()
            case "mute" | "not mute":
                world.is_mute = what == "mute"
            case "probe lost":
                world.asked = None
            case "suspend" | "nap":
                world.at_s += 3_600.0 if what == "suspend" else 7.0

    @rule(kind=st.sampled_from(FALLIBLE), lasting=st.integers(1, 4))
    def effects_fail_for_some_cycles(self, kind: type, lasting: int) -> None:
        self.world.broken.add(kind)
        for _ in range(lasting):
            self.world.cycle()
        self.world.broken.clear()

    @rule(kind=st.sampled_from(FALLIBLE), for_good=st.booleans())
    def effects_begin_to_fail(self, kind: type, *, for_good: bool) -> None:
        if for_good:
            self.world.broken.add(kind)
        else:
            self.world.broken.clear()

    # --- frames -----------------------------------------------------------------------------------------------------

    @rule(crash_after=st.none() | st.just(0))
    @precondition(lambda self: self.world.kernel.taps)
    def stray_frame(self, crash_after: int | None) -> None:
        self.world.frame(a.stray_frame(), crash_after)

    @rule(data=st.data())
    @precondition(lambda self: self.world.kernel.taps and self.world.kernel.policy.flows)
    def frame_of_the_tunnel(self, data: st.DataObject) -> None:
        flow = data.draw(st.sampled_from(self.world.kernel.policy.flows))
        frame = a.flow_frame(
            device=flow.device,
            destination_mac=flow.next_hop_mac,
            source_address=flow.source_address,
            destination_address=flow.endpoint_address,
            destination_port=flow.endpoint_port,
            source_port=data.draw(st.sampled_from(a.LISTEN_PORTS)),
        )
        self.world.frame(frame)

    # --- operators, files, processes --------------------------------------------------------------------------------

    @rule(what=st.sampled_from(["converge", "switch", "unlock"]), name=names, crash_after=crashes)
    def operator(self, what: str, name: str, crash_after: int | None) -> None:
        match what:
            case "converge":
                self.world.converge(crash_after)
            case "switch":
                self.world.switch(name, crash_after)
            case "unlock":
                self.world.unlock(crash_after)

    @rule(what=st.sampled_from(["flush", "mended", "eth1"]))
    @precondition(lambda self: self.specification.halted)
    def somebody_meddles_and_the_operator_unlocks(self, what: str) -> None:
        self.to_the_uplinks(what)
        if what == "flush":
            self.world.flush()
        assert not self.world.unlock()

    @rule()
    @precondition(lambda self: self.specification.halted)
    def operator_mends_and_unlocks(self) -> None:
        self.world.broken.clear()
        self.world.look(is_cycle=False)
        self.world.look(is_cycle=False)
        assert self.world.unlock()

    @rule()
    def a_probe_begins_before_a_repair(self) -> None:
        self.world.lose_tunnel()
        self.world.look()
        self.world.look(is_cycle=False)
        self.world.answer()

    @rule(what=st.sampled_from(["killed", "files", "files and killed", "damage"]), plan=st.sampled_from(list(PLANS)))
    def to_the_watchdog(self, what: str, plan: str) -> None:
        match what:
            case "killed":
                self.world.start()
            case "files":
                self.world.files = PLANS[plan]
            case "files and killed":
                self.world.files = PLANS[plan]
                self.world.start()
            case "damage":
                self.world.start(self.world.damage())


Histories.TestCase.settings = settings(
    max_examples=300,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestHistories = Histories.TestCase
