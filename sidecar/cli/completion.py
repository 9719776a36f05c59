"""`sidecar completion`: the script that teaches a shell our commands and endpoints."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from sidecar.cli.failures import NAME
from sidecar.cli.helptext import example

SHELLS = ("bash", "zsh", "fish")
COMPLETE_VARIABLE = "_SIDECAR_COMPLETE"
"""What click looks for in the environment of a program called "sidecar"."""


@click.command(epilog=example("sidecar completion bash > /etc/bash_completion.d/sidecar"))
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL."""
    shell_class = get_completion_class(shell)
    if shell_class is None:  # click knows every one of SHELLS, unless it forgets one
        raise click.UsageError(f"this version of click has no completion for {shell}")
    program = ctx.find_root().command
    click.echo(shell_class(program, {}, NAME, COMPLETE_VARIABLE).source())
