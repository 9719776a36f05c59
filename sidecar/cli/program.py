"""The program that is typed: all commands put together."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from sidecar import __version__
from sidecar.cli.check import check
from sidecar.cli.completion import completion
from sidecar.cli.events import events
from sidecar.cli.failures import NAME, Program
from sidecar.cli.helptext import example
from sidecar.cli.prove import prove
from sidecar.cli.requests import converge, killswitch, switch, unlock
from sidecar.cli.status import healthcheck, status
from sidecar.drivers.control.paths import RuntimePaths

if TYPE_CHECKING:
    from collections.abc import Callable

MAXIMUM_HELP_COLUMNS = 100


def build(run: Callable[[], int], paths: RuntimePaths | None = None) -> click.Group:
    """Return the command line.

    Args:
        run: what `sidecar run` does; returns its exit code. It alone may load the heavy libraries.
        paths: where the watchdog's files are; None means /run/sidecar.
    """
    program = Program(
        name=NAME,
        help="""Locks a container's network to one WireGuard tunnel, and keeps it up.

        Everything but `run`, `check` and `completion` is for use inside the running sidecar:

        \b
          docker compose exec vpn sidecar status
        """,
        epilog="Exit codes: 0 done, 1 unhealthy, 2 typed wrong, 64 configuration, 69 no answer, 70 a bug, 75 refused.",
        context_settings={
            "obj": paths or RuntimePaths(),
            "help_option_names": ["-h", "--help"],
            "max_content_width": MAXIMUM_HELP_COLUMNS,
            # Source: https://no-color.org. None leaves it to click: colours on a terminal only.
            "color": False if os.environ.get("NO_COLOR") else None,
        },
    )
    look, act = (status, events, killswitch, check, prove), (converge, switch, unlock)
    for command in (*look, *act, _run(run), healthcheck, completion):
        program.add_command(command)
    return click.version_option(__version__, prog_name=NAME)(program)


def _run(run: Callable[[], int]) -> click.Command:
    @click.command("run", epilog=example("sidecar run"))
    @click.pass_context
    def command(ctx: click.Context) -> None:
        """Run the watchdog; the image's supervisor does this.

        Does not exit on trouble: it stays sealed and says so, because ending would take the network away from whoever
        joined it.
        """
        ctx.exit(run())

    return command
