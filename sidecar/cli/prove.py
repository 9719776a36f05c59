"""`sidecar prove`: every way out that we know of, tried from inside, first where there is no lock."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import click

from sidecar.cli.helptext import example
from sidecar.drivers.control.client import ControlClient
from sidecar.drivers.control.paths import RuntimePaths
from sidecar.drivers.control.protocol import Command, Request
from sidecar.errors import ControlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sidecar.prove.table import Line
    from sidecar.prove.verdict import Proof

EXIT_NOT_PROVED = 1
ANSWER_TIMEOUT_S = 5.0
"""A watchdog that hangs does not keep a proof from being tried: what the lock then stops shows as what it is."""

STYLES: dict[str, dict[str, object]] = {
    "head": {"bold": True},
    "good": {"fg": "green"},
    "bad": {"fg": "red", "bold": True},
    "void": {"dim": True},
}


@click.command(epilog=example("sidecar prove"))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document, for scripts.")
@click.pass_context
def prove(ctx: click.Context, *, as_json: bool) -> None:
    """Try to get out, in every way that we know of.

    Each attack is first shown to work where there is no lock: in a network namespace of its own, or on a device that
    leads nowhere and that the watchdog leaves out of the lock for as long. Then it is tried against the lock, as root
    with Docker's default capabilities, while taps, drop counters and the accounts of the uplink are watched. Packets
    go to documentation addresses, to the own network's broadcast and multicast, to the next hop and to your own
    endpoints. Takes about ten seconds.

    Exits with 1 if anything got out, or if anything could not be shown to work without the lock. A frame that gets out
    halts the sidecar, as always.
    """
    proof = _prove(ctx.ensure_object(RuntimePaths), quiet=as_json)
    if as_json:
        from sidecar.prove.table import document  # noqa: PLC0415 - as in _prove

        click.echo(json.dumps(document(proof), indent=2))
    else:
        _print(proof)
    ctx.exit(0 if proof.holds else EXIT_NOT_PROVED)


def _prove(paths: RuntimePaths, *, quiet: bool) -> Proof:
    from sidecar.prove.facts import gather  # noqa: PLC0415 - pyroute2 takes a third of a second; nobody else pays
    from sidecar.prove.runner import prove as try_everything  # noqa: PLC0415 - as above

    facts = gather(paths)
    if not quiet:
        click.echo("Trying every way out, first where there is no lock, then against it ...", err=True)
    return try_everything(facts, lambda: _left_out(ControlClient(paths.socket, ANSWER_TIMEOUT_S)))


@contextlib.contextmanager
def _left_out(watchdog: ControlClient) -> Iterator[str]:
    """Have the proof's device left out of the lock for the block; gives why it is not, or an empty string."""
    is_refused, remark = False, ""
    try:
        answer = watchdog.ask(Request(Command.BEGIN_PROOF))
        is_refused, remark = not answer.accepted, "" if answer.accepted else answer.text
    except ControlError as error:
        remark = str(error)  # it may have been heard all the same
    try:
        yield remark
    finally:
        if not is_refused:  # else it would be the end of somebody else's
            with contextlib.suppress(ControlError):  # where nobody hears it, time ends what was left out
                watchdog.ask(Request(Command.END_PROOF))


def _print(proof: Proof) -> None:
    from sidecar.prove.table import lines, summary  # noqa: PLC0415 - as in _prove

    _print_lines(lines(proof))
    click.echo()
    _print_lines(summary(proof))


def _print_lines(every: Iterable[Line]) -> None:
    for line in every:
        # Not folded by `printable`: the columns would go. Titles are ours; what the kernel says has no escapes.
        click.secho(line.text, **STYLES[line.tone])  # type: ignore[arg-type] # a mapping of keywords
