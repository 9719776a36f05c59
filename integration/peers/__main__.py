"""A mock WireGuard server in one container, with faults on command.

It runs from the sidecar's own image (which holds Python, wireguard-go, wg and nft), with another entrypoint:

    python -m peers serve            with PEER_NAME in the environment and /etc/peer/wg.conf (wg setconf)
    python -m peers fault NAME       from outside, by `docker exec`; NAME: restore, cut, drop-data, blackhole
    python -m peers status           one JSON document
"""

from __future__ import annotations

import json
import os
import sys

from . import faults
from .status import status


def main(arguments: list[str]) -> int:
    """Dispatch; exit code 64 (EX_USAGE) for a command that is not known."""
    peer = os.environ.get("PEER_NAME", "unnamed")
    match arguments:
        case ["serve"]:
            from .server import serve  # noqa: PLC0415 - a fault must strike at once, not after pyroute2 is imported

            return serve(peer)
        case ["fault", name] if name in faults.FAULTS:
            faults.apply(name)
        case ["status"]:
            sys.stdout.write(json.dumps(status(peer)) + "\n")
        case _:
            sys.stderr.write(__doc__ or "")
            return 64
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
