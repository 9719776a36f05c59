"""Throughput with everything on, against the same wireguard-go tunnel without lock, tap and watchdog, in pairs."""

from __future__ import annotations

import secrets
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Self

from bench.cost import processor_s
from bench.figures import Report, load
from bench.subject import Subject, running
from integration.harness import engine
from integration.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.models.containers import Container

FAR_SIDE, PORT = "198.51.100.10", 5201
PLAIN_ADDRESS = "10.64.0.3"
TRANSFER_S = 2.0
TCP = (sys.executable, "-I", "-S", str(Path(__file__).with_name("tcp.py")))


@dataclass(frozen=True)
class Transfer:
    """What one transfer came to: its rate, and the processor time that its own end's wireguard-go took for a Gbit."""

    mbits_per_s: float
    milliseconds_per_gbit: float


def pairs(count: int) -> None:
    """Measure in alternating pairs, so that a busy machine is busy for both."""
    with running("default", "vpn") as subject, ExitStack() as stack:
        plain = stack.enter_context(_plain_tunnel(subject))
        stack.enter_context(_sink(subject.pid("peer-primary")))
        ends = {"locked": End.of(subject.container("vpn")), "plain": End.of(plain)}
        for way, words in (("up", "workload -> far side"), ("down", "far side -> workload")):
            report = Report(f"throughput, {words}: {count} pairs of {TRANSFER_S:g} s TCP; {load()}")
            done = [_pair(ends, way, swapped=bool(number % 2)) for number in range(count)]
            for kind in ends:
                report.spread(kind, [pair[kind].mbits_per_s for pair in done], "Mbit/s", 0)
                spent = [pair[kind].milliseconds_per_gbit for pair in done]
                report.spread(f"{kind}, processor time of its wireguard-go", spent, "ms/Gbit", 0)
            _compare(report, "rate", [pair["locked"].mbits_per_s / pair["plain"].mbits_per_s for pair in done])
            spent = [pair["locked"].milliseconds_per_gbit / pair["plain"].milliseconds_per_gbit for pair in done]
            _compare(report, "processor time", spent)


def _compare(report: Report, what: str, ratios: list[float]) -> None:
    words = f"{median(ratios):.3f}  (each {min(ratios):.2f} to {max(ratios):.2f}, n={len(ratios)})"
    report.fact(f"{what}, locked / plain: median of the pairs", words)


def _pair(ends: dict[str, End], way: str, *, swapped: bool) -> dict[str, Transfer]:
    return {kind: _measured(ends[kind], way) for kind in sorted(ends, reverse=swapped)}


def _measured(end: End, way: str) -> Transfer:
    before_s = processor_s(end.wireguard)
    rate = _transfer(end.pid, way)
    spent_ms = 1000 * (processor_s(end.wireguard) - before_s)
    return Transfer(rate, spent_ms / (rate * TRANSFER_S / 1000))


@dataclass(frozen=True)
class End:
    """One of the two tunnels to compare: a container's PID 1 and its wireguard-go, as the host numbers them."""

    pid: int
    wireguard: int

    @classmethod
    def of(cls, container: Container) -> Self:
        """Find both in a running container."""
        container.reload()
        processes = container.top(ps_args="-eo pid,comm")["Processes"]
        (wireguard,) = [int(pid) for pid, name in processes if name.startswith("wireguard")]
        return cls(container.attrs["State"]["Pid"], wireguard)


def _transfer(pid: int, way: str) -> float:
    command = ["nsenter", "-t", str(pid), "-n", *TCP, "client", FAR_SIDE, str(PORT), way, str(TRANSFER_S)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"a transfer failed: {done.stderr}")
    return float(done.stdout)


@contextmanager
def _sink(peer_pid: int) -> Iterator[None]:
    command = ["nsenter", "-t", str(peer_pid), "-n", *TCP, "sink", FAR_SIDE, str(PORT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"listening\n"
            yield
        finally:
            process.kill()


@contextmanager
def _plain_tunnel(subject: Subject) -> Iterator[Container]:
    """A container of the same image on the same network, with a tunnel to the same server and nothing else."""
    container = engine.client().containers.run(
        engine.IMAGE,
        entrypoint=["sleep", "600"],
        name=f"{subject.project}-plain-{secrets.token_hex(2)}",
        network=subject.network,
        cap_add=["NET_ADMIN"],
        devices=["/dev/net/tun"],
        labels={engine.LABEL: engine.run_id()},
        healthcheck={"test": ["NONE"]},
        detach=True,
        init=True,
    )
    try:
        container.reload()
        _configure(subject, container)
        yield container
    finally:
        container.remove(force=True, v=True)


def _configure(subject: Subject, container: Container) -> None:
    pid = container.attrs["State"]["Pid"]
    public = _run(container, "umask 077; wg genkey >/tmp/key; wg pubkey </tmp/key").strip()
    server = _run(subject.container("peer-primary"), "wg show wg0 public-key").strip()
    _run(subject.container("peer-primary"), f"wg set wg0 peer {public} allowed-ips {PLAIN_ADDRESS}/32")
    subject.enter(subject.pid("peer-primary"), "ip", "route", "add", f"{PLAIN_ADDRESS}/32", "dev", "wg0")
    container.exec_run(["wireguard-go", "-f", "wg0"], detach=True)
    wait_until(Path(f"/proc/{pid}/root/run/wireguard/wg0.sock").exists, 10, "wireguard-go's socket")
    peer = f"peer {server} endpoint {subject.primary}:51820 allowed-ips 0.0.0.0/0"
    _run(container, f"wg set wg0 private-key /tmp/key {peer}")
    for words in (
        f"address add {PLAIN_ADDRESS}/32 dev wg0",
        f"link set wg0 up mtu {_mtu(subject)}",
        f"route add {FAR_SIDE}/32 dev wg0",
    ):
        subject.enter(pid, "ip", *words.split())


def _mtu(subject: Subject) -> str:
    return Path(f"/proc/{subject.pid()}/root/sys/class/net/wg0/mtu").read_text().strip()


def _run(container: Container, words: str) -> str:
    code, output = container.exec_run(["sh", "-c", words])
    if code != 0:
        raise AssertionError(f"{container.name}: {words}: {output.decode(errors='replace')}")
    return output.decode()
