from __future__ import annotations

import pytest

from sidecar.core.sights import LockStatus
from sidecar.drivers.nftables import NftablesLock, libnftables, render
from sidecar.drivers.nftables.libnftables import TransientLockError
from sidecar.errors import LockError
from tests import policies

BUSY = TransientLockError(attempted="load the ruleset", got="Device or resource busy", remedy="wait")
REFUSED = LockError(attempted="load the ruleset", got="Operation not permitted", remedy="NET_ADMIN")


class ScriptedKernel:
    """Answers as it is told to, first things first; then it behaves: it lists what was loaded last."""

    def __init__(self, *answers: LockError | str) -> None:
        self.answers = list(answers)
        self.loaded: list[str] = []
        self.calls = 0

    def run(self, commands: str, attempted: str) -> str:
        del attempted
        self.calls += 1
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, LockError):
            raise answer
        if isinstance(answer, str):
            return answer
        if commands == "list ruleset":
            return render(policies.GATEWAY) if self.loaded else ""
        self.loaded.append(commands)
        return ""


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ScriptedKernel:
    made = ScriptedKernel(*request.param)
    monkeypatch.setattr(libnftables, "run", made.run)
    return made


@pytest.mark.parametrize("kernel", [[BUSY, BUSY]], indirect=True)
def test_a_busy_kernel_is_asked_again(kernel: ScriptedKernel) -> None:
    NftablesLock().apply(policies.GATEWAY)
    assert len(kernel.loaded) == 1


@pytest.mark.parametrize("kernel", [[BUSY] * 1000], indirect=True)
def test_patience_with_a_busy_kernel_ends(kernel: ScriptedKernel) -> None:
    with pytest.raises(LockError, match="busy"):
        NftablesLock().apply(policies.GATEWAY)
    assert 2 < kernel.calls < 1000


@pytest.mark.parametrize("kernel", [[REFUSED] * 1000], indirect=True)
def test_a_refusal_is_not_asked_again_and_again(kernel: ScriptedKernel) -> None:
    with pytest.raises(LockError, match="not permitted"):
        NftablesLock().apply(policies.GATEWAY)
    assert kernel.calls <= 4


@pytest.mark.parametrize("kernel", [["", REFUSED]], indirect=True)
def test_where_converging_is_refused_the_tables_are_made_anew(kernel: ScriptedKernel) -> None:
    NftablesLock().apply(policies.GATEWAY)
    assert [script.startswith("add table inet sidecar\ndelete table inet sidecar\n") for script in kernel.loaded] == [
        True
    ]


@pytest.mark.parametrize("kernel", [["table inet sidecar {\n\tchain"]], indirect=True)
def test_where_the_listing_makes_no_sense_the_tables_are_made_anew(kernel: ScriptedKernel) -> None:
    NftablesLock().apply(policies.GATEWAY)
    assert "delete table inet sidecar\n" in kernel.loaded[0]


@pytest.mark.parametrize("kernel", [["", "", "", "", "", "", ""]], indirect=True)
def test_a_load_that_does_not_show_in_the_read_back_is_an_error(kernel: ScriptedKernel) -> None:
    with pytest.raises(LockError, match="lists something else") as raised:
        NftablesLock().apply(policies.GATEWAY)
    assert "badcafe" not in str(raised.value)
    assert kernel.loaded == []


@pytest.mark.parametrize("kernel", [["table inet sidecar {\n\tchain"]], indirect=True)
@pytest.mark.usefixtures("kernel")
def test_a_listing_that_makes_no_sense_is_unreadable() -> None:
    assert NftablesLock().inspect(policies.GATEWAY).status is LockStatus.UNREADABLE


def test_the_library_s_own_words_are_in_the_error_and_the_mark_is_not() -> None:
    with pytest.raises(LockError) as raised:
        libnftables.run("add rule inet sidecar output meta mark 0x0badcafe acceptt", "try nonsense")
    assert "try nonsense: " in str(raised.value)
    assert "syntax error" in str(raised.value)
    assert "meta mark …" in str(raised.value)
    assert "badcafe" not in str(raised.value)


@pytest.mark.parametrize(
    ("message", "transient"),
    [
        ("Error: Could not process rule: Device or resource busy", True),
        ("Error: Could not process rule: No buffer space available", True),
        ("netlink: Error: cache initialization failed: Interrupted system call", True),
        ("Error: Could not process rule: Operation not permitted", False),
        ("Error: Could not process rule: No such file or directory", False),
    ],
)
def test_what_passes_by_waiting_is_told_from_what_does_not(message: str, transient: bool) -> None:  # noqa: FBT001
    error = libnftables.error_of("load the ruleset", message)
    assert isinstance(error, TransientLockError) is transient
    assert message.removeprefix("netlink: ") in error.got or message in error.got


def test_an_error_without_words_still_says_something() -> None:
    assert libnftables.error_of("load the ruleset", "").got == "libnftables said nothing"


def test_a_machine_without_the_library_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libnftables, "_LIBRARY", "libnftables-that-is-not-there.so")
    libnftables._library.cache_clear()
    with pytest.raises(LockError, match="install libnftables1"):
        libnftables.run("list ruleset", "read the ruleset")
    libnftables._library.cache_clear()
