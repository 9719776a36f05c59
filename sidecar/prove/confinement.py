"""Being no more than a workload is: root with Docker's default capabilities, and no way to get more."""

from __future__ import annotations

import ctypes
import os
from typing import Final

# Source: moby, oci/caps/defaults.go; numbers from <linux/capability.h>.
DOCKER_DEFAULTS: Final = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "FSETID": 4,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "NET_BIND_SERVICE": 10,
    "NET_RAW": 13,
    "SYS_CHROOT": 18,
    "MKNOD": 27,
    "AUDIT_WRITE": 29,
    "SETFCAP": 31,
}
_MORE_THAN_ANY_KERNEL_HAS = 64
# Source: <linux/prctl.h>, <linux/capability.h>
_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 23, 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Word(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def confine() -> None:
    """Give up, for good, every capability of this process that Docker does not give by default.

    Raises:
        OSError: the kernel did not let us.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(_MORE_THAN_ANY_KERNEL_HAS):
        if number not in DOCKER_DEFAULTS.values() and _libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) == 1:
            _prctl(_PR_CAPBSET_DROP, number)
    header, words = _Header(_VERSION_3, 0), (_Word * 2)()
    _check(_libc.capget(ctypes.byref(header), words), "capget")
    wanted = sum(1 << number for number in DOCKER_DEFAULTS.values())
    for word in words:
        word.permitted &= wanted
        word.effective = word.permitted
        word.inheritable = 0
        wanted >>= 32
    _check(_libc.capset(ctypes.byref(header), words), "capset")


def effective() -> frozenset[int]:
    """Return the numbers of the capabilities that this process has."""
    header, words = _Header(_VERSION_3, 0), (_Word * 2)()
    _check(_libc.capget(ctypes.byref(header), words), "capget")
    bits = words[0].effective | words[1].effective << 32
    return frozenset(number for number in range(_MORE_THAN_ANY_KERNEL_HAS) if bits >> number & 1)


def _prctl(option: int, argument: int) -> None:
    _check(_libc.prctl(option, argument, 0, 0, 0), f"prctl {option} {argument}")


def _check(answer: int, what: str) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
