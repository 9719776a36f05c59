"""A policy as nft text: what core permits, written so that nothing else fits through, and written as nft lists it.

The text is the exact listing of what the kernel should hold, so that a read-back is a comparison of texts. For that,
every match is in the form that nft 1.0.6 and 1.1.3 both print; a match on `ether type` is not (both print nothing for
it), which is why link headers are compared as raw bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.drivers.nftables import text
from sidecar.drivers.nftables.device_chains import device_blocks
from sidecar.drivers.nftables.inet_chains import inet_blocks
from sidecar.errors import Bug

if TYPE_CHECKING:
    from sidecar.core.killswitch import Flow, Policy, Resolution

TABLE = "sidecar"
FAMILIES = ("inet", "netdev")
_LARGEST_MARK = 0xFFFFFFFF


def render(policy: Policy) -> str:
    """Return the tables of `policy`, for a namespace that has no table of ours.

    Raises:
        LockError: a device's name or hardware address cannot be written exactly.
        Bug: the policy permits an outer flow without saying by what mark, ports or device.
    """
    _require_pins(policy)
    blocks = {"inet": inet_blocks(policy), "netdev": device_blocks(policy)}
    return "".join(text.table(family, TABLE, blocks[family]) for family in FAMILIES)


def _require_pins(policy: Policy) -> None:
    permitted: tuple[Flow | Resolution, ...] = (*policy.flows, *policy.resolutions)
    if policy.is_sealed and permitted:
        raise Bug("a sealed policy permits an outer flow")
    if policy.proof_device is not None and (policy.is_sealed or policy.proof_device in policy.devices):
        raise Bug("a policy leaves a device out of the lock while it is sealed, or locks it as well")
    if policy.flows and not (policy.listen_ports and 0 < policy.fwmark <= _LARGEST_MARK):
        raise Bug("a policy permits an outer flow without a mark or without source ports")
    unlocked = {permit.device for permit in permitted} - set(policy.devices)
    if unlocked:
        raise Bug(f"a policy permits an outer flow on devices that it does not lock: {sorted(unlocked)}")
    if policy.tunnel_device in policy.devices:
        raise Bug("a policy takes the tunnel for an uplink")
