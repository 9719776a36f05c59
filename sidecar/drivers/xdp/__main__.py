"""Hold every device there is, then become another program, which has the sockets on its shelf.

    python -m sidecar.drivers.xdp PROGRAM [ARGUMENT...]

For the container's entrypoint, between the sealed ruleset and the supervisor: the sealed ruleset does not stop AF_XDP.
Whatever goes wrong here is said, and left to the watchdog, which refuses to start on a queue that is not its own: the
supervisor has to run in any case, or nobody would be there to say why nothing works.
"""

from __future__ import annotations

import os
import socket
import sys

from sidecar.drivers.xdp.hold import KernelXdpHold
from sidecar.drivers.xdp.shelf import Shelf
from sidecar.errors import LockError


def hold_everything(hold: KernelXdpHold) -> None:
    """Hold every device but `lo`."""
    if not hold.is_supported():
        sys.stderr.write("sidecar: this kernel has no AF_XDP: nothing to hold\n")
    hold.hold(tuple(name for _, name in socket.if_nameindex() if name != "lo"))


def main() -> None:
    """Hold, and become what the arguments say."""
    program = sys.argv[1:]
    if not program:
        sys.exit("usage: python -m sidecar.drivers.xdp PROGRAM [ARGUMENT...]")
    environment = dict(os.environ)
    shelf = None
    try:
        shelf = Shelf.new()  # open until the very end: the next program inherits it from us
        environment = shelf.bequeath(environment)
        hold_everything(KernelXdpHold(shelf))
    except LockError as error:
        sys.stderr.write(f"sidecar: {error}\n")
    os.execvpe(program[0], program, environment)  # noqa: S606 - this is what it is for


if __name__ == "__main__":
    main()
