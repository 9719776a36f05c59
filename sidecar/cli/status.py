"""`sidecar status` and `sidecar healthcheck`: both read the status file, and neither needs the watchdog to answer."""

from __future__ import annotations

import json
import shutil
import sys
import time

import click

from sidecar import healthcheck as health
from sidecar.cli.helptext import example
from sidecar.cli.status_document import parse
from sidecar.cli.status_text import render
from sidecar.drivers.control.paths import RuntimePaths
from sidecar.errors import EXIT_UNAVAILABLE, ControlError

EXIT_UNHEALTHY = 1
NARROWEST_COLUMNS = 40


@click.command(epilog=example("sidecar status --json | jq .healthy"))
@click.option("--json", "as_json", is_flag=True, help="Print the status document, for scripts.")
@click.pass_context
def status(ctx: click.Context, *, as_json: bool) -> None:
    """Say where things stand.

    Exits with 0 when healthy, 1 when not, 69 when the watchdog does not answer.
    """
    paths = ctx.ensure_object(RuntimePaths)
    document = _load(paths)
    age_s, distrust = _age(document)
    if as_json:
        click.echo(json.dumps(_corrected(document, distrust), indent=2, ensure_ascii=False))
    else:
        click.echo(render(parse(document), age_s, distrust, _columns()))
    if distrust:
        ctx.exit(EXIT_UNAVAILABLE)
    ctx.exit(0 if document.get("healthy") is True else EXIT_UNHEALTHY)


@click.command(epilog=example('HEALTHCHECK CMD ["sidecar", "healthcheck"]'))
@click.pass_context
def healthcheck(ctx: click.Context) -> None:
    """Say in one line whether all is well, for HEALTHCHECK.

    Exits with 0 when healthy and 1 when not. The image calls the file itself, which costs less.
    """
    paths = ctx.ensure_object(RuntimePaths)
    ctx.exit(health.main([str(paths.status)]))


def _load(paths: RuntimePaths) -> dict[str, object]:
    try:
        return health.load(str(paths.status))
    except health.Untrusted as error:
        raise ControlError(
            attempted="read the status",
            got=str(error),
            remedy="run this inside the sidecar (docker compose exec vpn sidecar status)",
        ) from error


def _age(document: dict[str, object]) -> tuple[float, str | None]:
    """Return how old the heartbeat is, and why the document cannot be believed any more; None if it can."""
    now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    try:
        return health.require_fresh(document, now_s), None
    except health.Untrusted as error:
        heartbeat_s = document.get("heartbeat_boottime_s")
        age_s = now_s - heartbeat_s if isinstance(heartbeat_s, int | float) else 0.0
        return max(age_s, 0.0), str(error)


def _corrected(document: dict[str, object], distrust: str | None) -> dict[str, object]:
    """Return the document as a script should see it: what cannot be believed is not healthy, whatever it says."""
    if distrust is None:
        return document
    reasons = document.get("reasons")
    return {**document, "healthy": False, "reasons": [distrust, *(reasons if isinstance(reasons, list) else [])]}


def _columns() -> int | None:
    """Return the terminal's width; None where the output is no terminal, and lines stay whole for grep."""
    if not sys.stdout.isatty():
        return None
    return max(shutil.get_terminal_size().columns, NARROWEST_COLUMNS)
