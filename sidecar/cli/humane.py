"""Numbers and names as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.core.model import Address

SECONDS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
BYTES_STEP = 1024
MINUTES_WITH_SECONDS = 10
"""Below this many minutes the seconds still matter to somebody who watches."""


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: "42 s", "4 min 10 s", "25 min", "3 h 5 min", "2 d 7 h"."""
    left = max(0, int(seconds))
    if left >= MINUTES_WITH_SECONDS * 60:
        left -= left % 60
    parts: list[tuple[int, str]] = []
    for size, unit in SECONDS:
        amount, left = divmod(left, size)
        if amount or parts:
            parts.append((amount, unit))
    words = [f"{amount} {unit}" for amount, unit in parts[:2] if amount]
    return " ".join(words) or "0 s"


def size(count_bytes: int) -> str:
    """Return an amount of data as wg(8) does: "17 B", "1.25 GiB"."""
    amount = float(count_bytes)
    for unit in BYTES[:-1]:
        if amount < BYTES_STEP:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.2f} {unit}"
        amount /= BYTES_STEP
    return f"{amount:.2f} {BYTES[-1]}"


def plural(count: int, noun: str) -> str:
    """Return "1 packet", "2,031 packets"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def socket_address(address: Address, port: int) -> str:
    """Return "203.0.113.7:51820" or "[2001:db8::7]:51820"."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"  # noqa: PLR2004 - the IP version


def printable(text: str) -> str:
    """Return `text` on one line, with nothing in it that a terminal obeys: names and frames come from outside."""
    visible = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(visible.split())
