"""Looks a value up in the environment, in a file that the environment names, and among the mounted secrets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.config.draft import Entry
from sidecar.config.mistakes import Mistakes, UnusableError, nearest
from sidecar.config.reading import is_there, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_INJECTED = re.compile(r".*_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)")
_INJECTED_URL = re.compile(r"(?:tcp|udp|sctp)://.*")
"""What Kubernetes (and Docker's legacy links) put into every container for a service called "sidecar".

Source: Kubernetes documentation, "Discovering services: environment variables".
"""


class Variables:
    """The environment as it was at the start, with the files that can stand in for a variable.

    A value comes from the variable itself; else from the file that the variable with a suffix names; else from the
    secret with the variable's name in lower case. An empty variable is an unset one: Compose writes those.

    Args:
        suffixes: what may follow the names of these variables to name a file, such as `_FILE`.
    """

    def __init__(self, environ: Mapping[str, str], secrets_directory: Path, suffixes: tuple[str, ...]) -> None:
        self._environ = {name: value.strip() for name, value in environ.items() if value.strip()}
        self._secrets_directory = secrets_directory
        self._suffixes = suffixes

    def entry(self, name: str, mistakes: Mistakes) -> Entry | None:
        """Return what was written for `name`; None if nothing was, or if that took a mistake."""
        given = [variant for variant in self._variants(name) if variant in self._environ]
        if len(given) > 1:
            mistakes.add(given[0], f"{' and '.join(given)} are both set", "keep one of them")
            return None
        if given == [name]:
            return Entry(name, self._environ[name])
        if given:
            path = Path(self._environ[given[0]])
            return self._from_file(path, f"{path} (named by {given[0]})", mistakes)
        secret = self._secret(name)
        return self._from_file(secret, str(secret), mistakes) if is_there(secret) else None

    def files(self, names: Iterable[str]) -> tuple[Path, ...]:
        """Return every file that `entry` might read for `names`, whether it exists or not."""
        every = tuple(names)
        named = [
            Path(self._environ[variant])
            for name in every
            for variant in self._variants(name)
            if variant != name and variant in self._environ
        ]
        return (*named, *(self._secret(name) for name in every))

    def require_known(self, prefix: str, names: Iterable[str], mistakes: Mistakes) -> None:
        """Refuse variables that start with `prefix` and mean nothing, naming the nearest that does."""
        known = {variant for name in names for variant in self._variants(name)}
        for name, value in sorted(self._environ.items()):
            if name.startswith(prefix) and name not in known and not _is_injected(name, value):
                # Without the prefix, which alone would make everything look alike.
                close = nearest(name.removeprefix(prefix), (other.removeprefix(prefix) for other in known))
                remedy = f"write {prefix}{close}" if close else "remove it"
                mistakes.add(name, "this variable is unknown", remedy)

    def unread_secrets(self, prefix: str, names: Iterable[str]) -> list[Path]:
        """Return mounted secrets whose names look like ours and that nothing reads, such as a misspelt one."""
        read = set(self.files(names))
        try:
            mounted = sorted(self._secrets_directory.iterdir())
        except OSError:
            return []
        return [path for path in mounted if path.name.startswith(prefix.lower()) and path not in read]

    def _variants(self, name: str) -> tuple[str, ...]:
        return (name, *(name + suffix for suffix in self._suffixes))

    def _secret(self, name: str) -> Path:
        return self._secrets_directory / name.lower()

    def _from_file(self, path: Path, place: str, mistakes: Mistakes) -> Entry | None:
        try:
            text = read_text(path).strip()
        except UnusableError as error:
            mistakes.add(place, error.got, error.remedy)
            return None
        if not text:
            mistakes.add(place, "it is empty", "write the value into it, or remove it")
            return None
        return Entry(place, text)


def _is_injected(name: str, value: str) -> bool:
    return bool(_INJECTED.fullmatch(name) or (name.endswith("_PORT") and _INJECTED_URL.fullmatch(value)))
