"""The commands people type, and what they read. One file a group of commands; `build` puts them together.

Every command but `run` and `check` loads in a fraction of a second: none of them imports scapy, pyroute2, docker or
loguru, and a test sees to that.
"""

from sidecar.cli.program import build

__all__ = ["build"]
