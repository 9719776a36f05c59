"""The rows for people say what the ruleset does: no more, no less, and nothing secret."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sidecar.core.permits import permits
from sidecar.drivers.nftables import render
from tests import policies

if TYPE_CHECKING:
    from sidecar.core.killswitch import Policy

EVERY = {**policies.EVERY, "a proof runs": replace(policies.GATEWAY, proof_device="proof0")}


WAYS = {"output": "out", "egress": "out", "input": "in", "ingress": "in"}
"""The hooks that are counted: prerouting and postrouting repeat them."""


def rules_that_accept(policy: Policy) -> Counter[tuple[str, str]]:
    """Count what the ruleset lets by each way and device: endpoints one by one where a rule has a set of them.

    For an uplink its own chains are counted, and not the inet ones, which say the same less closely.
    """
    found: Counter[tuple[str, str]] = Counter()
    text = render(policy)
    sets = {name: elements.count(",") + 1 for name, elements in re.findall(r"set (\w+) {[^=]*= {([^}]*)}", text)}
    for hook, own_device, body in re.findall(
        r'type filter hook (\w+) (?:device "(\S+)" )?priority (.*?)\n\t}', text, re.DOTALL
    ):
        for rule in re.findall(r".*\baccept\b.*", body):
            device = own_device or rule.split('"')[1]
            if hook in WAYS and (own_device or device not in policy.devices):
                endpoints = re.search(r"@(endpoints\w+)", rule)
                found[WAYS[hook], device] += sets[endpoints[1]] if endpoints else 1
    return found


@pytest.mark.parametrize("name", EVERY)
def test_there_is_a_row_for_everything_that_the_ruleset_accepts(name: str) -> None:
    rows = Counter((permit.way, permit.device) for permit in permits(EVERY[name]))
    assert rows == rules_that_accept(EVERY[name])


def test_a_rule_that_is_not_in_the_rows_would_be_noticed() -> None:
    more = replace(policies.GATEWAY, flows=(*policies.GATEWAY.flows, policies.ON_LINK.flows[0]))
    assert rules_that_accept(more) != rules_that_accept(policies.GATEWAY)


def test_sealed_only_loopback_passes() -> None:
    assert {permit.device for permit in permits(policies.SEALED)} == {"lo"}


def test_unresolved_nothing_leaves_an_uplink_but_the_question_for_the_next_hop() -> None:
    leaving = [permit for permit in permits(policies.UNRESOLVED) if (permit.way, permit.device) == ("out", "eth0")]
    assert [(permit.who, permit.what) for permit in leaving] == [("the kernel", "ARP: who has 10.77.0.1")]


def test_a_row_names_every_pin_of_an_outer_flow() -> None:
    (row, *_) = [permit for permit in permits(policies.GATEWAY) if permit.who == "WireGuard"]
    assert row.what == "UDP to 203.0.113.10 port 51820"
    assert row.pinned_by == (
        "MACs 02:00:00:00:00:02 to 02:00:00:00:00:01, ether type, own address 10.77.0.2, endpoint's address and port, "
        "own port of those drawn at random, secret mark"
    )


@pytest.mark.parametrize("name", EVERY)
def test_no_row_tells_a_secret(name: str) -> None:
    told = repr(permits(replace(EVERY[name], listen_ports=(40991,))))
    for secret in (policies.FWMARK, f"{policies.FWMARK:x}", f"{policies.FWMARK:#010x}", 40991):
        assert str(secret) not in told
