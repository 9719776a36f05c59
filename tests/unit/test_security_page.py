"""docs/security.md says what the code does. To write its tables anew: SECURITY_PAGE=write pytest <this file>."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.core.killswitch import Neighbour
from sidecar.core.permits import permits
from sidecar.core.state import Phase
from tests import builders as a
from tests.unit.core import situations

if TYPE_CHECKING:
    from sidecar.core.killswitch import Policy
    from tests.unit.core.situations import Machine

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/security.md"
TABLES = re.compile(r"(<!-- permits: .*? -->\n)(.*)(<!-- end of permits -->)", re.DOTALL)
TWO = a.plan((a.PRIMARY, a.BACKUP))
FINDINGS = sorted((ROOT / "tests/netns/findings").glob("test_*.py"))


def unresolved() -> Machine:
    """Return a machine that has looked, and does not know the next hop's hardware address yet."""
    machine = situations.starting(TWO)
    uplink = a.uplink(neighbours={a.GATEWAY: Neighbour(None)})
    machine.look(a.survey(within=TWO, uplinks=(uplink,)))
    return machine


def policy_of(machine: Machine) -> Policy:
    assert machine.state.policy is not None
    return machine.state.policy


PHASES = {
    "`sealed`: there is no usable configuration, or somebody else holds AF_XDP; and before the first look": policy_of(
        situations.sealed()
    ),
    "`halted`: the same, and the uplinks are down": policy_of(situations.halted(TWO)),
    "`starting`, while the next hop's hardware address is not known": policy_of(unresolved()),
    "`up`, `degraded`, `exhausted`, and `starting` from then on": policy_of(situations.up(TWO)),
}


def tables() -> str:
    return "\n" + "\n".join(f"### {title}\n\n{table(policy)}" for title, policy in PHASES.items()) + "\n"


def table(policy: Policy) -> str:
    rows = [("whose", "way", "device", "what", "pinned by"), ("---",) * 5]
    rows += [(row.who, row.way, f"`{row.device}`", row.what, row.pinned_by) for row in permits(policy)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def test_the_tables_are_those_of_the_policies() -> None:
    text = PAGE.read_text()
    if os.environ.get("SECURITY_PAGE") == "write":
        text = TABLES.sub(lambda found: found[1] + tables() + found[3], text)
        PAGE.write_text(text)
    found = TABLES.search(text)
    assert found
    assert found[2] == tables()


def test_what_is_said_of_several_phases_at_once_is_true_of_each() -> None:
    opened = permits(policy_of(situations.up(TWO)))
    for phase in (situations.degraded(TWO), situations.exhausted(TWO)):
        assert permits(policy_of(phase)) == opened
    assert permits(policy_of(situations.halted(TWO))) == permits(policy_of(situations.sealed()))


def test_every_phase_is_on_the_page() -> None:
    titles = " ".join(PHASES)
    assert {phase.value for phase in Phase} == set(re.findall(r"`(\w+)`", titles))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:tests|integration)/[^`]+\.py[^`]*)`", PAGE.read_text()))))
def test_every_test_that_the_page_names_exists(path: str) -> None:
    file, _, name = path.partition("::")
    text = (ROOT / file).read_text()
    assert not name or f"def {name}(" in text


@pytest.mark.parametrize("file", FINDINGS, ids=lambda file: file.stem)
def test_every_finding_has_its_row_and_a_control(file: Path) -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.endswith(f"| `tests/netns/findings/{file.name}` |")]
    assert len(rows) == 1
    assert re.search(r"the control|require_control|require_that_only_the_lock", file.read_text())


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", PAGE.read_text()))))
def test_no_link_of_the_page_leads_nowhere(target: str) -> None:
    assert (PAGE.parent / target).exists()
