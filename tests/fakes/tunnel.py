"""A WireGuard device in memory, and the servers it may meet."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sidecar.core.sights import PeerSight, WireGuardSight
from sidecar.errors import TunnelError

if TYPE_CHECKING:
    from sidecar.core.model import Address, Endpoint, PublicKey, Secret


@dataclass(frozen=True)
class FakeServer:
    """A server that answers whoever has its public key and its preshared key."""

    public_key: PublicKey
    preshared_key: Secret | None = None


class FakeTunnel:
    """`Tunnel`. A test says which servers answer, which ports are taken, when the device dies and what is sent.

    Set `failing` to an error and every method of the port raises it; `delay_s` is what each takes. `writes` are the
    endpoint names and "rebind".
    """

    kind = "fake"

    def __init__(self) -> None:
        self.devices: dict[str, WireGuardSight] = {}
        self.servers: dict[tuple[Address, int], FakeServer] = {}
        self.taken_ports: set[int] = set()
        self.failing: TunnelError | None = None
        self.delay_s = 0.0
        self.writes: list[str] = []
        self._preshared_keys: dict[str, Secret | None] = {}

    # --- what a test does to the world

    def kill(self, device: str) -> None:
        """End the device, as SIGKILL of wireguard-go does."""
        self.devices.pop(device, None)

    def send(self, device: str, size_bytes: int = 100) -> bool:
        """Send something through the tunnel; return whether it was answered, with as many bytes."""
        sight = self.devices[device]
        peer = sight.peer
        if peer is None or peer.endpoint_address is None or peer.endpoint_port is None:
            return False
        server = self.servers.get((peer.endpoint_address, peer.endpoint_port))
        answered = server == FakeServer(peer.public_key, self._preshared_keys[device])
        rx_bytes = peer.rx_bytes + (size_bytes if answered else 0)
        age_s = 0.0 if answered else peer.latest_handshake_age_s
        sent = replace(peer, tx_bytes=peer.tx_bytes + size_bytes, rx_bytes=rx_bytes, latest_handshake_age_s=age_s)
        self.devices[device] = replace(sight, peer=sent)
        return answered

    # --- Tunnel

    def create(self, device: str) -> None:
        self._maybe_fail()
        self.devices.setdefault(device, WireGuardSight(None, 0, 0))

    def configure(self, device: str, endpoint: Endpoint, listen_port: int, fwmark: int) -> None:
        self._check(device, listen_port)
        peer = PeerSight(endpoint.public_key, endpoint.address, endpoint.port, endpoint.allowed_ips, 0, 0, None)
        self.devices[device] = WireGuardSight(endpoint.private_key, listen_port, fwmark, peer)
        self._preshared_keys[device] = endpoint.preshared_key
        self.writes.append(endpoint.name)

    def rebind(self, device: str, listen_port: int) -> None:
        self._check(device, listen_port)
        self.devices[device] = replace(self.devices[device], listen_port=listen_port)
        self.writes.append("rebind")

    def inspect(self, device: str) -> WireGuardSight | None:
        self._maybe_fail()
        return self.devices.get(device)

    # --- behind the curtain

    def _check(self, device: str, listen_port: int) -> None:
        self._maybe_fail()
        if device not in self.devices:
            raise TunnelError(attempted=f"set up {device}", got="no such device", remedy="create the tunnel first")
        if listen_port in self.taken_ports - {self.devices[device].listen_port}:
            raise TunnelError(attempted=f"set up {device}", got="Address already in use", remedy="take another port")

    def _maybe_fail(self) -> None:
        time.sleep(self.delay_s)
        if self.failing is not None:
            raise self.failing
