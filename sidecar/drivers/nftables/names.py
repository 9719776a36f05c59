"""Device names in the two places where nft wants them: as part of an identifier, and as a quoted string."""

from __future__ import annotations

from sidecar.errors import LockError

_UNQUOTABLE = frozenset('"*\\')
_LONGEST_NAME = 15  # IFNAMSIZ less the final zero; libnftables 1.0.6 aborts the process on a longer one


def identifier(device: str) -> str:
    """Return `device` as part of an nft identifier; two devices never share one.

    The kernel allows every character but "/", ":" and white space in a name; nft allows few in an identifier. What is
    not a letter or a digit becomes "_" and its two hexadecimal digits, the underscore too.

    Raises:
        LockError: the name cannot be written in nft at all.
    """
    _require_quotable(device)
    return "".join(letter if letter.isalnum() else f"_{ord(letter):02x}" for letter in device)


def quoted(device: str) -> str:
    """Return `device` as an nft string that matches this one device.

    A trailing "*" would match every name that begins so, and nft has no escape for a quotation mark: such a device is
    refused, so that a permit is never wider than it reads.

    Raises:
        LockError: the name cannot be written in nft.

    Source: nft(8), "ifname" data type.
    """
    _require_quotable(device)
    return f'"{device}"'


def _require_quotable(device: str) -> None:
    writable = device.isascii() and device.isprintable() and not _UNQUOTABLE & set(device)
    if not writable or not 0 < len(device) <= _LONGEST_NAME:
        raise LockError(
            attempted=f"write rules for the device {device!r}",
            got="nft has no way to write this name exactly",
            remedy="rename the device with letters, digits, dots and dashes only",
        )
