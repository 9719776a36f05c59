"""libnftables by ctypes: one call, one transaction, in the calling thread's network namespace.

Source: libnftables(3). A transaction takes a fraction of a millisecond this way, a started `nft` sixteen.
"""

from __future__ import annotations

import ctypes
import socket
import threading
from functools import cache

from sidecar.drivers.nftables.listing import without_marks
from sidecar.errors import LockError

_LIBRARY = "libnftables.so.1"
_NETLINK_NETFILTER = 12  # <linux/netlink.h>
_ERRORS_SHOWN = 3
_LONGEST_LINE = 160
# strerror(3) of EBUSY, EAGAIN, EINTR, ENOBUFS: another transaction, or a listing that changed while it was read.
_TRANSIENT = (
    "Device or resource busy",
    "Resource temporarily unavailable",
    "Interrupted system call",
    "No buffer space available",
)
_REMEDIES = {
    "Operation not permitted": "give the container the capability NET_ADMIN (cap_add: [NET_ADMIN])",
    "Operation not supported": "use a kernel with nf_tables and its netdev egress hook (5.16 or later)",
    "No such file or directory": "look at the devices again: one may be gone (`ip link`)",
}
_OTHER_REMEDY = "see what is in the way with `nft list ruleset`"

# libnftables keeps some of its tables of names in globals that every new context fills: one context at a time.
_one_at_a_time = threading.Lock()


class TransientLockError(LockError):
    """The kernel was busy; the same commands may pass in a moment."""


def run(commands: str, attempted: str) -> str:
    """Run nft commands as one transaction and return what they print. Nothing of a failed one is in force.

    Args:
        commands: in nft's language; several lines are one transaction.
        attempted: what this is for, in words, for the error.

    Raises:
        LockError: the kernel or nft refused; the message is libnftables' own, without marks.
        TransientLockError: trying again may help.
    """
    library = _library()
    with _one_at_a_time:
        _require_netlink(attempted)
        # A context's socket belongs to the namespace of the thread that makes it, so it lives for one call.
        context = library.nft_ctx_new(0)
        if not context:
            raise TransientLockError(attempted=attempted, got="libnftables gave no context", remedy="free some memory")
        try:
            return _run_in(library, context, commands, attempted)
        finally:
            library.nft_ctx_free(context)


def _run_in(library: ctypes.CDLL, context: int, commands: str, attempted: str) -> str:
    if library.nft_ctx_buffer_output(context) != 0 or library.nft_ctx_buffer_error(context) != 0:
        raise TransientLockError(attempted=attempted, got="libnftables gave no buffer", remedy="free some memory")
    failed = library.nft_run_cmd_from_buffer(context, commands.encode()) != 0
    if failed:
        raise error_of(attempted, _decoded(library.nft_ctx_get_error_buffer(context)))
    return _decoded(library.nft_ctx_get_output_buffer(context))


def _decoded(buffer: bytes | None) -> str:
    return (buffer or b"").decode(errors="replace")


def error_of(attempted: str, message: str) -> LockError:
    """Return the error for what libnftables said, with a remedy; a transient one where waiting may help."""
    got = _in_one_line(message)
    remedy = next((words for sign, words in _REMEDIES.items() if sign in message), _OTHER_REMEDY)
    kind = TransientLockError if any(sign in message for sign in _TRANSIENT) else LockError
    return kind(attempted=attempted, got=got, remedy=remedy)


def _in_one_line(message: str) -> str:
    """Return the first errors, each with the command that it is about; the marker line under it is left out."""
    lines = [line.strip() for line in without_marks(message).splitlines()]
    errors = [at for at, line in enumerate(lines) if "Error:" in line]
    told = [": ".join(line[:_LONGEST_LINE] for line in lines[at : at + 2] if line) for at in errors[:_ERRORS_SHOWN]]
    return "; ".join(told) or " ".join(lines)[:_LONGEST_LINE] or "libnftables said nothing"


def _require_netlink(attempted: str) -> None:
    """Open the kind of socket that libnftables is about to open: where it cannot, it ends the whole process."""
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER).close()
    except OSError as error:
        raise LockError(
            attempted=attempted,
            got=f"no netlink socket: {error.strerror}",
            remedy="raise the limit of open files, or use a kernel with nf_tables",
        ) from error


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise LockError(
            attempted=f"load {_LIBRARY}", got=str(error), remedy="install libnftables1 (Debian's package)"
        ) from error
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_ctx_free.restype = None
    for name in ("nft_ctx_free", "nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
        getattr(library, name).restype = ctypes.c_char_p
    return library
