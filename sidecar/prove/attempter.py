"""The confined process that makes the attempts, one line of JSON asked, one answered.

    {"attack": "a_frame", "scene": {...}}      make it, and keep open what it holds
    {"refused": ["EPERM"], "error": null}

It lives in the network namespace of the thread that starts it. The scene comes by a pipe, because the mark is in it.
"""

from __future__ import annotations

import errno
import json
import os
import select
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sidecar.errors import Bug
from sidecar.prove.catalogue import Attack, catalogue, under_way
from sidecar.prove.confinement import DOCKER_DEFAULTS, confine, effective
from sidecar.prove.scene import from_fields, to_fields

if TYPE_CHECKING:
    from sidecar.prove.scene import Scene

DEADLINE_S = 10.0
"""An attempt takes milliseconds; one that hangs is a mistake of ours."""

RULES_SAY = frozenset({"EPERM", "ENOBUFS"})
"""What a send meets that a rule has dropped: in a hook of the inet family, and behind an AF_PACKET socket."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What the one who tried can tell.

    Attributes:
        refused: the errors that its sends met, such as "EPERM".
        error: why it could not be tried here at all; None where it was.
    """

    refused: tuple[str, ...]
    error: str | None

    @property
    def is_dropped(self) -> bool:
        """Whether a rule may have been what refused, rather than the kernel itself."""
        return self.error is None and bool(RULES_SAY & set(self.refused))

    @property
    def words(self) -> str:
        """What the kernel said, in its own words; empty where it let everything pass."""
        said = [os.strerror(getattr(errno, name, 0)) for name in sorted(set(self.refused))]
        return self.error or ", ".join(said)


class Attempter:
    """The other process, as seen from here. Ends with the `with` block, at the latest."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-B", "-m", "sidecar.prove.attempter"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def attempt(self, attack: Attack, scene: Scene) -> Tried:
        """Have it tried; what it holds stays open until the next attempt.

        Raises:
            Bug: the other process has ended, or hangs.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise Bug("the process that makes the attempts has no pipes")
        line = json.dumps({"attack": attack.name, "scene": to_fields(scene)}).encode() + b"\n"
        with suppress(BrokenPipeError):  # then there is no answer either
            self._process.stdin.write(line)
        readable, _, _ = select.select([self._process.stdout], [], [], DEADLINE_S)
        answer = self._process.stdout.readline() if readable else b""
        if not answer:
            raise Bug(f"the process that makes the attempts did not answer to {attack.name}")
        fields: dict[str, Any] = json.loads(answer)
        return Tried(tuple(fields["refused"]), fields["error"])


def _serve() -> None:
    """Answer every line of stdin, as little more than a workload."""
    confine()
    surplus = effective() - set(DOCKER_DEFAULTS.values())
    if surplus:
        raise Bug(f"still has the capabilities {sorted(surplus)}")
    known = {attack.name: attack for attack in catalogue()}
    with ExitStack() as held:
        for line in sys.stdin:
            held.close()  # what the last attempt kept open
            asked = json.loads(line)
            tried = _try(held, known[asked["attack"]], from_fields(asked["scene"]))
            sys.stdout.write(json.dumps(asdict(tried)) + "\n")
            sys.stdout.flush()


def _try(held: ExitStack, attack: Attack, scene: Scene) -> Tried:
    try:
        return Tried(held.enter_context(under_way(attack, scene)), None)
    except OSError as error:
        return Tried((), os.strerror(error.errno) if error.errno else str(error))


if __name__ == "__main__":
    _serve()
