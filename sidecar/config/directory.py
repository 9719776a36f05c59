"""The directory of endpoint files: which of them count, in which order, and who else can read them."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from sidecar.config import wgquick
from sidecar.config.draft import Draft, draft
from sidecar.config.mistakes import Mistakes, UnusableError, shown
from sidecar.config.reading import read, text_of

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".conf"
LONGEST_NAME = 64
NAMES_LISTED = 5


def endpoint_files(directory: Path, mistakes: Mistakes, warnings: list[str]) -> tuple[Path, ...]:
    """Return the files that are tried, in the order of their names; none if there is no such directory."""
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except FileNotFoundError:
        return ()
    except OSError as error:
        got = (error.strerror or type(error).__name__).lower()
        mistakes.add(str(directory), got, "let the sidecar's user list it: chmod 755, and mount a directory there")
        return ()
    found = []
    for name in names:
        if not name.endswith(SUFFIX):
            continue
        stem = name.removesuffix(SUFFIX)
        if name.startswith("."):
            # Editors and macOS leave such files beside the real ones.
            warnings.append(f"{directory}: {shown(name)} is hidden, so it is no endpoint")
        elif not stem.isprintable() or len(stem) > LONGEST_NAME:
            got = f"the name {shown(name)} cannot be shown or typed"
            mistakes.add(str(directory), got, f"rename it: up to {LONGEST_NAME} printable characters before {SUFFIX}")
        else:
            found.append(directory / name)
    return tuple(found)


def read_drafts(files: tuple[Path, ...], mistakes: Mistakes, warnings: list[str]) -> tuple[Draft, ...]:
    """Read the endpoint files; those with a mistake are left out, and the mistake is in `mistakes`."""
    drafts = (_draft(path, mistakes, warnings) for path in files)
    return tuple(made for made in drafts if made is not None)


def others_in(directory: Path) -> str:
    """Name some of what is in the directory, for someone who wonders why there is no endpoint."""
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except OSError:
        return "which is not there"
    if not names:
        return "which is empty"
    listed = ", ".join(shown(name) for name in names[:NAMES_LISTED])
    return f"which has {listed}" + (", …" if len(names) > NAMES_LISTED else "")


def _draft(path: Path, mistakes: Mistakes, warnings: list[str]) -> Draft | None:
    try:
        got = read(path)
        text = text_of(got.data)
    except UnusableError as error:
        mistakes.add(str(path), error.got, error.remedy)
        return None
    _warn_if_exposed(path, got.status.st_mode, warnings)
    fields = wgquick.parse(text, path, mistakes, warnings)
    return None if fields is None else draft(fields, mistakes, warnings)


def _warn_if_exposed(path: Path, mode: int, warnings: list[str]) -> None:
    """Warn as wg-quick does: if others can get at the file, and into its directory. Source: wg-quick(8)."""
    try:
        directory_mode = path.parent.stat().st_mode
    except OSError:
        directory_mode = stat.S_IRWXO
    if mode & directory_mode & stat.S_IRWXO:
        warnings.append(f"{path}: others can read this file and the keys in it; chmod 600 {path}")
