"""TunnelCrack, LocalNet: a network that says the whole world is next door.

Clients let the local network be reached beside the tunnel. Whoever gives out the addresses gives out one of a public
network, and everything in that network is "local" from then on, and is sent in the clear.

Docker gives out ours: a network whose subnet overlaps with public addresses does it without any malice.

Source: CVE-2023-36672 and CVE-2023-35838; Xue et al., "Bypassing Tunnels", USENIX Security 2023.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from tests.netns.findings.victim import ROUTER, new_token, say

if TYPE_CHECKING:
    from tests.netns.findings.victim import Victim

LOCAL, TARGET = IPv4Address("198.51.100.66"), IPv4Address("198.51.100.77")
PREFIX_LENGTH = 26  # the far side, 198.51.100.10, is not in it


@pytest.fixture
def fooled(victim: Victim) -> Victim:
    """The victim, after its LAN has given it an address in the target's network."""
    victim.stage.router.ip("address", "add", f"{TARGET}/{PREFIX_LENGTH}", "dev", "down0")
    victim.stage.sidecar.ip("address", "add", f"{LOCAL}/{PREFIX_LENGTH}", "dev", "eth0")
    assert "dev eth0" in victim.stage.sidecar.ip("route", "get", str(TARGET))
    return victim


def test_nothing_is_sent_to_a_local_network_that_covers_the_target(fooled: Victim) -> None:
    fooled.require_that_only_the_lock_keeps_in(lambda token: say(token, TARGET, 9))


def test_the_local_network_is_not_even_asked_who_has_the_target(fooled: Victim) -> None:
    def ask() -> None:
        fooled.stage.sidecar.ip("neighbour", "flush", "to", str(TARGET), "dev", "eth0")
        say(new_token(), TARGET, 9)

    def is_question(frame: bytes) -> bool:
        return frame[12:14] == b"\x08\x06" and frame[38:42] == TARGET.packed

    fooled.require_control(ask, is_question)
    fooled.seal_off()
    assert fooled.out_of(ask, is_question) == []


def test_the_local_network_of_old_is_not_reached_either(victim: Victim) -> None:
    victim.require_that_only_the_lock_keeps_in(lambda token: say(token, ROUTER, 9))
