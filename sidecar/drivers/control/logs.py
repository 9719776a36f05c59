"""The log: one line a transition, for people or as JSON; and the `EventLog` that writes it."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import sys
import traceback
from typing import TYPE_CHECKING, Literal, TextIO

from loguru import logger

from sidecar.core.messages import Severity
from sidecar.errors import ControlError

if TYPE_CHECKING:
    from loguru import Record

    from sidecar.core.messages import Announce
    from sidecar.drivers.control.event_file import EventFile

LogFormat = Literal["text", "json"]

TEXT_FORMAT = (
    "<dim>{time:YYYY-MM-DDTHH:mm:ss.SSS!UTC}Z</dim> <level>{level: <7}</level> {extra[kind]}: {extra[line]}\n"
    "{exception}"
)
LEVELS = {Severity.INFO: "INFO", Severity.WARNING: "WARNING", Severity.ERROR: "ERROR"}
KNOWN_LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})
"""Those that the standard module and loguru both have by name."""
DEFAULT_KIND = "sidecar"
"""What a line is filed under that is no announcement."""


def configure_logging(log_format: LogFormat = "text", level: str = "INFO", stream: TextIO = sys.stderr) -> None:
    """Send every log line to `stream`, ours and (from warnings on) those of the libraries.

    Tracebacks show no values of variables, because those may be keys: loguru's `diagnose` would. Colours only where
    `stream` is a terminal and NO_COLOR is not set.

    Source: https://no-color.org: any value but the empty one.
    """
    logger.remove()
    logger.configure(extra={"kind": DEFAULT_KIND}, patcher=_patch)
    logger.add(
        stream,
        level=level,
        format=_json_format if log_format == "json" else _text_format,
        colorize=log_format == "text" and stream.isatty() and not os.environ.get("NO_COLOR"),
        backtrace=False,
        diagnose=False,
    )
    logging.basicConfig(handlers=[_FromLibraries()], level=logging.WARNING, force=True)


class LoggedEvents:
    """The `EventLog` of ports: a log line for each, kept as well for `sidecar events`."""

    def __init__(self, events: EventFile) -> None:
        self._events = events
        self._broken = False

    def append(self, announce: Announce) -> None:
        """Log one line and keep it. Where it cannot be kept, that is logged once, until it can be again."""
        logger.bind(kind=announce.kind).log(LEVELS[announce.severity], "{}", announce.text)
        try:
            self._events.append(announce)
        except ControlError as error:
            if not self._broken:
                logger.bind(kind="events-lost").error("{}", error)
            self._broken = True
        else:
            self._broken = False


class _FromLibraries(logging.Handler):
    """Hands on what a library logs by the standard module."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in KNOWN_LEVELS else record.levelno
        bound = logger.bind(kind=record.name).opt(exception=record.exc_info)
        bound.log(level, "{}", record.getMessage())


def _patch(record: Record) -> None:
    """Keep a message on its line: what it quotes may hold line ends, or what a terminal obeys."""
    record["extra"]["line"] = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in record["message"]
    )


def _text_format(_record: Record) -> str:
    return TEXT_FORMAT


def _json_format(record: Record) -> str:
    fields = {
        "time": record["time"].astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "severity": record["level"].name.lower(),
        "kind": record["extra"]["kind"],
        "text": record["message"],
    }
    exception = record["exception"]
    if exception is not None:
        fields["traceback"] = "".join(traceback.format_exception(exception.type, exception.value, exception.traceback))
    record["extra"]["json"] = json.dumps(fields, ensure_ascii=False)
    return "{extra[json]}\n"
