"""The list of attacks: whole, named, and each a function with a scene of its own."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from sidecar.prove import catalogue as the
from sidecar.prove.aim import elsewhere
from sidecar.prove.nowhere import Nowhere
from sidecar.prove.scene import from_fields, signed_anew, to_fields
from tests.unit.prove import rows as a

if TYPE_CHECKING:
    from collections.abc import Generator

    from sidecar.prove.scene import Scene

# What issue and design ask for at least, by a word of each title.
WANTED = (
    "default route", "SO_BINDTODEVICE", "uplink's address", "IP_PKTINFO", "broadcast", "multicast group", "mDNS",
    "host on the uplink's network", "IPv6", "fragments", "TCP", "Multipath TCP", "UDP-Lite", "ping socket", "io_uring",
    "IGMP", "MLD", "by ARP", "VPN server's address and port", "port of the tunnel's own", "guessed marks",
    "IP_TRANSPARENT", "honest (IP_HDRINCL)", "forged source", "router advertisement", "IPIP", "GRE", "IPsec", "SCTP",
    "DCCP", "frame with an IP packet", "SOCK_DGRAM", "QDISC_BYPASS", "VLAN tag", "QinQ", "802.3", "ether type",
    "lying sll_protocol", "ARP with a trailer", "ARP for another address", "perfect forgery", "middle of a packet",
    "AF_XDP", "127.0.0.11",
)  # fmt: skip


def scene() -> Scene:
    return Nowhere(()).scene()


@pytest.mark.parametrize("words", WANTED)
def test_the_list_holds_what_was_asked_for(words: str) -> None:
    assert [attack.name for attack in the.catalogue() if words in attack.title]


def test_titles_and_names_tell_attacks_apart() -> None:
    every = the.catalogue()
    assert len({attack.title for attack in every}) == len({attack.name for attack in every}) == len(every)
    assert all(attack.title[0].isupper() for attack in every)


def test_groups_stand_together_in_the_order_of_the_modules() -> None:
    groups = [attack.group for attack in the.catalogue()]
    assert list(dict.fromkeys(groups)) == list(the.MODULES)
    assert groups == sorted(groups, key=list(the.MODULES).index)


def test_a_name_is_taken_once() -> None:
    def a_frame(_: Scene) -> None:
        """Something."""

    with pytest.raises(ValueError, match="a_frame"):
        the.attack()(a_frame)


def test_refusals_of_sends_are_told_and_do_not_end_the_attack() -> None:
    went_on = []

    def attempt(_: Scene) -> None:
        with the.may_be_refused():
            raise OSError(errno.EPERM, "no")
        the.note(errno.EINPROGRESS)
        the.note(errno.ENOBUFS)
        went_on.append(True)

    with the.under_way(a.attack(attempt=attempt), scene()) as refused:
        assert refused == ("EPERM", "ENOBUFS")
    assert went_on


def test_what_an_attack_holds_open_is_let_go_of_after_the_watch() -> None:
    told = []

    def attempt(_: Scene) -> Generator[None]:
        told.append("sent")
        yield
        told.append("never")

    with the.under_way(a.attack(attempt=attempt), scene()):
        assert told == ["sent"]
    assert told == ["sent"]


def test_an_attack_that_cannot_begin_says_so() -> None:
    def attempt(_: Scene) -> None:
        raise OSError(errno.EPROTONOSUPPORT, "no such protocol")

    with pytest.raises(OSError, match="no such protocol"), the.under_way(a.attack(attempt=attempt), scene()):
        pytest.fail("it is under way")


def test_a_scene_survives_the_pipe_and_shows_no_mark() -> None:
    original = scene()
    assert from_fields(to_fields(original)) == original
    assert str(original.fwmark) not in repr(original)


def test_every_attempt_has_signs_of_its_own() -> None:
    first = scene()
    second = signed_anew(first)
    assert first.shows_in(b"..." + first.token + b"...")
    assert not second.shows_in(first.token + first.group4.packed + first.group6.packed)
    assert second.shows_in(second.group4.packed)


def test_the_far_side_is_another_one_each_time_and_always_a_documentation_address() -> None:
    seen, here = [], scene()
    for _ in range(250):
        here = elsewhere(here)
        seen.append(here.far4)
    assert len(set(seen)) == len(seen)
    assert {str(address).rpartition(".")[0] for address in seen} == {"198.51.100"}
