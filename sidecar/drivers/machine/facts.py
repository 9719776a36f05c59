"""Asks the kernel and the file system what they can do. Changes nothing, sends nothing, and never raises."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NFT_TIMEOUT_S = 5.0
NETLINK_TIMEOUT_S = 2.0

SIOCGIFMTU = 0x8921
"""Source: linux/sockios.h."""

_IFREQ = struct.Struct("16si20x")
"""struct ifreq of a 64-bit kernel: the name, then a union whose int we want. Source: netdevice(7)."""

NETLINK_GENERIC = 16
GENL_ID_CTRL = 0x10
CTRL_CMD_GETFAMILY = 3
CTRL_ATTR_FAMILY_NAME = 2
NLM_F_REQUEST = 1
NLMSG_ERROR = 2
"""Source: linux/netlink.h, linux/genetlink.h."""

_NLMSGHDR = struct.Struct("=IHHII")
_GENLMSGHDR = struct.Struct("=BBH")
_NLATTR = struct.Struct("=HH")


class Facts:
    """The machine as this process sees it. Tests put another in its place.

    Args:
        proc: where procfs is.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc

    def effective_capabilities(self) -> int | None:
        """The bit mask of what this process may do now; None if it cannot be read. Source: proc_pid_status(5)."""
        found = re.search(r"(?m)^CapEff:\s*([0-9a-f]+)$", self._text("self/status") or "")
        return int(found[1], 16) if found else None

    def kernel_version(self) -> tuple[int, int] | None:
        """Major and minor version of the running kernel."""
        found = re.match(r"(\d+)\.(\d+)", os.uname().release)
        return (int(found[1]), int(found[2])) if found else None

    def sysctl(self, name: str) -> str | None:
        """The value under /proc/sys, such as "net/ipv6/conf/default/disable_ipv6"; None where there is none."""
        text = self._text(f"sys/{name}")
        return None if text is None else text.strip()

    def open_error(self, path: Path, flags: int) -> OSError | None:
        """Open `path` and close it at once; return what was in the way."""
        try:
            os.close(os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK))
        except OSError as error:
            return error
        return None

    def write_error(self, directory: Path) -> OSError | None:
        """Make a nameless file in `directory`; return what was in the way."""
        try:
            with tempfile.TemporaryFile(dir=directory) as file:
                file.write(b"\0")
        except OSError as error:
            return error
        return None

    def is_character_device(self, path: Path) -> bool:
        """Whether `path` is one."""
        return _has_mode(path, stat.S_ISCHR)

    def is_socket(self, path: Path) -> bool:
        """Whether `path` is a unix socket."""
        return _has_mode(path, stat.S_ISSOCK)

    def program(self, name: str) -> str | None:
        """The path of a program; None where it is not installed."""
        return shutil.which(name)

    def library_error(self, name: str) -> str | None:
        """Load a shared library; return the loader's words if it does not load."""
        try:
            ctypes.CDLL(name)
        except OSError as error:
            return str(error)
        return None

    def ruleset_error(self, ruleset: str) -> str | None:
        """Have the kernel check `ruleset` without applying it; return nft's words if it is refused.

        Source: nft(8), --check: the batch goes to the kernel and is aborted there, so this tells what the kernel can.
        """
        program = self.program("nft")
        if program is None:
            return "nft is not installed"
        try:
            done = subprocess.run(  # noqa: S603 - our own text, to a program found in PATH
                [program, "-c", "-f", "-"],
                input=ruleset,
                capture_output=True,
                text=True,
                timeout=NFT_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
        if done.returncode == 0:
            return None
        return next((line for line in done.stderr.splitlines() if line.strip()), f"exit code {done.returncode}")

    def link_mtus(self) -> Mapping[str, int]:
        """The MTU in bytes of every device in the namespace; one that vanishes meanwhile is left out."""
        found: dict[str, int] = {}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as handle:
            for _, name in socket.if_nameindex():
                try:
                    answer = fcntl.ioctl(handle, SIOCGIFMTU, _IFREQ.pack(name.encode(), 0))
                except OSError:
                    continue
                found[name] = _IFREQ.unpack(answer)[1]
        return found

    def has_kernel_wireguard(self) -> bool | None:
        """Ask generic netlink for WireGuard's family, which loads its module where there is one; None: no answer.

        Needs no capability. Source: linux/wireguard.h, WG_GENL_NAME; net/netlink/genetlink.c, ctrl_getfamily.
        """
        try:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_GENERIC) as handle:
                handle.settimeout(NETLINK_TIMEOUT_S)
                handle.send(_family_question(b"wireguard\0"))
                answer = handle.recv(65536)
        except OSError:
            return None
        return _is_family(answer)

    def _text(self, name: str) -> str | None:
        try:
            return (self._proc / name).read_text(encoding="ascii", errors="replace")
        except OSError:
            return None


def _family_question(name: bytes) -> bytes:
    attribute = _NLATTR.pack(_NLATTR.size + len(name), CTRL_ATTR_FAMILY_NAME) + name
    attribute += b"\0" * (-len(attribute) % 4)
    body = _GENLMSGHDR.pack(CTRL_CMD_GETFAMILY, 1, 0) + attribute
    return _NLMSGHDR.pack(_NLMSGHDR.size + len(body), GENL_ID_CTRL, NLM_F_REQUEST, 1, 0) + body


def _is_family(answer: bytes) -> bool | None:
    if len(answer) < _NLMSGHDR.size + 4:
        return None
    kind = _NLMSGHDR.unpack_from(answer)[1]
    if kind == GENL_ID_CTRL:
        return True
    code = struct.unpack_from("=i", answer, _NLMSGHDR.size)[0]
    return False if kind == NLMSG_ERROR and code == -errno.ENOENT else None


def _has_mode(path: Path, test: Callable[[int], bool]) -> bool:
    try:
        return test(path.stat().st_mode)
    except (OSError, ValueError):
        return False
