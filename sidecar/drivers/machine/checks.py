"""Judges the facts: each check is a line with its remedy, a line to write into compose.yaml where it can be one."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.drivers.machine.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Callable

TUN = Path("/dev/net/tun")
RESOLV_CONF = Path("/etc/resolv.conf")
LIBNFTABLES = "libnftables.so.1"

CAP_NET_ADMIN = 12
CAP_NET_RAW = 13
"""Source: linux/capability.h."""

EGRESS_SINCE = (5, 16)
"""Source: kernel commit 42df6e1d221d ("netfilter: Introduce egress hook")."""

OWNER_PERSIST_SINCE = (6, 9)
"""Source: DESIGN 3, "flags owner, persist"; linux/netfilter/nf_tables.h, NFT_TABLE_F_PERSIST."""

WIREGUARD_OVERHEAD_BYTES = 80
"""Outer IPv6 and UDP headers and WireGuard's own. Source: DESIGN 3, "Tunnel MTU <= uplink - 80"."""

LOWEST_IPV6_MTU_BYTES = 1280
"""Source: RFC 8200 section 5."""

INET_RULESET = """
table inet sidecar_check {
    set servers { type ipv4_addr . inet_service; }
    chain postrouting {
        type filter hook postrouting priority srcnat; policy accept;
        ip daddr . udp dport @servers counter
    }
}
"""
EGRESS_RULESET = """
table netdev sidecar_check {
    chain egress {
        type filter hook egress device "lo" priority 0; policy accept;
        ether type ip counter meta mark set 0
    }
}
"""
OWNER_RULESET = "table inet sidecar_check { flags owner,persist; }\n"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `sidecar check`.

    Attributes:
        ok: None means that it cannot be told, which is not good.
        text: what was found.
        remedy: what to do; empty where nothing is.
    """

    name: str
    ok: bool | None
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Needs:
    """What the configuration asks of the machine; the defaults serve where there is no configuration yet.

    Attributes:
        implementation: "auto", "kernel" or "userspace".
        mtu_bytes: the highest MTU that an endpoint asks for; None: all derive it from the uplink.
        has_ipv6: the tunnel has an IPv6 address.
        has_dns: resolv.conf must be written.
        docker_socket: None: the engine is not used.
    """

    implementation: str = "auto"
    device: str = "wg0"
    mtu_bytes: int | None = None
    has_ipv6: bool = False
    has_dns: bool = True
    state_directory: Path = Path("/var/lib/sidecar")
    docker_socket: Path | None = None


def check_machine(needs: Needs, facts: Facts | None = None) -> tuple[Check, ...]:
    """Check everything; bounded in time, and the same every time unless the machine changes."""
    return tuple(check(needs, facts or Facts()) for check in CHECKS)


def _net_admin(needs: Needs, facts: Facts) -> Check:
    del needs
    return _capability("CAP_NET_ADMIN", CAP_NET_ADMIN, facts, "cap_add: [NET_ADMIN]")


def _net_raw(needs: Needs, facts: Facts) -> Check:
    del needs
    remedy = "cap_add: [NET_ADMIN, NET_RAW], and no cap_drop of it for the sidecar itself"
    return _capability("CAP_NET_RAW", CAP_NET_RAW, facts, remedy)


def _capability(name: str, bit: int, facts: Facts, remedy: str) -> Check:
    mask = facts.effective_capabilities()
    if mask is None:
        return Check(name, None, "the process's own status cannot be read", "mount /proc")
    if mask >> bit & 1:
        return Check(name, ok=True, text="effective")
    return Check(name, ok=False, text="missing", remedy=remedy)


def _kernel(needs: Needs, facts: Facts) -> Check:
    del needs
    version = facts.kernel_version()
    if version is None:
        return Check("kernel", None, "its version cannot be read", "run on Linux 5.16 or later")
    text = f"Linux {version[0]}.{version[1]}"
    if version < EGRESS_SINCE:
        return Check("kernel", ok=False, text=f"{text} has no egress hook", remedy="run on Linux 5.16 or later")
    if version < OWNER_PERSIST_SINCE:
        text += ": before 6.9 a table cannot be owned for good, so a change to it is undone rather than refused"
    return Check("kernel", ok=True, text=text)


def _libnftables(needs: Needs, facts: Facts) -> Check:
    del needs
    refused = facts.library_error(LIBNFTABLES)
    if refused is None:
        return Check("libnftables", ok=True, text="loads")
    return Check("libnftables", ok=False, text=refused, remedy="use the sidecar's own image (Debian: libnftables1)")


def _nftables(needs: Needs, facts: Facts) -> Check:
    del needs
    return _ruleset("nftables", INET_RULESET, facts, "run on a kernel with nf_tables: modprobe nf_tables on the host")


def _egress(needs: Needs, facts: Facts) -> Check:
    del needs
    remedy = "run on Linux 5.16 or later with CONFIG_NETFILTER_EGRESS: modprobe nf_tables on the host"
    return _ruleset("nft egress hook", EGRESS_RULESET, facts, remedy)


def _ruleset(name: str, ruleset: str, facts: Facts, remedy: str) -> Check:
    refused = facts.ruleset_error(ruleset)
    if refused is None:
        return Check(name, ok=True, text="the kernel accepts it")
    if "not permitted" in refused:
        return Check(name, None, refused, "cap_add: [NET_ADMIN], then check again")
    if "not installed" in refused:
        return Check(name, None, refused, "use the sidecar's own image (Debian: nftables)")
    if "syntax error" in refused:
        remedy = "use the sidecar's own image: this nft is too old (Debian 12's 1.0.6 is known to work)"
    return Check(name, ok=False, text=refused, remedy=remedy)


def _owner(needs: Needs, facts: Facts) -> Check:
    """Report only: the lock is watched in any case."""
    del needs
    refused = facts.ruleset_error(OWNER_RULESET)
    if refused is None:
        return Check("nft ownership", ok=True, text="a table can be owned for good (owner, persist)")
    return Check("nft ownership", ok=True, text=f"no table can be owned for good, so the lock is watched: {refused}")


def _wireguard(needs: Needs, facts: Facts) -> Check:
    in_kernel, program = facts.has_kernel_wireguard(), facts.program("wireguard-go")
    found = {True: "in the kernel", False: "not in the kernel", None: "the kernel does not say whether it has it"}
    text = f"{found[in_kernel]}; wireguard-go is {'at ' + program if program else 'not installed'}"
    if needs.implementation == "kernel":
        remedy = 'modprobe wireguard on the host, or tunnel.implementation = "auto"'
        return Check("WireGuard", in_kernel, text, "" if in_kernel else remedy)
    usable = program is not None or (needs.implementation == "auto" and in_kernel is True)
    return Check("WireGuard", usable, text, "" if usable else "use the sidecar's own image (Debian: wireguard-go)")


def _tun(needs: Needs, facts: Facts) -> Check:
    name = str(TUN)
    if needs.implementation == "kernel":
        return Check(name, ok=True, text="not needed: WireGuard is the kernel's")
    remedy = f"devices: [{TUN}], and modprobe tun on the host"
    if not facts.is_character_device(TUN):
        text = "there is no such device"
    elif error := facts.open_error(TUN, os.O_RDWR):
        text = f"it cannot be opened: {_words(error)}"
    else:
        return Check(name, ok=True, text="opens")
    if needs.implementation == "auto" and facts.has_kernel_wireguard():
        return Check(name, ok=True, text=f"{text}; not needed: WireGuard is the kernel's")
    return Check(name, ok=False, text=text, remedy=remedy)


def _mtu(needs: Needs, facts: Facts) -> Check:
    uplinks = {name: mtu for name, mtu in facts.link_mtus().items() if name not in {"lo", needs.device}}
    if not uplinks:
        return Check("MTU", None, "there is no uplink", "give the sidecar a network")
    name = min(uplinks, key=lambda uplink: (uplinks[uplink], uplink))
    room_bytes = uplinks[name] - WIREGUARD_OVERHEAD_BYTES
    wanted_bytes = room_bytes if needs.mtu_bytes is None else needs.mtu_bytes
    text = f"the uplink {name} has {uplinks[name]}, so the tunnel may have {room_bytes} and gets {wanted_bytes}"
    if wanted_bytes > room_bytes:
        return Check("MTU", ok=False, text=text, remedy=f"MTU = {room_bytes} in the endpoint files, or leave it out")
    if needs.has_ipv6 and wanted_bytes < LOWEST_IPV6_MTU_BYTES:
        remedy = f"use an uplink with an MTU of {LOWEST_IPV6_MTU_BYTES + WIREGUARD_OVERHEAD_BYTES} or more"
        return Check("MTU", ok=False, text=f"{text}; IPv6 needs {LOWEST_IPV6_MTU_BYTES}", remedy=remedy)
    return Check("MTU", ok=True, text=text)


def _state(needs: Needs, facts: Facts) -> Check:
    error = facts.write_error(needs.state_directory)
    if error is None:
        return Check("state", ok=True, text=f"{needs.state_directory} can be written")
    text = f"{needs.state_directory} cannot be written: {_words(error)}"
    return Check("state", ok=False, text=text, remedy=f"volumes: [state:{needs.state_directory}]")


def _resolv_conf(needs: Needs, facts: Facts) -> Check:
    error = facts.open_error(RESOLV_CONF, os.O_WRONLY)
    if error is None:
        return Check("resolv.conf", ok=True, text="can be written")
    text = f"{RESOLV_CONF} cannot be written: {_words(error)}"
    if not needs.has_dns:
        return Check("resolv.conf", ok=True, text=f"{text}; not needed: no endpoint has DNS")
    # Docker mounts the file read-only with a read-only root. Source: moby, container_unix.go, NetworkMounts.
    remedy = "remove read_only: true from the sidecar's service" if error.errno == errno.EROFS else "run it as root"
    return Check("resolv.conf", ok=False, text=text, remedy=remedy)


def _ipv6(needs: Needs, facts: Facts) -> Check:
    disabled = facts.sysctl(f"net/ipv6/conf/{needs.device}/disable_ipv6")
    if disabled is None:
        # A device that is yet to be made inherits this.
        disabled = facts.sysctl("net/ipv6/conf/default/disable_ipv6")
    if disabled == "0":
        return Check("IPv6", ok=True, text="enabled for the tunnel")
    text = "the kernel has none" if disabled is None else "disabled for the tunnel"
    if not needs.has_ipv6:
        return Check("IPv6", ok=True, text=f"{text}; not needed: the tunnel has no IPv6 address")
    remedy = 'sysctls: {net.ipv6.conf.default.disable_ipv6: "0"}'
    if disabled is None:
        remedy = "boot the host with IPv6, or remove the IPv6 Address from the endpoint files"
    return Check("IPv6", ok=False, text=text, remedy=remedy)


def _rp_filter(needs: Needs, facts: Facts) -> Check:
    """Report only: the tunnel's routes are right for every setting of it, but people ask."""
    del needs
    words = {"0": "off", "1": "strict", "2": "loose", None: "not to be read"}
    value = facts.sysctl("net/ipv4/conf/all/rp_filter")
    return Check("rp_filter", ok=True, text=f"{words.get(value, value)}; any setting works")


def _docker_socket(needs: Needs, facts: Facts) -> Check:
    if needs.docker_socket is None:
        return Check("engine socket", ok=True, text="not used")
    if facts.is_socket(needs.docker_socket):
        return Check("engine socket", ok=True, text=f"{needs.docker_socket} is there")
    text = f"{needs.docker_socket} is no socket"
    remedy = f"volumes: [/var/run/docker.sock:{needs.docker_socket}], or set docker.socket to nothing"
    return Check("engine socket", ok=False, text=text, remedy=remedy)


def _words(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


CHECKS: tuple[Callable[[Needs, Facts], Check], ...] = (
    _net_admin,
    _net_raw,
    _kernel,
    _libnftables,
    _nftables,
    _egress,
    _owner,
    _wireguard,
    _tun,
    _mtu,
    _state,
    _resolv_conf,
    _ipv6,
    _rp_filter,
    _docker_socket,
)
