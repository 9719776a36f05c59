"""Nothing passes before the lock, and a namespace that cannot be locked is not offered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.harness import engine
from integration.harness.stack import ROOT
from integration.harness.traffic import ATTEMPTS, TARGET, new_token
from integration.harness.upstream import Interface, Upstream
from integration.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker.models.containers import Container

    from integration.harness.stack import Stack

CANNOT_SEAL = 77


@pytest.fixture(scope="module")
def peers(make_stack: Callable[..., Stack]) -> Stack:
    return make_stack("peer-primary", "peer-backup")


@pytest.fixture
def made(peers: Stack) -> Iterator[Callable[..., Container]]:
    """A factory of single containers beside the stack, each removed at the end."""
    containers: list[Container] = []

    def make(name: str, **settings: object) -> Container:
        container = engine.client().containers.create(
            engine.IMAGE, name=f"{peers.project}-{name}", labels={engine.LABEL: engine.run_id()}, **settings
        )
        containers.append(container)
        return container

    yield make
    for container in reversed(containers):
        container.remove(force=True, v=True)


def joined_flood(make: Callable[..., Container], stack: Stack, holder: Container, token: str) -> Container:
    """Make (not start) a workload that sends from its first instant on, in the namespace of `holder`."""
    return make(
        f"first-{token}",
        network_mode=f"container:{holder.id}",
        entrypoint=list(ATTEMPTS),
        command=[token, str(stack.primary), TARGET, "--for", "5"],
        volumes=[f"{ROOT}/integration/attempts:/opt/attempts:ro"],
    )


def test_a_workload_that_sends_from_the_first_instant_gets_nothing_out(
    peers: Stack, made: Callable[..., Container]
) -> None:
    network = peers.network
    settings = {"network": network, "tmpfs": {"/run": "mode=755"}, "cap_add": ["NET_ADMIN"]}
    endpoints = [f"{peers.endpoints}:/etc/sidecar/endpoints:ro"]
    sealed = made("sealed", **settings, devices=["/dev/net/tun"], volumes=endpoints)
    control = made("control", network=network, entrypoint=["sleep", "infinity"])
    with Upstream(peers) as upstream:
        for holder in (sealed, control):
            token = new_token()
            sender = joined_flood(made, peers, holder, token)
            holder.start()
            sender.start()
            assert sender.wait(timeout=40)["StatusCode"] == 0
            holder.reload()
            if holder is control:
                assert upstream.holding(token.encode()), "the control got nothing out, so this test shows nothing"
            else:
                assert upstream.holding(token.encode()) == []
                assert upstream.leaks([Interface.of(holder, peers.network)]) == []


def test_without_net_admin_it_refuses_to_start_and_says_what_to_give_it(
    peers: Stack, made: Callable[..., Container]
) -> None:
    with Upstream(peers) as upstream:
        container = made("powerless", network=peers.network, tmpfs={"/run": "mode=755"})
        container.start()
        mac = Interface.of(_reloaded(container), peers.network).mac
        assert container.wait(timeout=40)["StatusCode"] == CANNOT_SEAL
        assert "NET_ADMIN" in container.logs().decode()
        assert [frame for frame in upstream.leaks([]) if frame.source == mac] == []


def test_a_sidecar_without_a_tun_device_stays_sealed_and_says_why(peers: Stack, made: Callable[..., Container]) -> None:
    with Upstream(peers) as upstream:
        container = made(
            "without-tun",
            network=peers.network,
            tmpfs={"/run": "mode=755"},
            cap_add=["NET_ADMIN"],
            environment={"SIDECAR_TUNNEL_IMPLEMENTATION": "userspace"},
            volumes=[f"{peers.endpoints}:/etc/sidecar/endpoints:ro"],
        )
        container.start()
        wait_until(lambda: b"/dev/net/tun" in container.logs(), 30, "the log to name the device that is missing")
        assert _reloaded(container).status == "running"
        assert upstream.leaks([Interface.of(container, peers.network)]) == []


def _reloaded(container: Container) -> Container:
    container.reload()
    return container
