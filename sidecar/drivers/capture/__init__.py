"""The tap on every uplink, and the evidence it keeps: the `Capture` and `Evidence` ports."""

from __future__ import annotations

from sidecar.drivers.capture.capture import ScapyCapture
from sidecar.drivers.capture.evidence import PcapEvidence

__all__ = ["PcapEvidence", "ScapyCapture"]
