"""The story of the sidecar as a timeline, while a workload asks the far side several times a second.

Runs on the stack of `make up` with mock peers, and leaves it healthy on the primary. Exits with 0 only if every step
of the story happened. Standard library only; started by scripts/demo.
"""
# ruff: noqa: INP001 - a directory that is run as a script

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

from stack import PYTHON, NotToldError, compose, fault, follow, sidecar, status, wait_for
from timeline import Timeline
from workload import Workload

PRIMARY, BACKUP = "10-primary", "20-backup"
NOBODY = "203.0.113.7"
STICKY_FOR_S = 6.0

# What no workload may do, and a mistake of an operator can: the whole lock is flushed, and packets led by the uplink.
LEAK = """
import socket, subprocess, sys
from pyroute2 import IPRoute
backup, target = sys.argv[1:]
with IPRoute() as ip, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    uplink = ip.link_lookup(ifname="eth0")[0]
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    ip.route("replace", dst="default", gateway=backup, oif=uplink)
    for number in range(20):
        sender.sendto(b"a packet that should not exist", (target, 53))
"""


class Story:
    """The chapters, in order. Each raises `NotToldError` if what it tells does not happen."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.workload = Workload(self.timeline)
        self.blackout_s = 0.0

    def tell(self) -> None:
        """Tell all of it."""
        self._begin()
        try:
            self._primary_dies()
            self._primary_returns()
            self._converge()
            self._leak()
            self._unlock()
        finally:
            for peer in ("primary", "backup"):
                fault(peer, "restore")
            self.workload.stop()
            self._events.kill()

    def _begin(self) -> None:
        for peer in ("primary", "backup"):
            fault(peer, "restore")
        if status().get("phase") == "halted":
            raise NotToldError("the stack is halted from before: see 'make status', then unlock it")
        if not self._is_up(PRIMARY):
            self._require(sidecar("converge"), "converge")
        wait_for(lambda: self._is_up(PRIMARY), "the tunnel to be up on the primary")
        self.timeline.chapter("A workload behind the lock, two WireGuard servers")
        self._follow_events()
        self.timeline.tell("sidecar", status()["sentence"])
        self.workload.start()
        self.workload.wait_for_answer("primary", time.monotonic())

    def _follow_events(self) -> None:
        self._events = follow("vpn", "sidecar", "events", "--json", "-f", "-n", "0")

        def listen() -> None:
            for line in self._events.stdout or ():
                event = json.loads(line)
                style = {"error": "bad", "warning": ""}.get(event["severity"], "good")
                self.timeline.tell("sidecar", f"{event['kind']}: {event['text']}", style)

        threading.Thread(target=listen, daemon=True).start()

    def _primary_dies(self) -> None:
        self.timeline.chapter("The primary dies: failover")
        cut_s = time.monotonic()
        fault("primary", "cut")
        self.timeline.tell("peer", "the primary drops every packet from now on")
        at_s = self.workload.wait_for_answer("backup", cut_s)
        wait_for(lambda: self._is_up(BACKUP), "the sidecar to call the backup up")
        self.blackout_s = self.workload.blackout_s(at_s)

    def _primary_returns(self) -> None:
        self.timeline.chapter("The primary returns: it stays on the backup, since nobody asked for a change")
        fault("primary", "restore")
        restored_s = time.monotonic()
        self.timeline.tell("peer", "the primary answers again")
        wait_for(lambda: time.monotonic() > restored_s + STICKY_FOR_S, "some seconds to pass")
        by = {peer for _, peer in self.workload.since(restored_s)}
        if by != {"backup"}:
            raise NotToldError(f"answers came through {by or 'nobody'} where only the backup was due")
        count = len(self.workload.since(restored_s))
        self.timeline.tell("workload", f"{count} answers in {STICKY_FOR_S:g} s, all through the backup", "good")

    def _converge(self) -> None:
        self.timeline.chapter("The way back is a decision: sidecar converge")
        asked_s = time.monotonic()
        self.timeline.tell("you", "sidecar converge")
        self._require(sidecar("converge"), "converge")
        self.workload.wait_for_answer("primary", asked_s)
        wait_for(lambda: self._is_up(PRIMARY), "the tunnel to be up on the primary")

    def _leak(self) -> None:
        self.timeline.chapter("A leak: somebody with root flushes the lock and sends by the uplink")
        backup = compose("exec", "-T", "peer-backup", "hostname", "-i").stdout.split()[0]
        self.timeline.tell("you", f"nft flush ruleset; ip route replace default via {backup} dev eth0")
        done = compose("exec", "-T", "vpn", *PYTHON, "-", backup, NOBODY, stdin=LEAK)
        self._require(done, "the leak")
        document = wait_for(lambda: (found := status()).get("phase") == "halted" and found, "the halt")
        if NOBODY not in document["latch"]["evidence"]:
            raise NotToldError(f"the evidence does not name the packet: {document['latch']['evidence']}")
        self.timeline.tell("sidecar", f"evidence: {document['latch']['evidence']}", "bad")
        kept = sorted(compose("exec", "-T", "vpn", "find", "/var/lib/sidecar", "-name", "*.pcap").stdout.split())
        if not kept:
            raise NotToldError("no pcap was kept")
        self.timeline.tell("sidecar", f"kept in {kept[-1]}")
        if document["endpoint"]["name"] != PRIMARY:
            raise NotToldError("a leak was answered with a failover")
        halted_s = time.monotonic()
        wait_for(lambda: time.monotonic() > halted_s + 3, "some seconds to pass")
        if self.workload.since(halted_s):
            raise NotToldError("a workload was answered while halted")
        self.timeline.tell("workload", "nothing gets out, and no failover: a leak is not a dead server", "good")

    def _unlock(self) -> None:
        self.timeline.chapter("The cause is gone: sidecar unlock")

        def accepted() -> bool:
            return sidecar("unlock").returncode == 0

        self.timeline.tell("you", "sidecar unlock")
        unlocked_s = time.monotonic()
        wait_for(accepted, "unlock to be accepted")
        self.workload.wait_for_answer("primary", unlocked_s)
        wait_for(lambda: self._is_up(PRIMARY), "the tunnel to be up on the primary")
        self.timeline.tell("sidecar", status()["sentence"], "good")

    @staticmethod
    def _is_up(endpoint: str) -> bool:
        document = status()
        return document.get("phase") == "up" and bool(document["healthy"]) and document["endpoint"]["name"] == endpoint

    @staticmethod
    def _require(done: subprocess.CompletedProcess[str], what: str) -> None:
        if done.returncode:
            raise NotToldError(f"{what} ended with {done.returncode}: {(done.stdout + done.stderr).strip()}")


def main() -> int:
    """Tell the story; 0 if all of it happened, 1 with the reason if not."""
    story = Story()
    try:
        story.tell()
    except (NotToldError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"\nThe story ended early: {error}\n")
        return 1
    story.timeline.chapter(f"The workload waited {story.blackout_s:.1f} s at the failover. The stack is healthy.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
