"""A leak made from outside, with all of the host's rights: it halts the sidecar for good, and is never a failover."""

from __future__ import annotations

import contextlib
import subprocess
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import IP
from scapy.utils import rdpcap

from integration.harness.traffic import TARGET, flood
from integration.harness.upstream import Upstream
from integration.harness.waiting import stays, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integration.harness.stack import Stack

INJECTIONS = 20


def inject(stack: Stack) -> None:
    """Take the whole lock away and lead everything out by the uplink, as an operator's mistake would."""
    sabotage = f"nft flush ruleset; ip link set eth0 up; ip route replace default via {stack.backup} dev eth0"
    stack.enter(stack.pid(), "sh", "-c", sabotage)


@contextlib.contextmanager
def usurped_lock(stack: Stack) -> Iterator[None]:
    """Put an empty table that somebody else owns in the lock's place: while its owner lives, only he can change it."""
    command = ["nsenter", "-t", str(stack.pid()), "-n", "nft", "--interactive"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as owner:
        assert owner.stdin
        owner.stdin.write("delete table inet sidecar; add table inet sidecar { flags owner; }\n")
        owner.stdin.flush()

        def in_place() -> bool:
            return "flags owner" in stack.enter(stack.pid(), "nft", "list", "ruleset", "inet")

        wait_until(in_place, 10, "the owner to have the table")
        yield
        owner.stdin.close()


@dataclass
class Leaked:
    """What came of a leak.

    Attributes:
        token: what the leaked packets hold.
        seen: how many of them the tap upstream saw before the seal: the control.
        halted: the status document right after.
    """

    stack: Stack
    token: bytes
    seen: int
    halted: dict[str, Any]


@pytest.fixture(scope="module")
def leaked(make_stack: Callable[..., Stack]) -> Iterator[Leaked]:
    stack = make_stack()
    stack.wait_for("up", "10-primary")
    with Upstream(stack) as upstream, flood(stack, "attacker", 15) as sending:
        for _ in range(INJECTIONS):
            inject(stack)
            if upstream.holding(sending.token.encode()):
                break
        halted = stack.wait_for("halted")
        yield Leaked(stack, sending.token.encode(), len(upstream.holding(sending.token.encode())), halted)


def test_the_leak_was_real(leaked: Leaked) -> None:
    assert leaked.seen > 0, "the tap upstream saw nothing, so the tests of this module show nothing"


def test_it_halts_and_does_not_fail_over(leaked: Leaked) -> None:
    assert leaked.halted["latch"]["reason"]
    assert leaked.stack.events("failover") == []
    assert leaked.halted["endpoint"]["name"] == "10-primary"


def test_the_evidence_names_the_packet(leaked: Leaked) -> None:
    assert TARGET in leaked.halted["latch"]["evidence"]


def test_the_evidence_on_the_volume_holds_the_packet(leaked: Leaked) -> None:
    volume = Path(f"/proc/{leaked.stack.pid()}/root/var/lib/sidecar")
    captures = list(volume.rglob("*.pcap"))
    assert captures, f"no pcap on the volume: {[str(path) for path in volume.rglob('*')]}"
    frames = [frame for path in captures for frame in rdpcap(BytesIO(path.read_bytes()))]
    assert any(IP in frame and frame[IP].dst == TARGET and leaked.token in bytes(frame) for frame in frames)


def test_docker_calls_it_unhealthy_and_the_words_say_why_and_what_to_do(leaked: Leaked) -> None:
    words = leaked.stack.wait_docker_health("unhealthy", "halted")
    assert "sidecar unlock" in words


def test_the_container_stays_and_its_uplink_is_down(leaked: Leaked) -> None:
    assert leaked.stack.container("vpn").status == "running"
    flags = leaked.stack.enter(leaked.stack.pid(), "ip", "-o", "link", "show", "eth0")
    assert "state DOWN" in flags


def test_nothing_passes_while_halted(leaked: Leaked) -> None:
    stack = leaked.stack
    with Upstream(stack) as upstream, flood(stack, "attacker", 3) as locked, flood(stack, "unlocked", 3) as unlocked:
        locked.wait(20)
        unlocked.wait(20)
        assert upstream.holding(unlocked.token.encode()), "the control got nothing out, so this test shows nothing"
        assert upstream.leaks([stack.interface()], [stack.interface("unlocked")]) == []
    assert stack.leaves_by() is None


def test_a_converge_does_not_end_a_halt(leaked: Leaked) -> None:
    code, output = leaked.stack.sidecar("converge")
    assert code == 75, output
    assert "unlock" in output
    assert leaked.stack.status()["phase"] == "halted"


def test_a_restart_of_the_container_does_not_end_a_halt(leaked: Leaked) -> None:
    stack = leaked.stack
    stack.container("vpn").restart(timeout=4)
    document = stack.wait_for("halted")
    assert document["latch"] == leaked.halted["latch"]
    stack.rejoin("workload", "attacker")
    stays(lambda: stack.leaves_by() is None, 2, "nobody gets out")


def test_unlock_is_refused_while_the_cause_persists_and_accepted_after(leaked: Leaked) -> None:
    stack = leaked.stack
    with usurped_lock(stack):
        code, output = stack.sidecar("unlock")
        assert code == 75, output
        assert "flags owner" in output
        assert stack.status()["phase"] == "halted"
    wait_until(lambda: stack.sidecar("unlock")[0] == 0, 20, "unlock to be accepted, with the cause gone")
    stack.wait_for("up", "10-primary")
    assert stack.leaves_by() == "primary"
    assert stack.events("failover") == []
