"""One stack of real containers: the sidecar, two mock peers, workloads. Made from the files that `make up` uses."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integration.harness import engine
from integration.harness.upstream import Interface
from integration.harness.waiting import wait_until
from integration.peers import faults

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network

    from docker.models.containers import Container

ROOT = Path(__file__).parents[2]
COMPOSE_FILES = ("compose.yaml", "compose.mock.yaml", "integration/compose.test.yaml")
STATUS = "run/sidecar/status.json"
PYTHON = ("/opt/sidecar/bin/python", "-B")
COMMAND_DEADLINE_S = 90.0

_numbers = count(1)


@dataclass
class Stack:
    """A project of its own, with a subnet, keys and a state volume of its own; several can stand side by side.

    Attributes:
        directory: what scripts/mock-config made, in the shape of .mock/.
        preset: SIDECAR_HEALTH_PRESET.
        threshold_cycles: SIDECAR_FAILOVER_THRESHOLD_CYCLES.
    """

    preset: str = "fast"
    threshold_cycles: int = 3
    project: str = field(default_factory=lambda: f"sc-{os.getpid()}-{next(_numbers)}")
    directory: Path = field(default_factory=engine.make_directory)
    subnet: IPv4Network = field(default_factory=engine.free_subnet)

    def __post_init__(self) -> None:
        subprocess.run([ROOT / "scripts/mock-config"], env=self.environment, check=True, capture_output=True)

    # --- the whole ---------------------------------------------------------------------------------------------------

    @property
    def primary(self) -> IPv4Address:
        """The primary peer's address on the uplink network."""
        return self.subnet[3]

    @property
    def backup(self) -> IPv4Address:
        """The backup peer's address on the uplink network."""
        return self.subnet[4]

    @property
    def network(self) -> str:
        """The name of the uplink network."""
        return f"{self.project}_uplink"

    @property
    def endpoints(self) -> Path:
        """The directory of wg-quick files that the sidecar reads."""
        return self.directory / "endpoints"

    @property
    def environment(self) -> dict[str, str]:
        """The variables of compose.mock.yaml, compose.test.yaml and scripts/mock-config."""
        return os.environ | {
            "MOCK_DIRECTORY": str(self.directory),
            "MOCK_SUBNET": str(self.subnet),
            "MOCK_RANGE": str(list(self.subnet.subnets())[1]),
            "MOCK_PRIMARY": str(self.primary),
            "MOCK_BACKUP": str(self.backup),
            "TEST_RUN": engine.run_id(),
            "TEST_PRESET": self.preset,
            "TEST_THRESHOLD_CYCLES": str(self.threshold_cycles),
            "COMPOSE_IGNORE_ORPHANS": "1",
        }

    def compose(self, *arguments: str) -> str:
        """Run docker compose on this stack and return what it printed.

        Raises:
            AssertionError: it failed; its words are in the message.
        """
        files = [word for name in COMPOSE_FILES for word in ("-f", str(ROOT / name))]
        command = [engine.binary(), "compose", "-p", self.project, "--project-directory", str(ROOT), *files, *arguments]
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_DEADLINE_S,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"docker compose {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def up(self, *services: str) -> None:
        """Start these services and what they depend on."""
        self.compose("up", "-d", "--no-build", "--quiet-pull", *services)

    def down(self) -> None:
        """Take everything away: containers, network, state, keys."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.compose("down", "--volumes", "--remove-orphans", "--timeout", "2")
        shutil.rmtree(self.directory, ignore_errors=True)

    def container(self, service: str) -> Container:
        """Return the container of a service, as it is now.

        Raises:
            AssertionError: there is none.
        """
        labels = [f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}"]
        found = engine.client().containers.list(all=True, filters={"label": labels}, ignore_removed=True)
        assert found, f"{self.project} has no container for {service}"
        return found[0]

    def containers(self) -> list[Container]:
        """Return every container of the stack, stopped ones too."""
        label = f"com.docker.compose.project={self.project}"
        return engine.client().containers.list(all=True, filters={"label": label}, ignore_removed=True)

    # --- inside ------------------------------------------------------------------------------------------------------

    def run(self, service: str, *command: str) -> tuple[int, str]:
        """Run a command in a service's container: its exit code, and what it printed on both outputs."""
        code, output = self.container(service).exec_run(list(command))
        return code, output.decode(errors="replace")

    def check(self, service: str, *command: str) -> str:
        """Run a command that must succeed; return what it printed."""
        code, output = self.run(service, *command)
        assert code == 0, f"{service}: {' '.join(command)} exited with {code}: {output}"
        return output

    def put(self, service: str, path: str, data: bytes) -> None:
        """Write a file in a service's container, from outside."""
        Path(f"/proc/{self.pid(service)}/root{path}").write_bytes(data)

    def fault(self, peer: str, name: str) -> None:
        """Make something go wrong at a peer ("primary", "backup"), or "restore" it; in force on return."""
        self.enter(self.pid(f"peer-{peer}"), "nft", "-f", "-", stdin=faults.ruleset(name))

    def rejoin(self, *services: str) -> None:
        """Start these workloads anew, in the namespace that the sidecar has now."""
        self.compose("up", "-d", "--no-build", "--no-deps", "--force-recreate", *services)

    def ask(self, service: str = "workload", deadline_s: float = 3.0) -> dict[str, str] | None:
        """Ask the far side who we are, with curl in a workload; None where nothing answers."""
        code, output = self.run(service, "curl", "-s", "-m", str(deadline_s), "http://198.51.100.10/")
        return json.loads(output) if code == 0 else None

    def leaves_by(self) -> str | None:
        """Return the name of the peer that the workload leaves by, as the far side tells it; None if by none."""
        answer = self.ask()
        return answer["peer"] if answer else None

    # --- the sidecar -------------------------------------------------------------------------------------------------

    def pid(self, service: str = "vpn") -> int:
        """Return PID 1 of a container, as the host numbers it.

        Raises:
            AssertionError: the container does not run.
        """
        container = self.container(service)
        pid = container.attrs["State"]["Pid"]
        assert pid, f"{service} does not run: {container.attrs['State']}"
        return pid

    def sidecar(self, *arguments: str) -> tuple[int, str]:
        """Run the sidecar's command line in its container."""
        return self.run("vpn", "sidecar", *arguments)

    def status(self) -> dict[str, Any]:
        """Return the status document; an empty one while there is none (no container, no watchdog yet)."""
        try:
            return json.loads(Path(f"/proc/{self.pid()}/root/{STATUS}").read_text())
        except (AssertionError, OSError, ValueError):
            return {}

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the events so far, oldest first; those of one kind, where one is asked for."""
        code, output = self.sidecar("events", "--json", "-n", "10000")
        assert code == 0, output
        every = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return [event for event in every if kind in (None, event["kind"])]

    def wait_for(self, phase: str, endpoint: str | None = None, deadline_s: float = 30.0) -> dict[str, Any]:
        """Wait until the status document says this phase (and this endpoint); return the document."""

        def reached() -> dict[str, Any] | None:
            document = self.status()
            if document.get("phase") != phase:
                return None
            on = (document.get("endpoint") or {}).get("name")
            return document if endpoint in (None, on) else None

        try:
            return wait_until(reached, deadline_s, f"phase {phase} on {endpoint or 'any endpoint'}")
        except AssertionError as error:
            raise AssertionError(f"{error}; status now: {json.dumps(self.status())}") from None

    def wait_docker_health(self, health: str, words: str = "", deadline_s: float = 30.0) -> str:
        """Wait until Docker itself says "healthy" or "unhealthy", with these words; return the last words it has."""

        def reached() -> str | None:
            state = self.container("vpn").attrs["State"]["Health"]
            if state["Status"] != health or not state["Log"]:
                return None
            said = state["Log"][-1]["Output"]
            return said if words in said else None

        return wait_until(reached, deadline_s, f"Docker to call the sidecar {health} with the words '{words}'")

    @staticmethod
    def enter(pid: int, *command: str, stdin: str = "") -> str:
        """Run one of the host's programs in a process's network namespace; return what it printed."""
        done = subprocess.run(
            ["nsenter", "-t", str(pid), "-n", *command],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        assert done.returncode == 0, f"nsenter {' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def processes(self, word: str) -> list[int]:
        """Return the host's ids of the sidecar's processes whose command line holds `word`, without PID 1."""
        top = self.container("vpn").top(ps_args="-eo pid,args")
        first = self.pid()
        return [int(pid) for pid, line in top["Processes"] if word in line and int(pid) != first]

    def kill(self, word: str) -> int:
        """SIGKILL the one process of the sidecar whose command line holds `word`; return its id."""
        found = self.processes(word)
        assert len(found) == 1, f"processes with '{word}' in the sidecar: {found}"
        os.kill(found[0], signal.SIGKILL)
        return found[0]

    def interface(self, service: str = "vpn") -> Interface:
        """Return what a service's container has on the uplink network now."""
        return Interface.of(self.container(service), self.network)

    def replay(self) -> str:
        """Tell everything about the stack that helps to understand a failed test."""
        parts = [f"project {self.project}", f"status: {json.dumps(self.status(), indent=1)}"]
        for title, command in (
            ("events", ("sidecar", "events", "-n", "60")),
            ("ruleset", ("nft", "list", "ruleset")),
            ("routes", ("cat", "/proc/net/route")),
        ):
            with contextlib.suppress(Exception):
                parts.append(f"--- {title}\n{_hide_mark(self.run('vpn', *command)[1])}")
        for container in self.containers():
            with contextlib.suppress(Exception):
                words = container.logs(tail=40).decode(errors="replace")
                parts.append(f"--- log of {container.name} ({container.status})\n{words}")
        return "\n".join(parts)


def _hide_mark(listing: str) -> str:
    """Leave the mark of the tunnel's own packets out of reports: it is a secret of the running sidecar."""
    return "\n".join(line for line in listing.splitlines() if "mark" not in line)
