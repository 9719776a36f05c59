from __future__ import annotations

import pytest

from sidecar.core import health
from sidecar.core.killswitch import Neighbour, path_to
from sidecar.core.model import Health, PublicKey
from sidecar.core.state import Baseline
from tests import builders as a

BEFORE = Baseline(at_s=10.0, peer=a.peer(rx_bytes=1_000, tx_bytes=1_000, latest_handshake_age_s=100.0))
CYCLE_LATER_S = 12.0


def judged(rx_bytes: int, at_s: float = CYCLE_LATER_S, handshake_age_s: float | None = 102.0) -> Health | None:
    later = a.peer(rx_bytes=1_000 + rx_bytes, latest_handshake_age_s=handshake_age_s)
    return health.judge(BEFORE, at_s, later)


@pytest.mark.parametrize(
    ("what", "rx_bytes"),
    [
        ("nothing", 0),
        ("a keepalive", 32),
        ("a keepalive a second", 3 * 32),
        ("an answered handshake with its keepalive", 92 + 32),
        ("a handshake that the peer began because it does not hear us", 148),
        ("everything a handshake can be", 148 + 92 + 64),
    ],
)
def test_handshakes_and_keepalives_are_no_traffic(what: str, rx_bytes: int) -> None:
    assert judged(rx_bytes) is None, what
    assert judged(rx_bytes, handshake_age_s=0.5) is None, what
    assert judged(rx_bytes, handshake_age_s=None) is None, what


def test_a_full_packet_of_data_is_traffic() -> None:
    assert judged(1_452) is Health.ALIVE
    assert judged(1_452, handshake_age_s=0.5) is Health.ALIVE


@pytest.mark.parametrize("cycle_s", [0.1, 0.5, 2.0, 10.0, 60.0])
def test_a_server_that_only_keeps_the_session_up_never_looks_alive_however_long_the_cycle(cycle_s: float) -> None:
    keepalives = 32 * int(cycle_s / 1.0 + 1)
    handshakes = (148 + 92) * int(cycle_s / 5.0 + 1)
    assert judged(keepalives + handshakes, at_s=BEFORE.at_s + cycle_s) is None


def test_counters_of_another_peer_or_of_no_peer_tell_nothing() -> None:
    flood = a.peer(public_key=PublicKey("somebody else's"), rx_bytes=10**9)
    assert health.judge(BEFORE, CYCLE_LATER_S, flood) is None
    assert health.judge(None, CYCLE_LATER_S, flood) is None


def test_counters_that_fell_tell_nothing() -> None:
    assert judged(-1_000) is None


@pytest.mark.parametrize(
    ("sent", "received", "age_s", "expected"),
    [
        (100, 0, 200.0, Health.DEAD),
        (100, 0, None, Health.DEAD),
        (100, 0, 20.0, Health.UNKNOWN),
        (0, 0, 200.0, Health.UNKNOWN),
        (0, 0, None, Health.UNKNOWN),
        (100, 32, 200.0, Health.UNKNOWN),
    ],
)
def test_without_a_probe_only_one_way_traffic_on_a_dead_session_is_dead(
    sent: int, received: int, age_s: float | None, expected: Health
) -> None:
    later = a.peer(rx_bytes=1_000 + received, tx_bytes=1_000 + sent, latest_handshake_age_s=age_s)
    assert health.judge_unprobed(BEFORE, later) is expected


def test_without_a_probe_and_without_counters_nothing_is_known() -> None:
    later = a.peer(tx_bytes=10**6, latest_handshake_age_s=None)
    stranger = a.peer(public_key=PublicKey("another"), tx_bytes=10**6, latest_handshake_age_s=None)
    assert health.judge_unprobed(None, later) is Health.UNKNOWN
    assert health.judge_unprobed(BEFORE, None) is Health.UNKNOWN
    assert health.judge_unprobed(BEFORE, stranger) is Health.UNKNOWN


RESOLVED, ASKED, SILENT = Neighbour(a.GATEWAY_MAC), Neighbour(None), Neighbour(None, failed=True)
SILENT_BUT_REMEMBERED = Neighbour(a.GATEWAY_MAC, failed=True)


@pytest.mark.parametrize(
    ("neighbour", "unresolved"),
    [(None, True), (ASKED, True), (SILENT, True), (SILENT_BUT_REMEMBERED, True), (RESOLVED, False)],
)
def test_the_kernel_is_asked_again_for_what_is_unknown_or_silent(
    neighbour: Neighbour | None, *, unresolved: bool
) -> None:
    uplink = a.uplink(neighbours={a.GATEWAY: neighbour} if neighbour else {})
    path = path_to(a.PRIMARY, (uplink,))
    assert path is not None
    assert health.unresolved(path) is unresolved


@pytest.mark.parametrize(
    ("neighbour", "words"),
    [(None, "not resolved"), (ASKED, "not resolved"), (SILENT, "does not answer"), (SILENT_BUT_REMEMBERED, "does not")],
)
def test_a_gateway_that_does_not_answer_is_the_uplinks_fault(neighbour: Neighbour | None, words: str) -> None:
    uplink = a.uplink(neighbours={a.GATEWAY: neighbour} if neighbour else {})
    path = path_to(a.PRIMARY, (uplink,))
    fault = health.uplink_fault(path)
    assert fault is not None
    assert words in fault
    assert not health.unreachable(path)


def test_no_way_and_no_carrier_are_the_uplinks_fault() -> None:
    assert "no uplink" in (health.uplink_fault(None) or "")
    assert "no carrier" in (health.uplink_fault(path_to(a.PRIMARY, (a.uplink(carrier=False),))) or "")
    assert health.uplink_fault(path_to(a.PRIMARY, (a.uplink(),))) is None


@pytest.mark.parametrize(
    ("neighbour", "unreachable"), [(None, False), (ASKED, False), (SILENT, True), (SILENT_BUT_REMEMBERED, True)]
)
def test_the_silence_of_an_on_link_endpoint_is_its_own(neighbour: Neighbour | None, *, unreachable: bool) -> None:
    uplink = a.uplink(neighbours={a.ON_LINK.address: neighbour} if neighbour else {})
    path = path_to(a.ON_LINK, (uplink,))
    assert health.uplink_fault(path) is None
    assert health.unreachable(path) is unreachable
