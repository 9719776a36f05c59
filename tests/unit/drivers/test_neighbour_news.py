from __future__ import annotations

import struct

import pytest

from sidecar.drivers.changes import KNOWN_NEIGHBOURS, NeighbourNews

NEW, DELETED = 28, 29
INCOMPLETE, REACHABLE, STALE, DELAY, PROBE, FAILED, NOARP = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40
MAC, OTHER_MAC = b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02"


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def row(state: int, mac: bytes = MAC, address: bytes = b"\x0a\0\0\1", index: int = 2) -> bytes:
    body = struct.pack("=BxxxiHBB", 2, index, state, 0, 1)
    return body + attribute(1, address) + (attribute(2, mac) if mac else b"")


@pytest.fixture
def news() -> NeighbourNews:
    made = NeighbourNews()
    assert made.is_news(NEW, row(REACHABLE))
    return made


@pytest.mark.parametrize("state", [REACHABLE, STALE, DELAY, PROBE])
def test_the_ticking_of_timers_is_no_news(news: NeighbourNews, state: int) -> None:
    assert not news.is_news(NEW, row(state))


def test_another_hardware_address_is_news_once(news: NeighbourNews) -> None:
    assert news.is_news(NEW, row(STALE, OTHER_MAC))
    assert not news.is_news(NEW, row(STALE, OTHER_MAC))


def test_giving_up_is_news_and_so_is_coming_back(news: NeighbourNews) -> None:
    assert news.is_news(NEW, row(FAILED, b""))
    assert not news.is_news(NEW, row(FAILED, b""))
    assert news.is_news(NEW, row(REACHABLE))


def test_losing_a_known_address_is_news_and_asking_for_an_unknown_one_is_not(news: NeighbourNews) -> None:
    assert news.is_news(NEW, row(INCOMPLETE, b""))
    assert not news.is_news(NEW, row(INCOMPLETE, b"", address=b"\x0a\0\0\2"))


def test_the_removal_of_a_known_neighbour_is_news_and_of_an_unknown_one_is_not(news: NeighbourNews) -> None:
    assert news.is_news(DELETED, row(STALE))
    assert not news.is_news(DELETED, row(STALE))


def test_the_same_address_on_another_device_is_another_neighbour(news: NeighbourNews) -> None:
    assert news.is_news(NEW, row(REACHABLE, index=3))


def test_multicast_and_bridge_entries_are_no_news(news: NeighbourNews) -> None:
    assert not news.is_news(NEW, row(NOARP, address=b"\xe0\0\0\1"))
    assert not news.is_news(NEW, struct.pack("=BxxxiHBB", 7, 2, REACHABLE, 0, 1) + attribute(2, MAC))


def test_a_flood_of_neighbours_takes_a_bounded_amount_of_memory(news: NeighbourNews) -> None:
    for number in range(3 * KNOWN_NEIGHBOURS):
        news.is_news(NEW, row(REACHABLE, address=number.to_bytes(4)))
    assert len(news._known) <= KNOWN_NEIGHBOURS
