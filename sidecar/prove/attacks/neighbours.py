"""What can be hidden in ARP and neighbour discovery: each attempt is a frame that may pass, changed in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.prove.attacks.packets import send_frame
from sidecar.prove.catalogue import NET_RAW, attack
from sidecar.prove.wire import ARP, BROADCAST, IPV6, arp_answer, arp_question, changed, nd_answer, nd_question

if TYPE_CHECKING:
    from sidecar.prove.scene import Scene

# Where what stands in a frame. Source: RFC 826; RFC 4861, sections 4.3 and 4.4; RFC 8200.
SENDER_MAC, SENDER_PROTOCOL, TARGET_MAC, TARGET_PROTOCOL = 22, 28, 32, 38
FRAME_SOURCE, ARP_LENGTHS, ARP_OPERATION = 6, 18, 20
ND_SOURCE, ND_DESTINATION, ND_TYPE, ND_RESERVED, ND_TARGET, ND_OPTION_MAC = 22, 38, 54, 58, 62, 80


def arp(scene: Scene, frame: bytes) -> None:
    """Send what is or seems to be ARP."""
    send_frame(scene, frame, claimed=ARP)


def discovery(scene: Scene, frame: bytes) -> None:
    """Send what is or seems to be neighbour discovery."""
    send_frame(scene, frame, claimed=IPV6)


@attack(needs=NET_RAW)
def arp_with_a_trailer(scene: Scene) -> None:
    """ARP with a trailer."""
    arp(scene, arp_question(scene) + scene.token)


@attack(needs=NET_RAW)
def arp_for_another_address(scene: Scene) -> None:
    """ARP for another address than the next hop's."""
    arp(scene, changed(arp_question(scene), TARGET_PROTOCOL, scene.far4.packed))


@attack(needs=NET_RAW)
def arp_from_another_address(scene: Scene) -> None:
    """ARP from another address than our own."""
    arp(scene, changed(arp_question(scene), SENDER_PROTOCOL, scene.far4.packed))


@attack(needs=NET_RAW)
def arp_from_another_hardware_address(scene: Scene) -> None:
    """ARP with another hardware address inside."""
    arp(scene, changed(arp_question(scene), SENDER_MAC, scene.token))


@attack(needs=NET_RAW)
def arp_in_a_frame_from_another_hardware_address(scene: Scene) -> None:
    """ARP in a frame from another hardware address."""
    arp(scene, changed(arp_question(scene), FRAME_SOURCE, scene.token))


@attack(needs=NET_RAW)
def arp_with_something_in_the_unused_field(scene: Scene) -> None:
    """ARP question with something in the field that none uses."""
    arp(scene, changed(arp_question(scene), TARGET_MAC, scene.token))


@attack(needs=NET_RAW)
def arp_answer_to_everybody(scene: Scene) -> None:
    """ARP answer to everybody, with something in a field."""
    arp(scene, changed(changed(arp_answer(scene), 0, BROADCAST), TARGET_MAC, scene.token))


@attack(needs=NET_RAW)
def arp_of_another_operation(scene: Scene) -> None:
    """ARP of another operation (inverse ARP)."""
    arp(scene, changed(changed(arp_question(scene), ARP_OPERATION, b"\x00\x08"), TARGET_MAC, scene.token))


@attack(needs=NET_RAW)
def arp_of_other_lengths(scene: Scene) -> None:
    """ARP with other lengths of addresses."""
    arp(scene, changed(changed(arp_question(scene), ARP_LENGTHS, b"\x08\x08"), TARGET_MAC, scene.token))


@attack(needs=NET_RAW)
def discovery_with_a_trailer(scene: Scene) -> None:
    """Neighbour discovery with a trailer."""
    discovery(scene, nd_question(scene) + scene.token)


@attack(needs=NET_RAW)
def discovery_of_another_address(scene: Scene) -> None:
    """Neighbour discovery of another address."""
    discovery(scene, changed(nd_question(scene), ND_TARGET, scene.far6.packed))


@attack(needs=NET_RAW)
def discovery_from_another_address(scene: Scene) -> None:
    """Neighbour discovery from another address."""
    discovery(scene, changed(nd_question(scene), ND_SOURCE, scene.far6.packed))


@attack(needs=NET_RAW)
def discovery_to_another_group(scene: Scene) -> None:
    """Neighbour discovery to another destination."""
    discovery(scene, changed(nd_question(scene), ND_DESTINATION, scene.far6.packed))


@attack(needs=NET_RAW)
def discovery_with_another_hardware_address_inside(scene: Scene) -> None:
    """Neighbour discovery with another hardware address inside."""
    discovery(scene, changed(nd_question(scene), ND_OPTION_MAC, scene.token))


@attack(needs=NET_RAW)
def discovery_with_something_in_the_reserved_field(scene: Scene) -> None:
    """Neighbour discovery with something in the reserved field."""
    discovery(scene, changed(changed(nd_question(scene), ND_RESERVED, scene.token[:4]), ND_OPTION_MAC, scene.token))


@attack(needs=NET_RAW)
def discovery_answer_about_another_address(scene: Scene) -> None:
    """A neighbour's answer about another address."""
    discovery(scene, changed(nd_answer(scene), ND_TARGET, scene.far6.packed))


@attack(needs=NET_RAW)
def a_router_solicitation(scene: Scene) -> None:
    """A router solicitation."""
    discovery(scene, changed(changed(nd_question(scene), ND_TYPE, b"\x85"), ND_OPTION_MAC, scene.token))
