"""Two files on the state volume: `state.json`, and `halted.json` for as long as everything is halted.

The latch is in both. It is written to its own file first and removed from there last, so that a damaged `state.json`
cannot lose it, and the absence of `halted.json` excludes it. Either file says "halted": then it is.

What the files do not say decides as follows.

- `state.json` damaged: set aside, and read as nothing. The latch is what `halted.json` says.
- `halted.json` there but damaged, or not to be read: halted.
- The directory is there and cannot be read: halted, for a latch may be in it.
- No directory at all: a first start, with the damage told. An engine makes an empty directory of a volume that it has
  lost, so a missing one says no less than an empty one; to halt over the former only would lock out whoever runs
  without a volume and protect nobody. `save` makes it.

A volume that has become read-only can keep no latch, and a watchdog that is restarted must not forget it. So the latch
is kept beside the volume too, on a tmpfs that lives as long as the network namespace; any file says "halted": it is.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from sidecar.core.sights import Latch, Persisted
from sidecar.drivers.state.disk import Disk, write_atomically
from sidecar.drivers.state.document import (
    LARGEST_BYTES,
    Damaged,
    decode_latch,
    decode_state,
    encode_latch,
    encode_state,
)
from sidecar.errors import StateError
from sidecar.ports import Loaded

DIRECTORY = Path("/var/lib/sidecar")
STATE, LATCH = "state.json", "halted.json"
DAMAGED_KEPT = 5
_NOTHING = Persisted(active=None, list_digest="", bad_cycles=0, latch=None)


class JsonStateStore:
    """The state volume. One writer at a time.

    Args:
        directory: made by the first `save` where it is missing.
        disk: what touches the disk.
        beside: a directory on a tmpfs, where the latch is kept as well; None for nowhere.
    """

    def __init__(self, directory: Path = DIRECTORY, disk: Disk | None = None, beside: Path | None = None) -> None:
        self._beside = JsonStateStore(beside, disk) if beside is not None else None
        self._directory = directory
        self._state = directory / STATE
        self._latch = directory / LATCH
        self._disk = disk or Disk()

    def load(self) -> Loaded:
        """Read the state; see the port, and the top of this file for what damage means."""
        kept = self._load_volume()
        latch = self._beside.latch() if self._beside is not None else None
        if latch is None or (kept.persisted is not None and kept.persisted.latch is not None):
            return kept
        return replace(kept, persisted=replace(kept.persisted or _NOTHING, latch=latch))

    def latch(self) -> Latch | None:
        """Return what the latch's own file says; None where there is none, or no directory."""
        try:
            return self._load_latch(self._disk.names(self._directory))[0]
        except FileNotFoundError:
            return None
        except OSError as error:
            return self._unexcluded(f"{self._directory} cannot be read ({error})")

    def _load_volume(self) -> Loaded:
        try:
            names = self._disk.names(self._directory)
        except FileNotFoundError:
            return Loaded(None, f"{self._directory} does not exist: nothing is kept; mount a volume there")
        except OSError as error:
            return self._cannot_exclude(f"{self._directory} cannot be read ({error})")
        latch, latch_damage = self._load_latch(names)
        persisted, state_damage = self._load_state(names)
        told = persisted.latch if persisted is not None else None
        if latch is not None and not (latch_damage and told):
            persisted = replace(persisted or _NOTHING, latch=latch)
        return Loaded(persisted, "; ".join(filter(None, (state_damage, latch_damage))) or None)

    def save(self, persisted: Persisted) -> None:
        """Write the state, and the latch before or after it, as said above; a latch is tried whatever else fails."""
        troubles: list[str] = []
        try:
            self._disk.make_directory(self._directory)
        except OSError as error:
            troubles.append(str(error))
        if persisted.latch is not None:
            troubles += self._save_latch(persisted.latch)
            troubles += self._beside.keep(persisted.latch) if self._beside is not None else []
        try:
            write_atomically(self._disk, self._state, encode_state(persisted))
            if persisted.latch is None:
                self.forget()
                if self._beside is not None:
                    with suppress(FileNotFoundError):  # nothing was ever kept there
                        self._beside.forget()
        except OSError as error:
            troubles.append(str(error))
        if troubles:
            raise StateError(
                attempted=f"save the state in {self._directory}",
                got="; ".join(troubles),
                remedy="mount a writable volume with free space there",
            )

    def keep(self, latch: Latch) -> list[str]:
        """Write the latch's own file; return what went wrong."""
        try:
            self._disk.make_directory(self._directory)
        except OSError as error:
            return [str(error)]
        return self._save_latch(latch)

    def forget(self) -> None:
        """Remove the latch's own file. Raises OSError."""
        self._disk.remove(self._latch)
        self._disk.sync_directory(self._directory)

    def _save_latch(self, latch: Latch) -> list[str]:
        try:
            write_atomically(self._disk, self._latch, encode_latch(latch))
        except OSError as error:
            # A full disk still takes a name, and a file without content reads as a latch that cannot be excluded.
            with suppress(OSError):
                self._mark()
            return [str(error)]
        return []

    def _mark(self) -> None:
        if LATCH not in self._disk.names(self._directory):
            self._disk.close(self._disk.create(self._latch))
            self._disk.sync_directory(self._directory)

    def _load_latch(self, names: frozenset[str]) -> tuple[Latch | None, str | None]:
        if LATCH not in names:
            return None, None
        try:
            return decode_latch(self._disk.read(self._latch, LARGEST_BYTES + 1)), None
        except (OSError, Damaged) as error:
            damage = f"{self._latch} is there and cannot be read ({error})"
            return self._unexcluded(damage), damage

    def _load_state(self, names: frozenset[str]) -> tuple[Persisted | None, str | None]:
        if STATE not in names:
            return None, None
        try:
            return decode_state(self._disk.read(self._state, LARGEST_BYTES + 1)), None
        except (OSError, Damaged) as error:
            return None, f"{self._state} is damaged ({error}); {self._set_aside(names)}"

    def _set_aside(self, names: frozenset[str]) -> str:
        """Move the damaged state out of the way, over the last one moved if there have been many; say where to."""
        places = [f"{STATE}.damaged-{number}" for number in range(1, DAMAGED_KEPT + 1)]
        place = next((name for name in places if name not in names), places[-1])
        try:
            self._disk.rename(self._state, self._directory / place)
        except OSError as error:
            return f"it could not be set aside ({error})"
        return f"set aside as {place}"

    def _cannot_exclude(self, damage: str) -> Loaded:
        return Loaded(replace(_NOTHING, latch=self._unexcluded(damage)), damage)

    def _unexcluded(self, damage: str) -> Latch:
        return Latch(reason=f"an earlier halt cannot be excluded: {damage}", evidence=str(self._directory))
