"""`sidecar check`: is the configuration right, and is the machine fit? Changes nothing; needs no watchdog."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sidecar.cli.helptext import example
from sidecar.cli.humane import plural, printable, socket_address
from sidecar.errors import EXIT_CONFIG, ConfigError

if TYPE_CHECKING:
    from sidecar.config import FileConfiguration
    from sidecar.core.model import Plan
    from sidecar.drivers.machine import Check, Needs

EXIT_NOT_FIT = 1
MARKS = {True: ("✓", "green"), None: ("?", "yellow"), False: ("✗", "red")}
WARNING_MARK = ("!", "yellow")
NAME_CHARACTERS = 16


@click.command(epilog=example("sidecar check --directory ."))
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/etc/sidecar"),
    show_default=True,
    help="Where sidecar.toml and endpoints/ are.",
)
@click.pass_context
def check(ctx: click.Context, directory: Path) -> None:
    """Check the configuration and the machine, with a remedy for each fault.

    Changes nothing, sends nothing, and needs no watchdog. What cannot be told is marked "?" and counts as a fault.
    Exits with 64 when the configuration has a mistake, with 1 when only the machine is not fit.
    """
    configuration = _configuration(directory)
    plan, mistakes = _load(configuration)
    click.secho("Configuration", bold=True)
    for mistake in mistakes:
        _print(MARKS[False], f"{mistake.attempted}: {mistake.got}", mistake.remedy)
    if plan is not None:
        _print(MARKS[True], _endpoints(plan))
    for warning in configuration.warnings:
        _print(WARNING_MARK, warning)
    click.secho("Machine", bold=True)
    findings = _machine(configuration, plan)
    for finding in findings:
        _print(MARKS[finding.ok], f"{finding.name:<{NAME_CHARACTERS}}{finding.text}", finding.remedy)
    click.echo(_verdict(len(mistakes), sum(finding.ok is not True for finding in findings)))
    if mistakes:
        ctx.exit(EXIT_CONFIG)
    ctx.exit(0 if all(finding.ok for finding in findings) else EXIT_NOT_FIT)


def _configuration(directory: Path) -> FileConfiguration:
    from sidecar.config import FileConfiguration  # noqa: PLC0415 - no other command pays for reading configuration
    from sidecar.core.model import Pins  # noqa: PLC0415 - as above

    unused = Pins(fwmark=1, listen_ports=(1,))  # nothing is put in force, so nothing is pinned
    return FileConfiguration(pins=unused, environ=os.environ, directory=directory)


def _load(configuration: FileConfiguration) -> tuple[Plan | None, tuple[ConfigError, ...]]:
    try:
        return configuration.load(), ()
    except ConfigError as error:
        return None, error.every


def _machine(configuration: FileConfiguration, plan: Plan | None) -> tuple[Check, ...]:
    from sidecar.drivers.machine import check_machine  # noqa: PLC0415 - no other command asks the machine

    return check_machine(_needs(configuration, plan))


def _needs(configuration: FileConfiguration, plan: Plan | None) -> Needs:
    """Return what the configuration asks of the machine; as far as it can be read."""
    from sidecar.drivers.machine import Needs  # noqa: PLC0415 - as in _machine

    process = configuration.process_or_defaults()
    implementation, docker_socket = process.implementation.value, process.docker_socket
    if plan is None:
        return Needs(implementation=implementation, docker_socket=docker_socket)
    return Needs(
        implementation=implementation,
        device=plan.device,
        mtu_bytes=max((endpoint.mtu_bytes for endpoint in plan.endpoints if endpoint.mtu_bytes), default=None),
        has_ipv6=any(address.version == 6 for address in plan.tunnel_addresses),  # noqa: PLR2004 - the IP version
        has_dns=any(endpoint.dns for endpoint in plan.endpoints),
        docker_socket=docker_socket,
    )


def _endpoints(plan: Plan) -> str:
    named = (f"{endpoint.name} ({socket_address(endpoint.address, endpoint.port)})" for endpoint in plan.endpoints)
    return f"{plural(len(plan.endpoints), 'endpoint')}: {', '.join(named)}"


def _verdict(mistakes: int, faults: int) -> str:
    if not mistakes and not faults:
        return click.style("All is well.", fg="green", bold=True)
    found = [plural(mistakes, "mistake") + " in the configuration"] if mistakes else []
    found += [plural(faults, "fault") + " of the machine"] if faults else []
    return click.style(" and ".join(found) + ".", fg="red", bold=True)


def _print(mark: tuple[str, str], what: str, remedy: str = "") -> None:
    character, tone = mark
    # Not folded by `printable`: the names are padded into a column.
    visible = "".join(each if each.isprintable() else " " for each in what)
    click.echo(f"  {click.style(character, fg=tone)} {visible}")
    if remedy:
        click.echo(f"      → {printable(remedy)}")
