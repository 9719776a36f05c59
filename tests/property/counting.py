"""The count of bad cycles that a failover needs, kept from what was observed alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.messages import (
    Probed,
    Surveyed,
)
from sidecar.core.model import Health
from tests import builders as a

if TYPE_CHECKING:
    from sidecar.core.messages import Observation
    from sidecar.core.model import Endpoint, Plan
    from sidecar.core.sights import PeerSight, Survey
    from sidecar.core.state import State

CYCLE_S = 2.0
STALL_S = 10.0


class Count:
    """How many cycles in a row were bad, for nobody's fault but the endpoint's."""

    def __init__(self) -> None:
        self.halted = False
        self.bad_cycles = 0
        self.is_excused = False
        self.is_refused = False
        self.has_looked = False
        self.cycle_at_s: float | None = None
        self.arrived_at_s = 0.0
        self.rx_bytes: int | None = None

    def _forget(self) -> None:
        self.cycle_at_s = self.rx_bytes = None

    def _judge(self, before: State, after: State, observation: Observation, plan: Plan) -> None:
        """Keep the count that a failover needs, from what was observed alone."""
        active = next((endpoint for endpoint in plan.endpoints if endpoint.name == before.active), None)
        if self.halted or active is None:
            self.has_looked |= isinstance(observation, Surveyed) and not observation.survey.unknown
            return
        assert after.baseline is None or leads_to(after.baseline.peer, after.endpoint(plan) or active)
        if isinstance(observation, Surveyed) and not observation.survey.unknown:
            self._judge_a_look(observation, active, after, plan)
        elif isinstance(observation, Surveyed):
            self._stall(observation.at_s)
        elif isinstance(observation, Probed) and observation.cycle == before.cycle:
            peer = observation.peer
            if peer is not None and not leads_to(peer, active):
                assert after.health is not Health.ALIVE or after.health_at_s != observation.at_s
                return
            if observation.health is Health.ALIVE:
                self._good(after)
            elif observation.health is Health.DEAD:
                self._bad(observation.at_s)
            self.rx_bytes = peer.rx_bytes if peer is not None else self.rx_bytes

    def _judge_a_look(self, observation: Surveyed, active: Endpoint, after: State, plan: Plan) -> None:
        survey, at_s = observation.survey, observation.at_s
        self.has_looked = True
        self._stall(at_s)
        explained = explains_silence(survey, active, plan) or self.is_refused
        self.is_excused = explained or (self.is_excused and not observation.is_cycle)
        if not observation.is_cycle:
            return
        self.cycle_at_s = at_s
        peer = survey.peer
        data_came = peer is not None and self.rx_bytes is not None and peer.rx_bytes - self.rx_bytes >= 50_000
        if data_came and peer is not None and leads_to(peer, active):
            self.rx_bytes = peer.rx_bytes
            self._good(after)
        elif is_on_link(active) and any(
            link.neighbours[active.address].failed for link in survey.uplinks if active.address in link.neighbours
        ):
            self._bad(at_s)

    def _stall(self, at_s: float) -> None:
        if self.cycle_at_s is not None and at_s - self.cycle_at_s > STALL_S:
            self.bad_cycles = 0
            self.rx_bytes = None

    def _good(self, after: State) -> None:
        self.bad_cycles = 0
        assert after.run.bad_cycles == 0
        assert after.run.exhausted is None
        assert after.health is Health.ALIVE

    def _bad(self, at_s: float) -> None:
        if not self.is_excused and at_s - self.arrived_at_s >= CYCLE_S:
            self.bad_cycles += 1


def leads_to(peer: PeerSight, endpoint: Endpoint) -> bool:
    return peer.public_key == endpoint.public_key and peer.endpoint_address == endpoint.address


def is_on_link(endpoint: Endpoint) -> bool:
    return endpoint.address in a.ip_network("10.0.0.0/24")


def explains_silence(survey: Survey, active: Endpoint, plan: Plan) -> bool:
    """Whether something of ours or of the uplink is visibly broken, so that no endpoint could be blamed."""
    uplink = next((each for each in survey.uplinks if each.device == "eth0"), None)
    if uplink is None or not uplink.carrier:
        return True
    row = uplink.neighbours.get(a.GATEWAY)
    if not is_on_link(active) and row is not None and row.failed:
        return True
    if survey.tunnel is None or survey.peer is None or not leads_to(survey.peer, active):
        # An on-link endpoint may not have been configured because it is silent, which is its own fault.
        return survey.tunnel is None or survey.peer is not None or not is_on_link(active)
    reachable = {route.destination.network_address for route in survey.routes}
    return active.address not in reachable or not any(route.device == plan.device for route in survey.routes)
