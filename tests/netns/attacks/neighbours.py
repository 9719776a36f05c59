"""What can be hidden in ARP and neighbour discovery: each attempt is a permitted frame, changed in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.frames import resolution_frames
from tests.netns.attacks import scene as at
from tests.netns.attacks.catalogue import attack
from tests.netns.attacks.packets import ETH_P_ARP, ETH_P_IPV6, send_frame
from tests.netns.attacks.scene import FAR4, FAR6, TOKEN

if TYPE_CHECKING:
    from tests.netns.attacks.scene import Scene

ARP_QUESTION, ARP_PROBE, ARP_ANSWER = (exact.frame for exact in resolution_frames(at.POLICY.resolutions[0], ()))
ND_FRAMES = resolution_frames(at.POLICY.resolutions[1], ())
ND_QUESTION = next(exact.frame for exact in ND_FRAMES if "who has" in exact.meaning and at.OWN6 in exact.meaning)
ND_ANSWER = next(exact.frame for exact in ND_FRAMES if "is here" in exact.meaning)


def changed(frame: bytes, at_byte: int, value: bytes) -> bytes:
    return frame[:at_byte] + value + frame[at_byte + len(value) :]


def arp(frame: bytes) -> None:
    send_frame(frame, claimed=ETH_P_ARP)


def discovery(frame: bytes) -> None:
    send_frame(frame, claimed=ETH_P_IPV6)


@attack
def arp_with_a_trailer(_: Scene) -> None:
    arp(ARP_QUESTION + TOKEN)


@attack
def arp_for_another_address(_: Scene) -> None:
    arp(changed(ARP_QUESTION, 38, FAR4.packed))


@attack
def arp_from_another_address(_: Scene) -> None:
    arp(changed(ARP_QUESTION, 28, FAR4.packed))


@attack
def arp_from_another_hardware_address(_: Scene) -> None:
    arp(changed(ARP_QUESTION, 22, TOKEN))


@attack
def arp_in_a_frame_from_another_hardware_address(_: Scene) -> None:
    arp(changed(ARP_QUESTION, 6, TOKEN))


@attack
def arp_with_something_in_the_unused_field(_: Scene) -> None:
    arp(changed(ARP_QUESTION, 32, TOKEN))


@attack
def arp_answer_that_was_not_asked_for(_: Scene) -> None:
    arp(changed(changed(ARP_ANSWER, 0, b"\xff" * 6), 32, TOKEN))


@attack
def arp_of_another_operation(_: Scene) -> None:
    arp(changed(changed(ARP_QUESTION, 20, b"\x00\x08"), 32, TOKEN))


@attack
def arp_of_other_lengths(_: Scene) -> None:
    arp(changed(changed(ARP_QUESTION, 18, b"\x08\x08"), 32, TOKEN))


@attack
def discovery_with_a_trailer(_: Scene) -> None:
    discovery(ND_QUESTION + TOKEN)


@attack
def discovery_of_another_address(_: Scene) -> None:
    discovery(changed(ND_QUESTION, 62, FAR6.packed))


@attack
def discovery_from_another_address(_: Scene) -> None:
    discovery(changed(ND_QUESTION, 22, FAR6.packed))


@attack
def discovery_to_another_group(_: Scene) -> None:
    discovery(changed(ND_QUESTION, 38, FAR6.packed))


@attack
def discovery_with_another_hardware_address_inside(_: Scene) -> None:
    discovery(changed(ND_QUESTION, 80, TOKEN))


@attack
def discovery_with_something_in_the_reserved_field(_: Scene) -> None:
    discovery(changed(changed(ND_QUESTION, 58, TOKEN[:4]), 80, TOKEN))


@attack
def discovery_answer_about_another_address(_: Scene) -> None:
    discovery(changed(ND_ANSWER, 62, FAR6.packed))


@attack
def a_router_solicitation(_: Scene) -> None:
    discovery(changed(changed(ND_QUESTION, 54, b"\x85"), 80, TOKEN))
