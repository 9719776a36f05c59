"""Every kind of bad input that the issue names: what makes it of a good configuration, and what must be said."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRIMARY, BACKUP = "10-primary.conf", "20-backup.conf"


@dataclass(frozen=True)
class Mistake:
    """One kind of bad input.

    Attributes:
        spoil: makes it, in a directory of good endpoint files.
        said: words that the message must hold: the place, and a word of the remedy.
        environment: variables that are wrong.
        toml: the settings file, where the mistake is in there.
    """

    name: str
    said: tuple[str, ...]
    spoil: Callable[[Path], object] = lambda _: None
    environment: dict[str, str] = field(default_factory=dict)
    toml: str = ""


def replacing(file: str, key: str, value: str | None) -> Callable[[Path], object]:
    """Return what gives `key` another value in one file, or removes its line."""

    def spoil(directory: Path) -> None:
        path = directory / file
        line = "" if value is None else f"{key} = {value}\n"
        text, count = re.subn(rf"^{key} = .*\n", line, path.read_text(), flags=re.MULTILINE)
        assert count == 1, f"{key} is not in {file} once"
        path.write_text(text)

    return spoil


def copying(file: str, key: str, source: str) -> Callable[[Path], object]:
    """Return what gives `key` in one file the value that it has in another."""

    def spoil(directory: Path) -> None:
        found = re.search(rf"^{key} = (.*)$", (directory / source).read_text(), flags=re.MULTILINE)
        assert found, f"{key} is not in {source}"
        replacing(file, key, found[1])(directory)

    return spoil


def without_endpoints(directory: Path) -> None:
    for path in directory.glob("*.conf"):
        path.unlink()


def unreadable(directory: Path) -> None:
    """A directory in the place of a file: root reads everything else."""
    (directory / BACKUP).unlink()
    (directory / BACKUP).mkdir()


MISTAKES = [
    Mistake("no endpoint", ("/etc/sidecar/endpoints", "put your provider's .conf"), without_endpoints),
    Mistake("unreadable file", (BACKUP,), unreadable),
    Mistake("bad base64", (BACKUP, "line 2", "44 characters"), replacing(BACKUP, "PrivateKey", "*" * 43 + "=")),
    Mistake("short key", (BACKUP, "line 7", "44 characters"), replacing(BACKUP, "PublicKey", "abc=")),
    Mistake("missing key", (BACKUP, "PrivateKey"), replacing(BACKUP, "PrivateKey", None)),
    Mistake("bad address", (PRIMARY, "line 9"), replacing(PRIMARY, "Endpoint", "192.0.2.300:51820")),
    Mistake("bad port", (PRIMARY, "line 9", "65535"), replacing(PRIMARY, "Endpoint", "192.0.2.3:70000")),
    Mistake("hostname as endpoint", (PRIMARY, "line 9", "address"), replacing(PRIMARY, "Endpoint", "vpn.test:51820")),
    Mistake("the same address and port twice", ("10-primary", BACKUP, "line 9"), copying(BACKUP, "Endpoint", PRIMARY)),
    Mistake(
        "IPv6 endpoint without brackets", (PRIMARY, "line 9", "["), replacing(PRIMARY, "Endpoint", "2001:db8::1:51820")
    ),
    Mistake("IPv6 prefix on an IPv4 address", (PRIMARY, "line 3"), replacing(PRIMARY, "Address", "10.64.0.2/64")),
    Mistake("IPv6 resolver, IPv4 tunnel", (BACKUP, "line 4", "IPv6"), replacing(BACKUP, "Address", "10.64.0.2/32")),
    Mistake(
        "endpoints without one tunnel address",
        (BACKUP, "line 3"),
        replacing(BACKUP, "Address", "10.64.0.9/32, fd00:64::2/128"),
    ),
    Mistake("MTU out of range", (PRIMARY, "MTU"), replacing(PRIMARY, "DNS", "10.64.0.1\nMTU = 9")),
    Mistake("unknown TOML key", ("sidecar.toml", "line 2", "health.cycle_s"), toml="[health]\ncycle_z = 2\n"),
    Mistake("number out of range in TOML", ("sidecar.toml", "line 2", "60"), toml="[health]\ncycle_s = 3600\n"),
    Mistake(
        "unknown variable",
        ("SIDECAR_HEALTH_CICLE_S", "SIDECAR_HEALTH_CYCLE_S"),
        environment={"SIDECAR_HEALTH_CICLE_S": "1"},
    ),
    Mistake("variable out of range", ("SIDECAR_HEALTH_CYCLE_S", "60"), environment={"SIDECAR_HEALTH_CYCLE_S": "99"}),
]
