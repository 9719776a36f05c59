"""Mock WireGuard peers: wireguard-go in a namespace, with a far side that answers."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Self

from sidecar.core.model import PublicKey, Secret
from tests.netns.world import SOCKETS
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.netns.world import Namespace, World

FAR_ADDRESS = "198.51.100.10"
"""What every peer has on its loopback, unless told otherwise: the world beyond the tunnel."""

ECHO_PORT = 7
DNS_PORT = 53
PEER_LISTEN_PORT = 51820


@dataclass(frozen=True)
class Keys:
    """A key pair, made by wg(8) at run time."""

    private: Secret
    public: PublicKey

    @classmethod
    def generate(cls) -> Keys:
        return cls.of(Secret(_wg("genkey", "")))

    @classmethod
    def of(cls, private: Secret) -> Keys:
        return cls(private, PublicKey(_wg("pubkey", private.reveal())))


def generate_preshared_key() -> Secret:
    return Secret(_wg("genpsk", ""))


class Responder:
    """Answers UDP on one address and port, in a namespace, and remembers who asked.

    Port 53 gets the question back marked as a response (QR, RA); any other port gets its datagram back.
    """

    def __init__(self, namespace: Namespace, address: str, port: int) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._port = port
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with namespace.entered():
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.settimeout(0.1)
        self._socket.bind((address, port))
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"responder {address}:{port}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=5)
        self._socket.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                datagram, sender = self._socket.recvfrom(65535)
                self.heard.append((sender[0], datagram))
                self._socket.sendto(self._answer(datagram), sender)
            except OSError:  # a timeout, or an ICMP error of an earlier answer: the next question may be fine
                continue

    def _answer(self, datagram: bytes) -> bytes:
        if self._port != DNS_PORT:
            return datagram
        flags = bytes([datagram[2] | 0x80, (datagram[3] & 0x0F) | 0x80])
        return datagram[:2] + flags + datagram[4:]


class MockPeer:
    """A WireGuard server and what lies behind it: ICMP echo, UDP echo on port 7, DNS on port 53.

    Several may run beside each other in namespaces of their own, each with the same far address, as real providers do.
    """

    def __init__(self, world: World, namespace: Namespace, *, far_addresses: tuple[str, ...] = (FAR_ADDRESS,)) -> None:
        self.namespace = namespace
        self.keys = Keys.generate()
        self.device = world.device_name()
        self.listen_port = PEER_LISTEN_PORT
        self._far_addresses = far_addresses
        self._responders: list[Responder] = []
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        for address in self._far_addresses:
            self.namespace.ip("address", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))
            self._responders += [Responder(self.namespace, address, port) for port in (ECHO_PORT, DNS_PORT)]
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for responder in self._responders:
            responder.close()
        self.stop()

    def start(self) -> None:
        """Start the server; it knows nobody yet: see `admit`."""
        self._process = self.namespace.start(["wireguard-go", "-f", self.device])
        wait_until((SOCKETS / f"{self.device}.sock").exists, 10, f"wireguard-go's socket for {self.device}")
        self._set("listen-port", str(self.listen_port), private_key=self.keys.private)
        self.namespace.ip("link", "set", self.device, "up", "mtu", "1420")

    def stop(self) -> None:
        """Cut the server dead: it answers nothing any more. `start` and `admit` bring it back."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=5)
            self._process = None
            (SOCKETS / f"{self.device}.sock").unlink(missing_ok=True)

    def admit(self, public_key: PublicKey, *inner_addresses: str, preshared_key: Secret | None = None) -> None:
        """Let a client in, under these inner addresses, and route them back to it."""
        allowed = ",".join(str(ip_network(address)) for address in inner_addresses)
        self._set("peer", public_key, "allowed-ips", allowed, preshared_key=preshared_key)
        for address in inner_addresses:
            self.namespace.ip("route", "replace", str(ip_network(address)), "dev", self.device)

    def expel(self, public_key: PublicKey) -> None:
        self._set("peer", public_key, "remove")

    def show(self, what: str) -> str:
        """Return `wg show <device> <what>`, such as "endpoints" or "latest-handshakes"."""
        return self.namespace.run(["wg", "show", self.device, what]).stdout

    def heard(self, port: int = ECHO_PORT) -> list[tuple[str, bytes]]:
        """Return who asked the far side on `port`, and what, over all far addresses."""
        return [entry for responder in self._responders if responder._port == port for entry in responder.heard]

    def _set(self, *arguments: str, private_key: Secret | None = None, preshared_key: Secret | None = None) -> None:
        command = ["wg", "set", self.device, *arguments]
        secret = private_key or preshared_key
        if secret is not None:
            command += ["private-key" if private_key else "preshared-key", "/dev/stdin"]
        self.namespace.run(command, stdin=secret.reveal() if secret else None)


def _wg(verb: str, stdin: str) -> str:
    done = subprocess.run(["wg", verb], input=stdin, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def ask(far_address: str, payload: bytes | None = None, timeout_s: float = 0.5) -> bool:
    """From the calling thread's namespace: send one datagram to the far side's echo, say whether it came back."""
    payload = os.urandom(8) if payload is None else payload
    family = socket.AF_INET6 if ":" in far_address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout_s)
        try:
            sock.connect((far_address, ECHO_PORT))
            sock.send(payload)
            return sock.recv(65535) == payload
        except OSError:
            return False
