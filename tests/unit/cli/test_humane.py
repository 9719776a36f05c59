from __future__ import annotations

from ipaddress import ip_address

import pytest

from sidecar.cli.humane import duration, plural, printable, size, socket_address


@pytest.mark.parametrize(("seconds", "words"), [
    (-3, "0 s"),
    (0, "0 s"),
    (0.9, "0 s"),
    (42.4, "42 s"),
    (60, "1 min"),
    (250, "4 min 10 s"),
    (599, "9 min 59 s"),
    (659, "10 min"),
    (3600, "1 h"),
    (3661, "1 h 1 min"),
    (11_100, "3 h 5 min"),
    (86_400, "1 d"),
    (198_000, "2 d 7 h"),
    (86_400 * 400 + 59, "400 d"),
])  # fmt: skip
def test_a_length_of_time_has_its_two_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(("count_bytes", "words"), [
    (0, "0 B"),
    (1023, "1023 B"),
    (1024, "1.00 KiB"),
    (91_000_000, "86.78 MiB"),
    (1_406_000_000, "1.31 GiB"),
    (5 * 1024**4, "5.00 TiB"),
    (2000 * 1024**5, "2000.00 PiB"),
])  # fmt: skip
def test_an_amount_of_data_reads_as_in_wg(count_bytes: int, words: str) -> None:
    assert size(count_bytes) == words


def test_nouns_follow_their_number() -> None:
    assert [plural(count, "packet") for count in (0, 1, 2, 1203)] == [
        "0 packets",
        "1 packet",
        "2 packets",
        "1,203 packets",
    ]


def test_an_ipv6_address_is_kept_apart_from_its_port() -> None:
    assert socket_address(ip_address("203.0.113.7"), 51820) == "203.0.113.7:51820"
    assert socket_address(ip_address("2001:db8::7"), 51820) == "[2001:db8::7]:51820"


@pytest.mark.parametrize("text", ["a\x1b[31mb", "a\nb", "a\x00b", "a\u202eb", "a\u200bb", "a\x9bb", "\ta  b\r"])
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown.startswith("a ")
    assert shown.endswith("b")
