"""What a proof's device gets of the ruleset: two lines, and no device but that one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.core.proof import DEVICE
from sidecar.drivers.nftables.render import render
from sidecar.errors import Bug
from tests import policies

PROVING = replace(policies.GATEWAY, proof_device=DEVICE)


def test_the_ruleset_of_a_proof_differs_by_two_lines_both_outward() -> None:
    usual, proving = render(policies.GATEWAY).splitlines(), render(PROVING).splitlines()
    assert [line for line in usual if line not in proving] == []
    more = [(at, line.strip()) for at, line in enumerate(proving) if line not in usual]
    assert [line for _, line in more] == [f'oifname "{DEVICE}" notrack accept', f'oifname "{DEVICE}" accept']
    chains = [next(head for head in reversed(proving[:at]) if "chain" in head).split()[1] for at, _ in more]
    assert chains == ["output", "postrouting"]


@pytest.mark.parametrize(
    "policy",
    [replace(policies.SEALED, proof_device=DEVICE), replace(policies.GATEWAY, proof_device="eth0")],
    ids=["a sealed policy", "a locked device"],
)
def test_what_is_sealed_or_locked_cannot_be_left_out(policy: object) -> None:
    with pytest.raises(Bug):
        render(policy)  # type: ignore[arg-type]
