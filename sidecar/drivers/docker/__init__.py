"""The containers that share our network namespace, by the Docker engine: the `Workloads` port.

This needs the engine's socket, which is root on the host; so it is an option. Without it a hard stop still takes
everything away from the workloads but their lives, and what they may do is not known.
"""

from __future__ import annotations

from sidecar.drivers.docker.company import own_id
from sidecar.drivers.docker.workloads import DockerWorkloads

__all__ = ["DockerWorkloads", "own_id"]
