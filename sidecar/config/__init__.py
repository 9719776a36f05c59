"""Files and environment become a frozen plan; every mistake is a ConfigError before the network is touched."""

from __future__ import annotations

from sidecar.config.choosing import Process
from sidecar.config.loading import FileConfiguration
from sidecar.config.settings import Implementation

__all__ = ["FileConfiguration", "Implementation", "Process"]
