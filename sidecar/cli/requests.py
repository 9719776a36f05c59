"""The commands that ask the watchdog for something, by the control socket."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from sidecar import healthcheck as health
from sidecar.cli.failures import print_failure
from sidecar.cli.helptext import example
from sidecar.cli.humane import printable
from sidecar.drivers.control.client import ControlClient
from sidecar.drivers.control.paths import RuntimePaths
from sidecar.drivers.control.protocol import Command, Request, Response

EXIT_DIFFERS = 1
"""The ruleset in force is not the intended one, or could not be compared."""


@click.command(epilog=example("sidecar converge"))
@click.pass_context
def converge(ctx: click.Context) -> None:
    """Take up the configuration and go to its first endpoint.

    This is the one deliberate way back after a failover: nothing else returns to an endpoint that was left. Exits with
    64 when the configuration has a mistake (nothing is applied then), 75 when the watchdog refuses.
    """
    _ask(ctx, Request(Command.CONVERGE))


def _complete_endpoint(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    try:
        config = health.load(str(ctx.ensure_object(RuntimePaths).status)).get("config")
    except health.Untrusted:
        return []
    names = config.get("endpoints") if isinstance(config, dict) else None
    known = (name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
    return [CompletionItem(name) for name in known if name.startswith(incomplete)]


@click.command(epilog=example("sidecar switch 20-backup"))
@click.argument("name", shell_complete=_complete_endpoint)
@click.pass_context
def switch(ctx: click.Context, name: str) -> None:
    """Move the tunnel to the endpoint called NAME.

    It stays there, through restarts as well. Exits with 75, and the reason, when the watchdog refuses.
    """
    _ask(ctx, Request(Command.SWITCH, name))


@click.command(epilog=example("sidecar unlock && sidecar status"))
@click.pass_context
def unlock(ctx: click.Context) -> None:
    """End a halt, once its cause is gone.

    Looks at the whole machine first, and refuses (75) with what it found if the cause is still there.
    """
    _ask(ctx, Request(Command.UNLOCK))


@click.command(epilog=example("sidecar killswitch | grep -B1 'counter packets [1-9]'"))
@click.pass_context
def killswitch(ctx: click.Context) -> None:
    """Print the ruleset in force, with counters.

    What differs from the intended ruleset comes first, as comments, so that the whole stays valid nft text. The mark of
    the tunnel's own packets is left out. Exits with 0 when the ruleset is as intended and 1 when not.
    """
    response = _answer(ctx, Request(Command.KILLSWITCH))
    match response.data:
        case {"listing": str(listing), "status": str(word), "difference": str(difference)}:
            _print_ruleset(listing, word, difference)
            ctx.exit(0 if word == "intact" else EXIT_DIFFERS)
    print_failure("print the ruleset: the watchdog's answer holds none", "restart the container to update both ends")
    ctx.exit(EXIT_DIFFERS)


def _print_ruleset(listing: str, word: str, difference: str) -> None:
    if word == "intact":
        click.secho("# in force, and as intended", fg="green")
    else:
        click.secho(f"# in force, but {word}: {printable(difference)}", fg="red")
    for line in listing.splitlines():
        click.echo("".join(character if character.isprintable() or character == "\t" else "?" for character in line))


def _ask(ctx: click.Context, request: Request) -> None:
    for line in _answer(ctx, request).text.splitlines():
        click.echo(printable(line))


def _answer(ctx: click.Context, request: Request) -> Response:
    """Return an answer that accepts; a refusal is printed, and ends the command with its exit code."""
    response = ControlClient(ctx.ensure_object(RuntimePaths).socket).ask(request)
    if not response.accepted or response.exit_code:
        what, _, remedy = response.text.partition("\n")
        print_failure(f"{_words(request)}: {what}", remedy)
        ctx.exit(response.exit_code or EXIT_DIFFERS)
    return response


def _words(request: Request) -> str:
    return " ".join(filter(None, (request.command.value, request.name)))
