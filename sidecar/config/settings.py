"""One table of every setting; the documentation, the variables' names and the checks all come from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from sidecar.config.kinds import Choice, Count, DeviceName, Kind, Seconds, SocketPath, Switch, Targets
from sidecar.core.model import OnLeak, Timing

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE_PREFIX = "SIDECAR_"


class Preset(Enum):
    """A set of numbers that fit each other."""

    DEFAULT = "default"
    FAST = "fast"


class Implementation(Enum):
    """Which WireGuard carries the tunnel; AUTO takes the kernel's where there is one."""

    AUTO = "auto"
    KERNEL = "kernel"
    USERSPACE = "userspace"


class LogFormat(Enum):
    """How a line of the log looks."""

    TEXT = "text"
    JSON = "json"


class LogLevel(Enum):
    """From where on a line is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that an operator can set.

    Attributes:
        key: its dotted name in the TOML file: one table, one key.
        default: None where it depends on other settings, as `default_words` says then.
        meaning: one line for a reader who knows the README.
    """

    key: str
    kind: Kind
    default: object
    meaning: str
    default_words: str = ""

    @property
    def variable(self) -> str:
        """The environment variable that sets it: failover.wrap is SIDECAR_FAILOVER_WRAP."""
        return VARIABLE_PREFIX + self.key.replace(".", "_").upper()


_TIMING = Timing()

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "health.preset",
        Choice(Preset),
        Preset.DEFAULT,
        "`default` looks every 2 s, `fast` every 0.5 s; the numbers below win over it",
    ),
    Setting("health.cycle_s", Seconds(0.1, 60), None, "one look at everything", "2, fast: 0.5"),
    Setting(
        "health.probe_timeout_s",
        Seconds(0.05, 59),
        None,
        "how long a probe may stay unanswered; less than `health.cycle_s`",
        "1, fast: 0.4",
    ),
    Setting(
        "health.probe_targets",
        Targets(),
        None,
        "who is asked through the tunnel; any one answer shows that it carries traffic",
        "every endpoint's DNS by dns and icmp; without any, icmp to 1.1.1.1 and 9.9.9.9",
    ),
    Setting(
        "health.stall_cycles",
        Count(2, 1000, "cycles"),
        _TIMING.stall_cycles,
        "a longer gap between two looks (suspend) voids older evidence",
    ),
    Setting(
        "failover.threshold_cycles",
        Count(1, 100, "cycles"),
        None,
        "this many bad cycles in a row move the tunnel to the next endpoint",
        "3, fast: 3",
    ),
    Setting("failover.rebind", Switch(), default=True, meaning="try a fresh source port before the next endpoint"),
    Setting("failover.wrap", Switch(), default=False, meaning="after the last endpoint, start again with the first"),
    Setting(
        "failover.wrap_hold_down_s",
        Seconds(1, 86400),
        _TIMING.wrap_hold_down_s,
        "with `failover.wrap`: how long the last endpoint must be dead first; doubles each lap",
    ),
    Setting(
        "failover.exhausted_first_retry_s",
        Seconds(0.5, 3600),
        _TIMING.exhausted_first_retry_s,
        "when every endpoint is dead: the first wait before the last one is tried anew; doubles each time",
    ),
    Setting(
        "failover.exhausted_last_retry_s",
        Seconds(1, 86400),
        _TIMING.exhausted_last_retry_s,
        "where that doubling ends",
    ),
    Setting("tunnel.implementation", Choice(Implementation), Implementation.AUTO, "which WireGuard carries the tunnel"),
    Setting("tunnel.device", DeviceName(), "wg0", "the tunnel's device name"),
    Setting(
        "leak.on_leak",
        Choice(OnLeak),
        OnLeak.SEAL,
        "what a leak does to workloads besides taking their network away; `pause`, `stop` need `docker.socket`",
    ),
    Setting(
        "docker.socket",
        SocketPath(),
        None,
        "the engine's socket, mounted into the sidecar: to name joined containers that could undo the lock",
        "none",
    ),
    Setting("log.format", Choice(LogFormat), LogFormat.TEXT, "one line or one JSON object an event"),
    Setting("log.level", Choice(LogLevel), LogLevel.INFO, "from where on a line is logged"),
)

BY_KEY: Mapping[str, Setting] = {setting.key: setting for setting in SETTINGS}
TABLES: frozenset[str] = frozenset(setting.key.partition(".")[0] for setting in SETTINGS)


@dataclass(frozen=True, slots=True)
class PresetNumbers:
    """What a preset stands for. Source: DESIGN 4, "Default cycle 2 s, threshold 3; `fast` 0.5 s x 3"."""

    cycle_s: float
    probe_timeout_s: float
    threshold_cycles: int


PRESETS: Mapping[Preset, PresetNumbers] = {
    Preset.DEFAULT: PresetNumbers(_TIMING.cycle_s, _TIMING.probe_timeout_s, _TIMING.threshold_cycles),
    Preset.FAST: PresetNumbers(0.5, 0.4, 3),
}


def table() -> str:
    """Return every setting as rows of Markdown, for docs/configuration.md."""
    head = "| TOML key | variable | default | takes | meaning |\n| --- | --- | --- | --- | --- |\n"
    return head + "".join(_row(setting) for setting in SETTINGS)


def _row(setting: Setting) -> str:
    default = setting.default_words or _word(setting.default)
    return f"| `{setting.key}` | `{setting.variable}` | {default} | {setting.kind.takes()} | {setting.meaning} |\n"


def _word(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
