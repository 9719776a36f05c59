"""The `Resolver` port: the resolv.conf that the workloads share.

Docker bind-mounts one file into the sidecar and into every container that joins it, so it is written in place: a new
file under the old name would be seen by the sidecar alone. Only name servers are kept. `search` names the host's own
domain and would send it along with every short name; `options` was meant for the resolver that we replace.

Source: resolv.conf(5).
"""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.core.model import Address

RESOLV_CONF = Path("/etc/resolv.conf")
LARGEST_BYTES = 1 << 16
"""More than any resolv.conf has. A workload may make the file that it shares with us a terabyte of hole."""

HEADER = "# Written by sidecar: names are resolved through the tunnel, or not at all.\n"
_REMEDY = (
    "make it writable for the sidecar: Docker mounts it read-only in a container with read_only: true, "
    "so leave that off for the sidecar"
)


class ResolvConf:
    """One resolv.conf.

    Args:
        path: as mounted in this container.
    """

    def __init__(self, path: Path = RESOLV_CONF) -> None:
        self._path = path

    def nameservers(self) -> tuple[Address, ...]:
        """Return what is listed, in order, without lines that the C library would ignore too.

        No file lists nothing, and neither does one that is too large to be ours: it is to be written anew.
        """
        try:
            with self._path.open("rb") as file:
                content = file.read(LARGEST_BYTES + 1)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise ResolverError(attempted=f"read {self._path}", got=str(error), remedy="make it readable") from error
        return tuple(_listed(content.decode(errors="replace"))) if len(content) <= LARGEST_BYTES else ()

    def write(self, nameservers: tuple[Address, ...]) -> None:
        """List exactly these; a reader never finds half of the old text and half of the new."""
        text = HEADER + "".join(f"nameserver {address}\n" for address in nameservers)
        try:
            _replace_in_place(self._path, text.encode())
        except OSError as error:
            raise ResolverError(attempted=f"write {self._path}", got=str(error), remedy=_REMEDY) from error


def _listed(text: str) -> Iterator[Address]:
    for line in text.split("\n"):
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                yield ip_address(words[1])
            except ValueError:
                continue


def _replace_in_place(path: Path, content: bytes) -> None:
    """Write `content` over the file in one go, blank lines over what was longer, and only then cut those off.

    What is too large to be read is cut first.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if os.fstat(descriptor).st_size > LARGEST_BYTES:
            os.ftruncate(descriptor, LARGEST_BYTES)
        padded = content.ljust(os.fstat(descriptor).st_size, b"\n")
        written = os.pwrite(descriptor, padded, 0)
        if written != len(padded):
            raise OSError(f"only {written} of {len(padded)} bytes were written")
        os.ftruncate(descriptor, len(content))
    finally:
        os.close(descriptor)
