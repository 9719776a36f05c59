from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.drivers.nftables.names import identifier, quoted

# What the kernel allows in a name and nft can quote. Source: dev_valid_name() in net/core/dev.c.
QUOTABLE = "".join(sorted(set(string.printable) - set(string.whitespace) - set('"*\\/:')))
device_names = st.text(QUOTABLE, min_size=1, max_size=15)


@given(device_names, device_names)
def test_two_devices_never_share_an_identifier(one: str, other: str) -> None:
    assert (identifier(one) == identifier(other)) == (one == other)


@given(device_names)
def test_an_identifier_is_made_of_letters_digits_and_underscores(device: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_]+", identifier(device))


@pytest.mark.parametrize(
    ("device", "expected"),
    [("eth0", "eth0"), ("eth0.5", "eth0_2e5"), ("br-lan", "br_2dlan"), ("eth0@if5", "eth0_40if5"), ("a_b", "a_5fb")],
)
def test_odd_characters_become_their_hexadecimal_codes(device: str, expected: str) -> None:
    assert identifier(device) == expected


def test_a_quoted_name_is_the_name_between_quotation_marks() -> None:
    assert quoted("eth0.5@x") == '"eth0.5@x"'
