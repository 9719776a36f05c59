"""What Docker connects later, on a running sidecar, is locked before anybody can use it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import docker
import pytest

from integration.harness import engine
from integration.harness.traffic import flood
from integration.harness.upstream import Upstream
from integration.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.models.networks import Network

    from integration.harness.stack import Stack


@pytest.fixture
def second(stack: Stack) -> Iterator[Network]:
    """A second network, with nobody on it yet."""
    pool = docker.types.IPAMPool(subnet=str(engine.free_subnet()))
    made = engine.client().networks.create(
        # Docker takes its gateway from the network whose name comes first; ours is in the way of another default route.
        f"{stack.project}_z",
        internal=True,
        ipam=docker.types.IPAMConfig(pool_configs=[pool]),
        labels={engine.LABEL: engine.run_id()},
    )
    yield made
    for service in ("vpn", "unlocked"):
        with contextlib.suppress(docker.errors.APIError):
            made.disconnect(stack.container(service), force=True)
    made.remove()


def devices(stack: Stack) -> set[str]:
    lines = stack.enter(stack.pid(), "ip", "-o", "link").splitlines()
    return {line.split(":")[1].strip().partition("@")[0] for line in lines}


def test_a_network_that_is_connected_later_is_no_way_out(stack: Stack, second: Network) -> None:
    with (
        Upstream(stack, second.name) as upstream,
        flood(stack, "attacker", 6, device="eth1") as locked,
        flood(stack, "unlocked", 6, device="eth1") as unlocked,
    ):
        for service in ("unlocked", "vpn"):
            second.connect(stack.container(service))
        locked.wait(20)
        unlocked.wait(20)
        upstream.require_sight()
        assert upstream.holding(unlocked.token.encode()), "the control got nothing out, so this test shows nothing"
        assert upstream.holding(locked.token.encode()) == []
    wait_until(lambda: stack.leaves_by() == "primary", 10, "the workload to leave by the primary")
    assert stack.wait_for("up", "10-primary")["latch"] is None


def test_a_network_that_is_taken_away_again_changes_nothing(stack: Stack, second: Network) -> None:
    vpn = stack.container("vpn")
    before = devices(stack)
    second.connect(vpn)
    (added,) = wait_until(lambda: devices(stack) - before, 10, "the second device to be there")
    wait_until(lambda: f'device "{added}"' in stack.check("vpn", "nft", "list", "chains"), 10, "its chains")
    second.disconnect(vpn)
    wait_until(lambda: devices(stack) == before, 10, "the second device to be gone")
    stack.wait_for("up", "10-primary")
    wait_until(lambda: stack.status()["healthy"], 10, "the sidecar to be healthy")
    assert stack.leaves_by() == "primary"
