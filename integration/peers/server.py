"""One mock WireGuard server: tunnel, resolver and far side in a container of the sidecar's own image."""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path

from pyroute2 import IPRoute

from . import dns
from .far_side import FarSide
from .names import CLIENT_V4, CLIENT_V6, FAR_PORT, FAR_V4, FAR_V6, RESOLVER_V4, RESOLVER_V6, TUNNEL_DEVICE
from .status import status

CONFIGURATION = Path("/etc/peer/wg.conf")
CONTROL_SOCKET = Path(f"/var/run/wireguard/{TUNNEL_DEVICE}.sock")
READY = Path("/run/peer-ready")
DEADLINE_S = 10.0
DNS_PORT = 53
# linux/if_addr.h
IFA_F_TENTATIVE = 0x40


def has_ipv6() -> bool:
    """Whether new devices of this namespace speak IPv6: Docker turns it off, unless a sysctl says otherwise."""
    switch = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")
    return switch.exists() and switch.read_text().strip() == "0"


def start_tunnel() -> subprocess.Popen[bytes]:
    """Start wireguard-go in the foreground and give it its keys; returns when it answers."""
    environment = {name: value for name, value in os.environ.items() if name != "WG_PROCESS_FOREGROUND"}
    process = subprocess.Popen(["wireguard-go", "-f", TUNNEL_DEVICE], env=environment)
    deadline = time.monotonic() + DEADLINE_S
    while not CONTROL_SOCKET.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"peer: wireguard-go made no {CONTROL_SOCKET} (exit status {process.poll()})")
        time.sleep(0.02)
    subprocess.run(["wg", "setconf", TUNNEL_DEVICE, CONFIGURATION], check=True)
    return process


def configure_device() -> None:
    """Give the tunnel the addresses of the resolver and of the far side, and the client's as routes."""
    addresses = [RESOLVER_V4, FAR_V4] + ([RESOLVER_V6, FAR_V6] if has_ipv6() else [])
    clients = [CLIENT_V4] + ([CLIENT_V6] if has_ipv6() else [])
    with IPRoute() as ip:
        (index,) = ip.link_lookup(ifname=TUNNEL_DEVICE)
        for address in addresses:
            ip.addr("add", index=index, address=str(address), prefixlen=address.max_prefixlen)
        ip.link("set", index=index, state="up")
        for client in clients:
            ip.route("add", dst=f"{client}/{client.max_prefixlen}", oif=index)
        wait_until_bindable(ip, index)


def wait_until_bindable(ip: IPRoute, index: int) -> None:
    """Return when no address is tentative any more: bind() refuses those (EADDRNOTAVAIL).

    A tunnel's IPv6 addresses skip duplicate address detection, but the kernel says so from a work queue, a moment after
    the link is up. Source: net/ipv6/addrconf.c, addrconf_dad_work.
    """
    deadline = time.monotonic() + DEADLINE_S
    while any(address.get_attr("IFA_FLAGS") & IFA_F_TENTATIVE for address in ip.get_addr(index=index)):
        if time.monotonic() > deadline:
            sys.exit(f"peer: an address of {TUNNEL_DEVICE} was still tentative after {DEADLINE_S} s")
        time.sleep(0.02)


def bind_both(server: type, port: int, *arguments: object) -> list[socketserver.BaseServer]:
    """Start a server on the resolver's and the far side's addresses: IPv4 always, IPv6 where there is any.

    One socket an address, not a wildcard: an answer must leave from the address that was asked.
    """
    started = []
    addresses = [RESOLVER_V4, FAR_V4] + ([RESOLVER_V6, FAR_V6] if has_ipv6() else [])
    for address in addresses:
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        bound = type(server.__name__, (server,), {"address_family": family})((str(address), port), *arguments)
        threading.Thread(target=bound.serve_forever, daemon=True).start()
        started.append(bound)
    return started


def serve(peer: str) -> int:
    """Run until SIGTERM, or until wireguard-go ends."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    tunnel = start_tunnel()
    configure_device()
    bind_both(socketserver.ThreadingUDPServer, DNS_PORT, dns.Handler)
    bind_both(FarSide, FAR_PORT, peer, lambda: status(peer))
    READY.touch()
    while not stop.wait(0.5):
        if tunnel.poll() is not None:
            sys.stderr.write(f"peer {peer}: wireguard-go ended with {tunnel.returncode}\n")
            return 1
    tunnel.terminate()
    tunnel.wait(DEADLINE_S)
    return 0
