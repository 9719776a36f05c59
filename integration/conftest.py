"""Fixtures: stacks of real containers that are always taken down, and their story in the report of a failed test."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.harness import engine
from integration.harness.stack import Stack
from integration.harness.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before `-m` deselects by mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lives here, and skip it where there is no engine."""
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    reason = engine.why_not() if ours else None
    for item in ours:
        item.add_marker(pytest.mark.integration)
        if reason:
            item.add_marker(pytest.mark.skip(reason=f"integration tests skipped: {reason}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add the story of every stack that a failed test used to its report."""
    report: Any = yield
    if report.when == "call" and report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Stack):
                with contextlib.suppress(Exception):
                    report.sections.append((f"stack of {name}", value.replay()))
    return report


@pytest.fixture(scope="session", autouse=True)
def _clean_engine() -> None:
    engine.sweep()


@pytest.fixture(scope="module")
def make_stack() -> Iterator[Callable[..., Stack]]:
    """A factory of stacks; all that it made is taken down at the end of the module, whatever happens."""
    with contextlib.ExitStack() as made:

        def make(*services: str, **settings: Any) -> Stack:
            stack = Stack(**settings)
            made.callback(stack.down)
            stack.up(*services)
            return stack

        yield make


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack]) -> Stack:
    """One running stack a module: the sidecar up on the primary, workload, attacker and an unlocked container."""
    made = make_stack()
    made.wait_for("up", "10-primary")
    return made


@pytest.fixture
def upstream(stack: Stack) -> Iterator[Upstream]:
    """A tap on the stack's uplink network, for one test."""
    with Upstream(stack) as tap:
        yield tap
