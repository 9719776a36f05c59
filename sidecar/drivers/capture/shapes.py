"""What a policy permits, as shapes of frames."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from sidecar.core.frames import ETHER_TYPE_IPV4, ETHER_TYPE_IPV6, PROTOCOL_UDP, ethernet_octets, resolution_frames
from sidecar.drivers.capture.instructions import address, at_least, ethernet, field, length

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sidecar.core.killswitch import Flow, Policy
    from sidecar.drivers.capture.instructions import Check, Shape

_WORD_BYTES = 4


def permitted(policy: Policy, device: str) -> Iterator[Shape]:
    """Yield what `device` may send; the flows first, since nearly every frame is one of theirs.

    A device without Ethernet addresses has no shapes: everything that it sends is delivered.
    """
    for flow in policy.flows:
        if flow.device == device and policy.listen_ports and _is_ethernet(flow):
            yield _flow(flow, policy.listen_ports)
    for resolution in policy.resolutions:
        if resolution.device == device:
            yield from _exactly(exact.frame for exact in resolution_frames(resolution, policy.flows))


def _is_ethernet(flow: Flow) -> bool:
    return ethernet_octets(flow.source_mac) is not None and ethernet_octets(flow.next_hop_mac) is not None


def _flow(flow: Flow, source_ports: tuple[int, ...]) -> Shape:
    """Return the shape of an outer WireGuard packet: UDP, no IP options; a first fragment, since only it has ports."""
    if flow.endpoint_address.version == 4:  # noqa: PLR2004 - IP's own
        return (
            at_least(42),
            field(12, 2, ETHER_TYPE_IPV4),
            *address(30, flow.endpoint_address),
            field(36, 2, flow.endpoint_port),
            field(34, 2, *source_ports),
            *address(26, flow.source_address),
            *ethernet(flow.source_mac, flow.next_hop_mac),
            field(14, 1, 0x45),
            field(20, 2, 0, mask=0x1FFF),
            field(23, 1, PROTOCOL_UDP),
        )
    return (
        at_least(62),
        field(12, 2, ETHER_TYPE_IPV6),
        *address(38, flow.endpoint_address),
        field(56, 2, flow.endpoint_port),
        field(54, 2, *source_ports),
        *address(22, flow.source_address),
        *ethernet(flow.source_mac, flow.next_hop_mac),
        field(14, 1, 0x60, mask=0xF0),
        field(20, 1, PROTOCOL_UDP),
    )


def _exactly(frames: Iterable[bytes]) -> Iterator[Shape]:
    """Yield shapes that hold every byte of `frames`; those that differ only at their end share one.

    Answers by ARP to several askers do: the asker's address stands last.
    """
    for beginning, alike in groupby(frames, lambda frame: frame[:-_WORD_BYTES]):
        ends = (int.from_bytes(frame[-_WORD_BYTES:], "big") for frame in alike)
        yield length(len(beginning) + _WORD_BYTES), *_words(beginning), field(len(beginning), _WORD_BYTES, *ends)


def _words(data: bytes) -> Iterator[Check]:
    # Two bytes first, since what follows a link header of fourteen is made of whole words.
    yield field(0, 2, int.from_bytes(data[:2], "big"))
    for at in range(2, len(data), _WORD_BYTES):
        yield field(at, _WORD_BYTES, int.from_bytes(data[at : at + _WORD_BYTES], "big"))
