"""The place with the lock: one uplink under attack, and everything that would show that something got out by it."""

from __future__ import annotations

import fcntl
import socket
import struct
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self

from sidecar.core.account import audit
from sidecar.core.model import LeakStatus
from sidecar.drivers.accounting import KernelAccounting
from sidecar.drivers.nftables import NftablesLock
from sidecar.drivers.nftables.device_chains import accepted
from sidecar.drivers.nftables.render import TABLE
from sidecar.prove.aim import aim, elsewhere
from sidecar.prove.catalogue import TUNNEL
from sidecar.prove.judgement import Evidence, Traces, judge
from sidecar.prove.verdict import Control, Faced, Result
from sidecar.prove.watch import Tap, inner, off_policy, to_resolver

if TYPE_CHECKING:
    from sidecar.core.account import Ledger
    from sidecar.core.killswitch import Uplink
    from sidecar.prove.attempter import Attempter
    from sidecar.prove.catalogue import Attack
    from sidecar.prove.facts import Facts
    from sidecar.prove.scene import Scene
    from sidecar.prove.verdict import Shown

SETTLE_S: Final = 0.02
"""The rules judge while a send is still under way; a queue or another processor takes a moment more."""
LATE_S: Final = 0.4
"""IGMP and MLD reports leave within a few ticks of the kernel's clock; so does what is queued."""
READINGS: Final = 20
READING_PAUSE_S: Final = 0.005
_SIOCGIFFLAGS, _IFF_RUNNING = 0x8913, 0x40  # <linux/sockios.h>, <linux/if.h>
_INWARD = ("ingress", "prerouting", "input", "forward")


class Ground:
    """One uplink, watched. A context manager; everything happens in the network namespace of the calling thread."""

    def __init__(self, facts: Facts, uplink: Uplink) -> None:
        self._facts = facts
        self._uplink = uplink
        self._lock = NftablesLock()
        self._accounting = KernelAccounting(TABLE, accepted)
        self._ledgers: tuple[Ledger, ...] = ()
        self._scene = aim(facts, uplink)
        self._earlier: list[Scene] = []
        self._late_frames = 0

    def __enter__(self) -> Self:
        self._open = ExitStack()
        with ExitStack() as opening:
            policy, devices = self._facts.policy, self._facts.policy.devices
            self._taps = [
                opening.enter_context(Tap(device, off_policy(policy, device, self._facts.source_port)))
                for device in devices
            ]
            tunnel, scene = self._facts.plan.device, self._scene
            self._tunnel = opening.enter_context(Tap(tunnel, inner(scene)))
            self._loopback = opening.enter_context(Tap("lo", to_resolver(scene)))
            self._open = opening.pop_all()
        self._last = self._look()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def face(self, attack: Attack, attempter: Attempter, shown: Shown) -> Faced:
        """Have an attack tried, and say what became of it."""
        if not self._is_up():
            return Faced(Result.NOT_TRIED, f"{self._uplink.device} is down: the watchdog has halted")
        self._earlier.append(self._scene)
        scene = self._scene = elsewhere(self._scene)
        self._tunnel.keep(inner(scene))
        tried = attempter.attempt(attack, scene)
        time.sleep(LATE_S if attack.is_late else SETTLE_S)
        before, self._last = self._last, self._look()
        blind = shown.control is Control.OUT and not shown.tap_sees
        taps = [*self._taps, *([self._tunnel] if attack.where == TUNNEL else [])]
        missed = sum(tap.missed for tap in taps)
        return judge(attack, scene, Evidence(before, self._last, tried, blind, missed))

    def last_look(self) -> Faced | None:
        """Return what got out when its own attack was over, if anything did."""
        time.sleep(LATE_S)
        self._earlier.append(self._scene)
        last = self._look()
        count = self._late_frames or last.unaccounted or 0
        return Faced(Result.OUT, "seen late: by this attack or one before it", count) if count else None

    def _look(self) -> Traces:
        sight = self._lock.inspect(self._facts.policy)
        uplink = [frame for tap in self._taps for frame in tap.frames()]
        self._late_frames += sum(any(scene.shows_in(frame) for scene in self._earlier) for frame in uplink)
        return Traces(
            uplink=uplink,
            tunnel=self._tunnel.frames(),
            loopback=self._loopback.frames(),
            blocked={place: count for place, count in sight.blocked if not place.startswith(_INWARD)},
            unaccounted=self._unaccounted(),
        )

    def _unaccounted(self) -> int | None:
        """Return how many frames have left that the lock did not accept, since this was asked last."""
        leaked = self._audit()
        if leaked:
            self._ledgers = ()  # what is found once stays found: the next attack is not to blame for it
            self._audit()
        return leaked

    def _audit(self) -> int | None:
        devices = self._facts.policy.devices
        for _ in range(READINGS):
            accounts = self._accounting.read(devices)
            if len(accounts) < len(devices) or not all(account.is_exact for account in accounts):
                return None
            self._ledgers, findings = audit(self._ledgers, accounts, devices)
            leaking = [finding.frames or 0 for finding in findings if finding.status is LeakStatus.LEAKING]
            if leaking:
                return sum(leaking)
            if all(finding.status is LeakStatus.CLEAN for finding in findings):
                return 0
            time.sleep(READING_PAUSE_S)
        return None

    def _is_up(self) -> bool:
        request = struct.pack("16s16x", self._uplink.device.encode())
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                answer = fcntl.ioctl(control, _SIOCGIFFLAGS, request)
        except OSError:
            return False
        (flags,) = struct.unpack_from("=H", answer, 16)
        return bool(flags & _IFF_RUNNING)
