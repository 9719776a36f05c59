"""The tunnel carries what real software sends, and nothing else gets out."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from integration.harness.torrent import torrent
from integration.harness.traffic import ATTEMPTS, TARGET, new_token
from integration.harness.waiting import wait_until
from integration.peers.names import content

if TYPE_CHECKING:
    from integration.harness.stack import Stack
    from integration.harness.upstream import Seen, Upstream

FILE_BYTES = 8_000_000
CONTROLS = ("unlocked", "unlocked-torrent")


def file_digest() -> str:
    return hashlib.sha256(content(0, FILE_BYTES)).hexdigest()


def digest_in_workload(stack: Stack, path: str) -> str:
    return stack.check("workload", "sha256sum", path).split()[0]


def leaks(stack: Stack, upstream: Upstream) -> list[Seen]:
    controls = [stack.interface(service) for service in CONTROLS]
    return upstream.leaks([stack.interface()], controls)


@pytest.fixture(scope="module")
def control(stack: Stack) -> Stack:
    """The unlocked containers, with a way to everywhere by the backup peer, which forwards nothing."""
    for service in CONTROLS:
        pid = stack.pid(service)
        stack.enter(pid, "ip", "route", "replace", "default", "via", str(stack.backup))
        stack.enter(pid, "ping", "-c", "1", "-W", "2", str(stack.primary))
    return stack


def test_curl_reaches_the_far_side_by_the_primary_and_from_the_tunnel_address(stack: Stack) -> None:
    assert stack.ask() == {"peer": "primary", "client": "10.64.0.2"}


def test_the_far_side_is_reached_over_ipv6_too(stack: Stack) -> None:
    answer = stack.check("workload", "curl", "-gsS", "-m", "5", "http://[2001:db8:64::10]/")
    assert json.loads(answer) == {"peer": "primary", "client": "fd00:64::2"}


def test_names_resolve_through_the_tunnel(stack: Stack) -> None:
    answer = stack.check("workload", "curl", "-4sS", "-m", "5", "http://whoami.test/")
    assert json.loads(answer)["peer"] == "primary"


def test_the_resolver_of_docker_is_out_of_reach(stack: Stack) -> None:
    """It answers from the host's namespace, where no rule of ours sees the question."""
    ask = (
        "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); "
        "q = bytes.fromhex('0007010000010000000000000c') + b'peer-primary' + bytes.fromhex('0000010001'); "
        "s.sendto(q, ('127.0.0.11', 53)); print(len(s.recv(512)))"
    )
    code, output = stack.run("unlocked", "/usr/bin/python3", "-c", ask)
    assert code == 0, f"the control could not ask either, so this test shows nothing: {output}"
    code, output = stack.run("attacker", "/usr/bin/python3", "-c", ask)
    assert code != 0, f"Docker's resolver answered: {output}"


def test_curl_downloads_through_the_tunnel_and_nothing_is_seen_upstream(stack: Stack, upstream: Upstream) -> None:
    url = f"http://198.51.100.10/file?bytes={FILE_BYTES}"
    stack.check("workload", "curl", "-sS", "-m", "30", "-o", "/tmp/by-curl", url)
    assert digest_in_workload(stack, "/tmp/by-curl") == file_digest()
    assert leaks(stack, upstream) == []


def test_aria2_downloads_in_parallel_through_the_tunnel(stack: Stack, upstream: Upstream) -> None:
    url = f"http://198.51.100.10/file?bytes={FILE_BYTES}"
    options = ("--split=4", "--max-connection-per-server=4", "--min-split-size=1M", "--stop=40", "--quiet")
    stack.check("workload", "aria2c", *options, "--dir=/tmp", "--out=by-aria2", url)
    assert digest_in_workload(stack, "/tmp/by-aria2") == file_digest()
    assert leaks(stack, upstream) == []


def test_a_torrent_downloads_and_its_local_discovery_does_not_leak(control: Stack, upstream: Upstream) -> None:
    stack = control
    options = (
        "--enable-dht=true",
        "--bt-enable-lpd=true",
        "--bt-lpd-interface=eth0",
        "--dht-entry-point=198.51.100.10:6881",
        "--seed-time=0",
        "--stop=40",
        "--quiet",
        "--dir=/tmp",
        "/tmp/file.torrent",
    )
    for service in ("workload", "unlocked-torrent"):
        stack.put(service, "/tmp/file.torrent", torrent("by-torrent", FILE_BYTES))
    stack.check("workload", "aria2c", *options)
    assert digest_in_workload(stack, "/tmp/by-torrent") == file_digest()
    assert leaks(stack, upstream) == []
    # The control: the same client with the same options, without a lock. What it announces on the uplink is seen.
    stack.run("unlocked-torrent", "timeout", "-k", "1", "5", "aria2c", *options)
    announced = [seen for seen in upstream.sent_by(stack.container("unlocked-torrent")) if b"Infohash" in seen.data]
    assert announced, "the control announced nothing, so this test shows nothing"


def test_no_way_out_leads_past_the_lock_and_each_does_without_it(control: Stack, upstream: Upstream) -> None:
    stack = control
    tried = {}
    for service in ("attacker", "unlocked"):
        output = stack.check(service, *ATTEMPTS, new_token(), str(stack.primary), TARGET)
        tried[service] = json.loads(output.splitlines()[-1])

    def unseen() -> list[str]:
        return [way for way, said in tried["unlocked"].items() if not seen(upstream, said)]

    wait_until(lambda: not unseen(), 5, "the tap to see every way of the control")
    got_out = {way: said for way, said in tried["attacker"].items() if seen(upstream, said)}
    assert got_out == {}
    assert leaks(stack, upstream) == []
    assert set(tried["attacker"]) == set(tried["unlocked"])


def seen(upstream: Upstream, said: dict[str, str]) -> bool:
    return bool(upstream.holding(bytes.fromhex(said["marker"])))


def test_an_attempt_is_no_leak_and_changes_nothing(control: Stack) -> None:
    control.check("attacker", *ATTEMPTS, new_token(), str(control.primary), TARGET)
    assert control.leaves_by() == "primary"
    assert control.status()["latch"] is None
