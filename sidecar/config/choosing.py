"""What is chosen for every setting: its default, the TOML file over it, variables over that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, TypeVar

from sidecar.config.mistakes import Mistakes, UnusableError
from sidecar.config.settings import (
    PRESETS,
    SETTINGS,
    VARIABLE_PREFIX,
    Implementation,
    LogFormat,
    LogLevel,
    Preset,
)
from sidecar.config.tomlfile import read_toml
from sidecar.core.model import OnLeak, Timing
from sidecar.errors import Bug

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.config.variables import Variables

T = TypeVar("T")

FILE_SUFFIXES = ("_FILE",)
NAMES = tuple(setting.variable for setting in SETTINGS)


@dataclass(frozen=True, slots=True)
class Process:
    """What the process itself must know before there is a plan.

    Attributes:
        implementation: which WireGuard to use.
        docker_socket: the engine's socket; None where none was mounted.
        log_level: by the name that the logging libraries share.
    """

    implementation: Implementation = Implementation.AUTO
    docker_socket: Path | None = None
    log_format: Literal["text", "json"] = "text"
    log_level: str = "INFO"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The value of every setting, and where those stand that somebody wrote."""

    values: Mapping[str, object]
    places: Mapping[str, str]

    def of(self, key: str, kind: type[T]) -> T:
        """Return the value of a setting that always has one."""
        value = self.values[key]
        if not isinstance(value, kind):
            raise Bug(f"the setting {key} is no {kind.__name__}")
        return value

    def written(self, key: str, kind: type[T]) -> T | None:
        """Return the value of a setting without a default of its own; None where nobody wrote it."""
        return None if self.values[key] is None else self.of(key, kind)

    def place(self, *keys: str) -> str:
        """Return where the first of `keys` that somebody wrote stands."""
        return next((self.places[key] for key in keys if key in self.places), f"the default of {keys[0]}")


def choose(toml: Path, variables: Variables, mistakes: Mistakes) -> Chosen:
    """Read every setting; one with a mistake keeps its default, and the mistake is in `mistakes`."""
    found = Mistakes()
    written = read_toml(toml, found)
    variables.require_known(VARIABLE_PREFIX, NAMES, found)
    values: dict[str, object] = {}
    places: dict[str, str] = {}
    for setting in SETTINGS:
        values[setting.key] = setting.default
        entry = variables.entry(setting.variable, found)
        from_toml = written.get(setting.key)
        try:
            if entry is not None:
                places[setting.key] = entry.place
                values[setting.key] = setting.kind.from_text(entry.text)
            elif from_toml is not None:
                places[setting.key] = from_toml.place
                values[setting.key] = setting.kind.from_toml(from_toml.value)
        except UnusableError as error:
            found.add(places[setting.key], f"{setting.key}: {error.got}", error.remedy)
    chosen = Chosen(values, places)
    if not found:
        _require_agreement(chosen, found)
    mistakes.extend(found)
    return chosen


def timing_of(chosen: Chosen) -> Timing:
    """Return the numbers of the preset, and what was written over them."""
    preset = PRESETS[chosen.of("health.preset", Preset)]
    return Timing(
        cycle_s=_first(chosen.written("health.cycle_s", float), preset.cycle_s),
        probe_timeout_s=_first(chosen.written("health.probe_timeout_s", float), preset.probe_timeout_s),
        threshold_cycles=_first(chosen.written("failover.threshold_cycles", int), preset.threshold_cycles),
        stall_cycles=chosen.of("health.stall_cycles", int),
        exhausted_first_retry_s=chosen.of("failover.exhausted_first_retry_s", float),
        exhausted_last_retry_s=chosen.of("failover.exhausted_last_retry_s", float),
        wrap_hold_down_s=chosen.of("failover.wrap_hold_down_s", float),
    )


def process_of(chosen: Chosen) -> Process:
    """Return the part of the settings that is not the plan's."""
    socket = chosen.written("docker.socket", PurePosixPath)
    return Process(
        implementation=chosen.of("tunnel.implementation", Implementation),
        docker_socket=None if socket is None else Path(socket),
        log_format="json" if chosen.of("log.format", LogFormat) is LogFormat.JSON else "text",
        log_level=str(chosen.of("log.level", LogLevel).value).upper(),
    )


def _first(written: T | None, preset: T) -> T:
    return preset if written is None else written


def _require_agreement(chosen: Chosen, mistakes: Mistakes) -> None:
    """Refuse settings that are right by themselves and wrong together."""
    timing = timing_of(chosen)
    if timing.probe_timeout_s >= timing.cycle_s:
        got = f"health.probe_timeout_s is {timing.probe_timeout_s:g}, and health.cycle_s only {timing.cycle_s:g}"
        place = chosen.place("health.probe_timeout_s", "health.cycle_s")
        mistakes.add(place, got, "set health.probe_timeout_s below health.cycle_s")
    if timing.exhausted_first_retry_s > timing.exhausted_last_retry_s:
        got = (
            f"failover.exhausted_first_retry_s is {timing.exhausted_first_retry_s:g}, "
            f"above failover.exhausted_last_retry_s with {timing.exhausted_last_retry_s:g}"
        )
        place = chosen.place("failover.exhausted_first_retry_s", "failover.exhausted_last_retry_s")
        mistakes.add(place, got, "set the last one at least as high as the first")
    on_leak = chosen.of("leak.on_leak", OnLeak)
    if on_leak is not OnLeak.SEAL and chosen.values["docker.socket"] is None:
        got = f"leak.on_leak is {on_leak.value}, and there is no docker.socket to do that by"
        remedy = "mount the engine's socket and set docker.socket, or set leak.on_leak to seal"
        mistakes.add(chosen.place("leak.on_leak"), got, remedy)
