"""How a command fails: two lines for a person, an exit code for a script, and no traceback for either."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sidecar.cli.humane import printable
from sidecar.errors import ConfigError, SidecarError

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME = "sidecar"
SECTIONS = {
    "Look": ("status", "events", "killswitch", "check", "prove"),
    "Act": ("converge", "switch", "unlock"),
    "Set up": ("run", "healthcheck", "completion"),
}


class Program(click.Group):
    """The whole of `sidecar`: its commands by what they are for, its errors in two lines."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run as "sidecar", however the interpreter was started: the help and the completion go by that name."""
        kwargs["prog_name"] = kwargs.get("prog_name") or NAME
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a `SidecarError` is printed, and ends it with the error's own exit code."""
        try:
            return super().invoke(ctx)
        except SidecarError as error:
            print_error(error)
            ctx.exit(error.exit_code)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which the help shows them."""
        return sorted(super().list_commands(ctx), key=_place)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the commands by section."""
        for section, names in SECTIONS.items():
            found = [(name, self.commands[name].get_short_help_str(80)) for name in names if name in self.commands]
            with formatter.section(section):
                formatter.write_dl(found)


def print_error(error: SidecarError) -> None:
    """Print every mistake that `error` stands for, each with its remedy."""
    every: Iterable[SidecarError] = error.every if isinstance(error, ConfigError) else (error,)
    for mistake in every:
        print_failure(f"{mistake.attempted}: {mistake.got}", mistake.remedy)


def print_failure(what: str, remedy: str) -> None:
    """Print what failed, and on a line of its own what helps; both to stderr."""
    click.echo(f"{click.style('sidecar:', fg='red', bold=True)} {printable(what)}", err=True)
    if remedy:
        click.echo(f"  → {printable(remedy)}", err=True)


def _place(name: str) -> int:
    order = [name for names in SECTIONS.values() for name in names]
    return order.index(name) if name in order else len(order)
