"""The composition root: the command line, and `sidecar run` behind it, loaded only when it is asked for."""

from __future__ import annotations

from sidecar.cli import build


def _run() -> int:
    from sidecar.service import run  # noqa: PLC0415 - scapy and pyroute2 take half a second; other commands need neither

    return run()


def main() -> None:
    """Run the command that was typed."""
    build(_run)()


if __name__ == "__main__":
    main()
