"""CVE-2026-52942: a rule that logs in a netdev chain writes kernel memory into the log.

A frame that an AF_PACKET socket sends past the queue (PACKET_QDISC_BYPASS) comes to the egress hook with its MAC header
not set. The logger reads one all the same, about 64 KiB beyond the packet, and prints what it finds there. A workload
with CAP_NET_RAW can send such frames, so a lock that logs what it drops there has them read the kernel's memory.

Here nothing logs. What was dropped is counted.

Source: linux commit a84b6fedbc97, "netfilter: nf_log: validate MAC header was set before dumping it".
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import pytest

from sidecar.core.sights import LockStatus
from sidecar.drivers.nftables import render
from sidecar.prove.attacks.packets import PACKET_QDISC_BYPASS, SOL_PACKET
from tests import policies
from tests.netns.attacks.scene import may_be_refused

if TYPE_CHECKING:
    from tests.netns.findings.victim import Victim

LOGS = re.compile(r"\blog\b")


def logging_rules(ruleset: str) -> list[str]:
    """Return the rules of netdev chains that log."""
    tables = re.findall(r"^table netdev .*?^}", ruleset, re.DOTALL | re.MULTILINE)
    return [line.strip() for table in tables for line in table.splitlines() if LOGS.search(line)]


@pytest.mark.parametrize("name", policies.EVERY)
def test_no_rendered_netdev_chain_logs(name: str) -> None:
    text = render(policies.EVERY[name])
    assert "table netdev" in text
    assert logging_rules(text) == []
    would_log = text.replace('counter name "dropped_egress', 'log counter name "dropped_egress')
    assert len(logging_rules(would_log)) == len(policies.EVERY[name].devices), "the control"


def test_frames_past_the_queue_are_counted_in_the_kernel_s_own_ruleset_and_not_logged(victim: Victim) -> None:
    policy = victim.seal_off()
    before = dict(victim.lock.inspect(policy).blocked).get("egress eth0", 0)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw, may_be_refused():
        raw.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        raw.sendto(b"\xff" * 60, ("eth0", 0x0800))
    assert dict(victim.lock.inspect(policy).blocked)["egress eth0"] > before
    assert logging_rules(victim.lock.listing()) == []


def test_a_rule_that_somebody_makes_log_is_seen_and_undone(victim: Victim) -> None:
    policy = victim.seal_off()
    victim.stage.sidecar.nft("insert rule netdev sidecar egress_eth0 log")
    assert logging_rules(victim.lock.listing()), "the control"
    assert victim.lock.inspect(policy).status is LockStatus.CHANGED
    victim.lock.apply(policy)
    assert logging_rules(victim.lock.listing()) == []
