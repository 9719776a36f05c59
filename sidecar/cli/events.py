"""`sidecar events`: what happened, from the event file."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

import click

from sidecar.cli.helptext import example
from sidecar.cli.humane import printable
from sidecar.drivers.control.event_file import EventReader, decode
from sidecar.drivers.control.paths import RuntimePaths
from sidecar.errors import ControlError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.drivers.control.event_file import Event

DEFAULT_COUNT = 20
POLL_S = 0.25
TONES = {"info": None, "warning": "yellow", "error": "red"}


@click.command(epilog=example("""sidecar events -f --json | jq -r 'select(.kind == "failover").text'"""))
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens from now; end it with Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    "count",
    type=click.IntRange(min=0),
    default=DEFAULT_COUNT,
    show_default=True,
    help="How many of the newest to begin with.",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line: time, kind, severity, text.")
@click.pass_context
def events(ctx: click.Context, *, follow: bool, count: int, as_json: bool) -> None:
    """Tell what happened: failovers, repairs, leaks, restarts.

    Keeps the newest few thousand since the container began; times are UTC.
    """
    path = ctx.ensure_object(RuntimePaths).events
    if not path.parent.is_dir():
        raise ControlError(
            attempted=f"read {path}",
            got=f"{path.parent} does not exist: the watchdog has not started here",
            remedy="run this inside the sidecar (docker compose exec vpn sidecar events)",
        )
    with EventReader(path) as reader:
        _print(deque(reader.lines(), maxlen=count), as_json=as_json)
        try:
            while follow:
                time.sleep(POLL_S)
                _print(reader.lines(), as_json=as_json)
        except KeyboardInterrupt:  # the way in which following is meant to end
            ctx.exit(0)


def _print(lines: Iterable[bytes], *, as_json: bool) -> None:
    for line in lines:
        event = decode(line)
        if event is None:
            click.echo("sidecar: one event is damaged and left out", err=True)
        elif as_json:
            click.echo(line)
        else:
            click.echo(_text(event))


def _text(event: Event) -> str:
    at = click.style(f"{event.at:%Y-%m-%d %H:%M:%S}", dim=True)
    kind = click.style(f"{printable(event.kind):<14}", fg=TONES[event.severity.value])
    return f"{at}  {kind}  {printable(event.text)}"
