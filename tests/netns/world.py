"""A small world of network namespaces for one test, taken down whatever happens.

    with World() as world:
        sidecar, router = world.namespace("sidecar"), world.namespace("router")
        world.veth(End(sidecar, "eth0", ["10.77.0.2/24"]), End(router, "down0", ["10.77.0.1/24"]))
        with sidecar.entered():
            ...  # this thread, and threads started here, live in the sidecar's namespace

The owner's process id is part of every name, so that a later run can sweep what a killed run left behind.
"""

from __future__ import annotations

import ctypes
import os
import re
import secrets
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAMESPACES = Path("/run/netns")
SOCKETS = Path("/var/run/wireguard")
NAME = re.compile(r"sc-(?P<owner>\d+)-[0-9a-f]{4}-.+")
DEVICE = re.compile(r"sc(?P<owner>[0-9a-f]+)x[0-9a-f]{4}")
CLONE_NEWNET = 0x40000000  # Source: <linux/sched.h>; os.setns came with Python 3.12 only
COMMAND_TIMEOUT_S = 15.0

_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """One network namespace. Its loopback is up."""

    def __init__(self, name: str, role: str) -> None:
        self.name = name
        self.role = role
        self.path = NAMESPACES / name
        self._started: list[subprocess.Popen[str]] = []

    def __repr__(self) -> str:
        return f"Namespace({self.name})"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Move the calling thread into the namespace for the block; threads started inside inherit it."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(there)
            try:
                yield
            finally:
                _setns(back)
        finally:
            os.close(there)
            os.close(back)

    def run(
        self,
        command: Sequence[str],
        *,
        check: bool = True,
        stdin: str | None = None,
        timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` inside, to its end. With `check`, a failure raises with what the command printed."""
        return _run([*self._prefix(), *command], check=check, stdin=stdin, timeout_s=timeout_s)

    def ip(self, *arguments: str) -> str:
        """Run `ip` inside and return what it prints."""
        return self.run(["ip", *arguments]).stdout

    def nft(self, script: str) -> str:
        """Load `script` in one transaction."""
        return self.run(["nft", "-f", "-"], stdin=script).stdout

    def start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        """Start `command` inside; it is killed with the world. Its process id is the command's own (no wrapper)."""
        process = subprocess.Popen(
            [*self._prefix(), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._started.append(process)
        return process

    def sysctl(self, name: str, value: str) -> None:
        """Set a sysctl of this namespace, such as ("net/ipv4/ip_forward", "1")."""
        with self.entered():
            (Path("/proc/sys") / name).write_text(value)

    def bridge(self, device: str, *ports: str) -> None:
        """Make a bridge over devices that are here already, and set it up."""
        self.ip("link", "add", device, "type", "bridge", "stp_state", "0", "forward_delay", "0")
        for port in ports:
            self.ip("link", "set", port, "master", device, "up")
        self.ip("link", "set", device, "up")

    def await_running(self, device: str) -> None:
        """Wait until a device that was set up carries frames; before, the kernel drops them without a word.

        Source: linkwatch_do_dev() in net/core/link_watch.c, which gives the device its queue after the carrier came.
        """

        def runs() -> bool:
            shown = self.ip("link", "show", device)
            return "state UP" in shown and "qdisc noop " not in shown

        wait_until(runs, COMMAND_TIMEOUT_S, f"{device} in {self.name} to run")

    def kill_everything(self) -> None:
        """End every process that was started here or still lives here, except the caller."""
        for process in self._started:
            process.kill()
            process.wait(timeout=COMMAND_TIMEOUT_S)
        self._started.clear()
        _kill_inhabitants(self.name)

    def _prefix(self) -> list[str]:
        return ["nsenter", f"--net={self.path}", "--"]


@dataclass
class End:
    """One end of a veth pair. `mac` None leaves the choice to the kernel; addresses skip duplicate detection."""

    namespace: Namespace
    device: str
    addresses: Sequence[str] = ()
    mac: str | None = None
    mtu_bytes: int = 1500
    up: bool = field(default=True)


class World:
    """Namespaces and links that live as long as the `with` block."""

    def __init__(self) -> None:
        self._id = f"{os.getpid()}-{secrets.token_hex(2)}"
        self._namespaces: list[Namespace] = []
        self._devices: list[str] = []

    def __enter__(self) -> Self:
        sweep()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove everything; what cannot be removed does not keep the rest from going."""
        trouble: list[Exception] = []
        while self._namespaces:
            namespace = self._namespaces.pop()
            try:
                namespace.kill_everything()
                _run(["ip", "netns", "del", namespace.name])
            except (OSError, subprocess.SubprocessError, AssertionError) as error:
                trouble.append(error)
        while self._devices:
            (SOCKETS / f"{self._devices.pop()}.sock").unlink(missing_ok=True)
        if trouble:
            raise ExceptionGroup("the test's namespaces could not all be removed", trouble)

    def namespace(self, role: str) -> Namespace:
        """Make a namespace; `role` is for people who read `ip netns`."""
        namespace = Namespace(f"sc-{self._id}-{role}", role)
        self._namespaces.append(namespace)
        _run(["ip", "netns", "add", namespace.name])
        namespace.ip("link", "set", "lo", "up")
        return namespace

    def veth(self, one: End, other: End) -> None:
        """Link two namespaces. Neither end is ever in the caller's namespace, nor has a name that clashes there."""
        command = ["ip", "-n", one.namespace.name, "link", "add", one.device, *_identity(one)]
        command += ["type", "veth", "peer", "name", other.device, "netns", other.namespace.name, *_identity(other)]
        _run(command)
        for end in (one, other):
            for address in end.addresses:
                nodad = ["nodad"] if ":" in address else []
                end.namespace.ip("address", "add", address, "dev", end.device, *nodad)
            if end.up:
                end.namespace.ip("link", "set", end.device, "up")
        if one.up and other.up:
            for end in (one, other):
                end.namespace.await_running(end.device)

    def device_name(self) -> str:
        """Return a WireGuard device name of our own.

        wireguard-go's socket is named after the device, and that directory is shared by every network namespace.
        """
        self._devices.append(f"sc{os.getpid():x}x{secrets.token_hex(2)}")
        return self._devices[-1]


def sweep() -> None:
    """Remove what earlier runs left behind: names with our prefix whose owner is dead."""
    for name in _leftovers(NAMESPACES, NAME, 10):
        _kill_inhabitants(name)
        _run(["ip", "netns", "del", name], check=False)
    for name in _leftovers(SOCKETS, DEVICE, 16):
        (SOCKETS / name).unlink(missing_ok=True)


def _leftovers(directory: Path, pattern: re.Pattern[str], base: int) -> list[str]:
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    matches = [(name, pattern.match(name)) for name in names]
    return [name for name, match in matches if match and not _lives(int(match["owner"], base))]


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _kill_inhabitants(name: str) -> None:
    def inhabitants() -> set[int]:
        listed = _run(["ip", "netns", "pids", name], check=False).stdout.split()
        return {int(pid) for pid in listed} - {os.getpid()}

    for pid in inhabitants():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not inhabitants(), COMMAND_TIMEOUT_S, f"the processes of {name} to end")


def _identity(end: End) -> list[str]:
    mac = ["address", end.mac] if end.mac else []
    return [*mac, "mtu", str(end.mtu_bytes)]


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def _run(
    command: Sequence[str], *, check: bool = True, stdin: str | None = None, timeout_s: float = COMMAND_TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        check=False,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    if check and done.returncode != 0:
        raise AssertionError(
            f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
        )
    return done


def missing() -> str | None:
    """Return what keeps this machine from making such a world, in one line; None where nothing does."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    tools = [tool for tool in ("ip", "nsenter", "nft", "wg", "wireguard-go") if shutil.which(tool) is None]
    if tools:
        return f"not installed: {', '.join(tools)}"
    if not Path("/dev/net/tun").exists():
        return "no /dev/net/tun"
    return None
