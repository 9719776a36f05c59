"""The machine hears anything at all, consistent or not: it never raises, never opens too much, and stays halted."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.killswitch import Neighbour
from sidecar.core.machine import step
from sidecar.core.messages import (
    ApplyPolicy,
    ConfigurePeer,
    Converged,
    EffectFailed,
    FrameSeen,
    HardStop,
    Observation,
    Probe,
    Probed,
    RaiseUplinks,
    Rebind,
    Replanned,
    Reply,
    SaveState,
    Started,
    Surveyed,
    SwitchRequested,
    UnlockRequested,
)
from sidecar.core.model import Health
from sidecar.core.sights import Latch, LockSight, LockStatus, Persisted, Route, Survey
from sidecar.core.state import State
from tests import builders as a

SIX = a.endpoint("40-six", "2001:db8::1", allowed_ips=(ip_network("0.0.0.0/0"), ip_network("::/0")))
BARE = a.endpoint("50-bare", "203.0.113.5", dns=(), preshared_key=None, persistent_keepalive_s=None, mtu_bytes=1300)
ENDPOINTS = (*a.THREE, a.ON_LINK, SIX, BARE)
ADDRESSES = [*(endpoint.address for endpoint in ENDPOINTS), a.GATEWAY, a.GATEWAY_V6, ip_address("198.51.100.1")]
MACS = [a.OWN_MAC, a.GATEWAY_MAC, a.STRANGER_MAC]

texts = st.sampled_from(["", "10-primary", "20-backup", "99-nowhere"])
addresses = st.sampled_from(ADDRESSES)
neighbours = st.builds(Neighbour, st.none() | st.sampled_from(MACS), st.booleans())
uplinks = st.builds(
    a.uplink,
    st.sampled_from(["eth0", "eth1", "veth7"]),
    mac=st.sampled_from(MACS),
    addresses=st.lists(
        st.sampled_from([ip_interface("10.0.0.2/24"), ip_interface("fd00::2/64"), ip_interface("198.51.100.9/32")]),
        unique=True,
    ).map(tuple),
    gateways=st.lists(st.sampled_from([a.GATEWAY, a.GATEWAY_V6, ip_address("198.51.100.1")]), unique=True).map(tuple),
    neighbours=st.dictionaries(addresses, neighbours, max_size=4),
    carrier=st.booleans(),
    mtu_bytes=st.sampled_from([0, 576, 1400, 1500, 65_535]),
)
peers = st.builds(
    a.peer,
    st.sampled_from(ENDPOINTS),
    endpoint_address=st.none() | addresses,
    endpoint_port=st.none() | st.integers(0, 65_535),
    rx_bytes=st.integers(0, 2**40),
    tx_bytes=st.integers(0, 2**40),
    latest_handshake_age_s=st.none() | st.floats(0, 1e6),
)
tunnels = st.builds(
    lambda of, counters, port: a.tunnel(of, wireguard=a.wireguard(of, counters=counters, listen_port=port)),
    st.sampled_from(ENDPOINTS),
    st.none() | peers,
    st.sampled_from([0, *a.LISTEN_PORTS]),
)
routes = st.builds(
    Route,
    st.sampled_from([ip_network("0.0.0.0/0"), ip_network("::/0"), *map(ip_network, ADDRESSES)]),
    st.sampled_from(["eth0", "eth1", "wg0"]),
    st.none() | addresses,
)
surveys = st.builds(
    Survey,
    uplinks=st.lists(uplinks, max_size=3, unique_by=lambda uplink: uplink.device).map(tuple),
    tunnel=st.none() | tunnels,
    lock=st.builds(LockSight, st.sampled_from(LockStatus)),
    routes=st.lists(routes, max_size=4, unique=True).map(tuple),
    watched=st.sets(st.sampled_from(["eth0", "eth1", "veth7"])).map(frozenset),
    nameservers=st.lists(addresses, max_size=2).map(tuple),
    unknown=st.just(()) | st.just(()) | st.just(("it could not be read",)),
)
latches = st.none() | st.just(Latch("a reason", "evidence"))
persisted = st.builds(
    Persisted,
    st.none() | texts,
    st.sampled_from(["", a.plan(ENDPOINTS).digest, "another"]),
    st.integers(-5, 10**9),
    latches,
    st.lists(st.tuples(st.sampled_from(["eth0", "wlan0"]), addresses), max_size=3).map(tuple),
)
gaps_s = st.floats(0, 60)
Heard = tuple[str, object]
heard = st.one_of(
    st.tuples(st.just("started"), st.none() | persisted),
    st.tuples(st.just("surveyed"), surveys),
    st.tuples(st.just("surveyed"), surveys),
    st.tuples(st.just("woken"), surveys),
    st.tuples(st.just("probed"), st.tuples(st.sampled_from(Health), st.none() | peers, st.integers(-1, 1))),
    st.tuples(st.just("frame"), st.sampled_from([a.stray_frame(), a.flow_frame(), a.raw_frame(bytes(range(60)))])),
    st.tuples(st.just("failed"), st.integers(0, 20)),
    st.tuples(st.just("asked"), st.sampled_from(["converge", "replan", *(endpoint.name for endpoint in ENDPOINTS)])),
    st.tuples(st.just("unlock"), surveys),
)
plans = st.sampled_from(
    [
        a.plan(ENDPOINTS),
        a.plan(ENDPOINTS, wrap=True, rebind=False),
        a.plan((SIX,), addresses=(ip_interface("fd64::2/128"),)),
        a.plan(()),
    ]
)


def observation(state: State, at_s: float, what: Heard, last: tuple[object, ...]) -> Observation | None:
    match what:
        case "started", kept:
            return Started(at_s, kept, None)  # type: ignore[arg-type]
        case "surveyed" | "woken" as kind, survey:
            return Surveyed(at_s, survey, kind == "surveyed")  # type: ignore[arg-type]
        case "probed", (health, peer, late):
            return Probed(at_s, state.cycle + late, health, "a probe", peer)
        case "frame", frame:
            return FrameSeen(at_s, frame)  # type: ignore[arg-type]
        case "failed", int(index):
            return EffectFailed(at_s, last[index % len(last)], "it did not work") if last else None  # type: ignore[arg-type]
        case "asked", "converge":
            return Converged(at_s)
        case "asked", "replan":
            return Replanned(at_s)
        case "asked", str(name):
            return SwitchRequested(at_s, name)
        case _, survey:
            return UnlockRequested(at_s, survey)  # type: ignore[arg-type]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(plan=plans, history=st.lists(st.tuples(gaps_s, heard), max_size=30))
def test_nothing_it_hears_makes_it_raise_or_open_too_much(plan: a.Plan, history: list[tuple[float, Heard]]) -> None:
    configured = {(endpoint.address, endpoint.port) for endpoint in plan.endpoints}
    state, last, at_s = State(), (), 0.0  # type: tuple[State, tuple[object, ...], float]
    for gap_s, what in history:
        at_s += gap_s
        heard_now = observation(state, at_s, what, last)
        if heard_now is None:
            continue
        before = state
        done = step(state, heard_now, plan)
        state, last = done.state, done.effects
        unlocked = isinstance(heard_now, UnlockRequested) and any(
            isinstance(each, Reply) and each.accepted for each in last
        )
        if before.latch is not None and not unlocked and not isinstance(heard_now, Started):
            assert state.latch == before.latch
        if state.latch is not None or not plan.endpoints:
            assert not [each for each in last if isinstance(each, ConfigurePeer | Probe | Rebind)]
            assert unlocked or not [each for each in last if isinstance(each, RaiseUplinks)]
        for each in last:
            if isinstance(each, SaveState | HardStop):
                assert each.persisted.latch == state.latch
            if isinstance(each, ApplyPolicy | HardStop):
                flows = {(flow.endpoint_address, flow.endpoint_port) for flow in each.policy.flows}
                assert flows <= configured
                assert each.policy.is_sealed or (state.latch is None and plan.endpoints)
                assert not each.policy.is_sealed or (not flows and not each.policy.resolutions)
        if isinstance(heard_now, Surveyed) and heard_now.survey.unknown:
            assert state.health is not Health.ALIVE or not heard_now.is_cycle
            assert not [each for each in last if isinstance(each, ConfigurePeer | Probe | Rebind | RaiseUplinks)]
        assert state.run.bad_cycles <= plan.timing.threshold_cycles
