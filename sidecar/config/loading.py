"""The `Configuration` of ports: files and environment, all or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.config import environment, reading
from sidecar.config.choosing import FILE_SUFFIXES, NAMES, Chosen, Process, choose, process_of
from sidecar.config.directory import endpoint_files, others_in, read_drafts
from sidecar.config.draft import Draft, draft
from sidecar.config.mistakes import Mistakes
from sidecar.config.plan import assemble
from sidecar.config.settings import VARIABLE_PREFIX
from sidecar.config.variables import Variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.core.model import Pins, Plan

DIRECTORY = Path("/etc/sidecar")
SECRETS_DIRECTORY = Path("/run/secrets")


class FileConfiguration:
    """Reads `endpoints/*.conf` and `sidecar.toml` in `directory`, the environment, and mounted secrets.

    Nothing is kept between two readings but the warnings, so a corrected file counts the next time.

    Args:
        environ: the environment at the start of the process; it is copied.
        pins: go into every plan as they are.

    Attributes:
        warnings: what the last reading wants an operator to know, a sentence each, without secrets.
    """

    def __init__(
        self,
        *,
        pins: Pins,
        environ: Mapping[str, str],
        directory: Path = DIRECTORY,
        secrets_directory: Path = SECRETS_DIRECTORY,
    ) -> None:
        self.warnings: tuple[str, ...] = ()
        self._pins = pins
        self._directory = directory
        self._settings = Variables(environ, secrets_directory, FILE_SUFFIXES)
        self._endpoint = Variables(environ, secrets_directory, environment.FILE_SUFFIXES)

    def load(self) -> Plan:
        """Read and validate everything.

        Raises:
            ConfigError: the first mistake; `every` has all of them.
        """
        mistakes, warnings = Mistakes(), list[str]()
        try:
            chosen = self._choose(mistakes)
            drafts = self._drafts(mistakes, warnings)
            warnings.extend(self._unread_secrets())
            mistakes.raise_if_any()
            return assemble(drafts, chosen, self._pins, mistakes)
        finally:
            self.warnings = tuple(warnings)

    def load_process(self) -> Process:
        """Read and validate the settings alone, for what the process must know before there is a plan.

        Raises:
            ConfigError: as `load`, for the settings.
        """
        mistakes = Mistakes()
        chosen = self._choose(mistakes)
        mistakes.raise_if_any()
        return process_of(chosen)

    def process_or_defaults(self) -> Process:
        """Return what `load_process` would, with the default for every setting that has a mistake. Never raises."""
        return process_of(self._choose(Mistakes()))

    def fingerprint(self) -> str:
        """Return a word that changes when anything does that `load` reads. Never raises."""
        endpoints = self._directory / "endpoints"
        files = (
            self._toml,
            *endpoint_files(endpoints, Mistakes(), []),
            *self._settings.files(NAMES),
            *self._endpoint.files((*environment.VARIABLES.values(), environment.DNS_VARIABLE)),
        )
        return reading.fingerprint((endpoints,), files)

    @property
    def _toml(self) -> Path:
        return self._directory / "sidecar.toml"

    def _choose(self, mistakes: Mistakes) -> Chosen:
        return choose(self._toml, self._settings, mistakes)

    def _unread_secrets(self) -> list[str]:
        unread = [
            *self._settings.unread_secrets(VARIABLE_PREFIX, NAMES),
            *self._endpoint.unread_secrets(environment.PREFIX, environment.VARIABLES.values()),
        ]
        return [f"{path}: no variable has this name, so nothing reads it" for path in unread]

    def _drafts(self, mistakes: Mistakes, warnings: list[str]) -> tuple[Draft, ...]:
        """Return at least one draft, or leave a mistake."""
        found = Mistakes()
        endpoints = self._directory / "endpoints"
        files = endpoint_files(endpoints, found, warnings)
        fields = environment.read_fields(self._endpoint, found, warnings)
        drafts: tuple[Draft, ...] = ()
        if files and fields is not None:
            variables = ", ".join(entry.place for entries in fields.entries.values() for entry in entries)
            got = f"there is an endpoint in {files[0]} and another in {variables}"
            found.add(str(endpoints), got, "remove the files or the variables: one of the two is the list")
        elif fields is not None:
            made = draft(environment.with_defaults(fields), found, warnings)
            drafts = () if made is None else (made,)
        else:
            drafts = read_drafts(files, found, warnings)
        if not drafts and not found:
            got = f"no endpoint: there is no *.conf in {endpoints}, {others_in(endpoints)}, and no WIREGUARD_ variable"
            found.add(str(endpoints), got, f"put your provider's .conf into {endpoints}, such as 10-primary.conf")
        mistakes.extend(found)
        return drafts
