from __future__ import annotations

import pytest

from sidecar.drivers.nftables import listing
from sidecar.drivers.nftables.difference import difference
from sidecar.drivers.nftables.listing import Block, Count
from sidecar.drivers.nftables.render import TABLE, render
from sidecar.errors import LockError
from tests import policies

FOREIGN = """\
# Warning: table ip nat is managed by iptables-nft, do not touch!
table ip nat {
	chain DOCKER_OUTPUT {
		ip daddr 127.0.0.11 udp dport 53 counter packets 3 bytes 7 dnat to 127.0.0.11:40000
	}
}
"""
INTENDED = """\
table inet sidecar {
	counter dropped_output {
		packets 0 bytes 0
	}

	set listen_ports {
		type inet_service
		elements = { 40001, 51820, 51821 }
	}

	chain output {
		type filter hook output priority raw; policy drop;
		oifname "lo" accept
		counter name "dropped_output" drop
	}
}
"""
PRINTED = """\
table inet sidecar {
	counter dropped_output {
		packets 12 bytes 3456
	}

	set listen_ports {
		type inet_service
		elements = { 51821,
			51820, 40001 }
	}

	chain output {
		type filter hook output priority raw; policy drop;
		oifname "lo" accept
		counter name "dropped_output" drop
	}
}
"""


def unlike(printed: str, intended: str = INTENDED) -> str:
    return difference(listing.tables(intended, TABLE), listing.tables(printed, TABLE), TABLE)


@pytest.mark.parametrize("name", policies.EVERY)
def test_what_is_rendered_reads_back_as_itself(name: str) -> None:
    text = render(policies.EVERY[name])
    assert unlike(text, text) == ""
    assert set(listing.tables(text, TABLE)) == {"inet", "netdev"}


def test_counter_values_element_order_and_line_breaks_are_no_difference() -> None:
    assert unlike(PRINTED) == ""


def test_other_tables_are_not_looked_at() -> None:
    assert unlike(FOREIGN + PRINTED + FOREIGN.replace("nat", "sidecar2")) == ""


def test_a_table_of_our_name_keeps_its_counters_values() -> None:
    assert listing.tables(PRINTED, TABLE)["inet"].counts == {"dropped_output": Count(12, 3456)}


def test_the_note_on_a_table_s_owner_is_not_part_of_its_name() -> None:
    owned = PRINTED.replace("sidecar {", "sidecar { # progname python3\n\tflags owner", 1)
    assert listing.tables(owned, TABLE)["inet"].properties == ("flags owner",)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("", "missing: table inet sidecar"),
        (
            PRINTED.replace('\t\toifname "lo" accept\n', ""),
            'missing: inet chain output: oifname "lo" accept',
        ),
        (
            PRINTED.replace('"lo" accept\n', '"lo" accept\n\t\toifname "eth0" accept\n'),
            'unexpected: inet chain output: oifname "eth0" accept',
        ),
        (
            PRINTED.replace("policy drop", "policy accept"),
            "missing: inet chain output: type filter hook output priority raw; policy drop;; unexpected: inet chain",
        ),
        (
            PRINTED.replace("51821,", "51821, 53,"),
            "missing: inet set listen_ports: elements = { … }; unexpected: inet set listen_ports: elements = { … }",
        ),
        (
            PRINTED.replace('oifname "lo" accept\n\t\tcounter name "dropped_output" drop', "X").replace(
                "X", 'counter name "dropped_output" drop\n\t\toifname "lo" accept'
            ),
            "out of order: inet chain output",
        ),
        (PRINTED.replace("{\n", "{\n\tflags dormant\n", 1), "unexpected: table inet: flags dormant"),
        (PRINTED.replace("\n}\n", "\n\tchain evil {\n\t}\n}\n"), "unexpected: inet chain evil"),
        (PRINTED.replace("counter dropped_output {", "quota dropped_output {"), "missing: inet counter dropped_output"),
    ],
)
def test_a_difference_is_told_in_words(printed: str, expected: str) -> None:
    assert unlike(printed).startswith(expected)


def test_a_long_difference_is_cut_and_says_how_much_is_left() -> None:
    many = "".join(f"\tchain evil{number:02} {{\n\t}}\n\n" for number in range(20))
    assert unlike(PRINTED.replace("{\n", "{\n" + many, 1)).endswith("; and 14 more")


def test_a_listing_that_breaks_off_is_an_error_and_not_an_empty_table() -> None:
    with pytest.raises(LockError, match="breaks off"):
        listing.tables(PRINTED[:-20], TABLE)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('oifname "eth0" meta mark 0x0badcafe accept', 'oifname "eth0" meta mark … accept'),
        ("meta mark != 0x0badcafe drop", "meta mark != … drop"),
        ("meta mark 195939070 accept", "meta mark … accept"),
        ("ct mark 0xbadcafe accept", "ct mark … accept"),
        ("meta mark set 0x00000000 accept", "meta mark set 0x00000000 accept"),
    ],
)
def test_a_mark_is_never_shown(line: str, told: str) -> None:
    assert listing.without_marks(line) == told


def test_neither_a_listing_nor_a_difference_shows_the_mark_or_the_source_ports() -> None:
    text = render(policies.GATEWAY)
    assert "badcafe" in text
    shown = listing.redacted(FOREIGN + text, TABLE)
    hidden = text.replace("meta mark 0x0badcafe", "meta mark …").replace("{ 40001, 51820 }", "{ … }")
    assert shown == hidden
    assert "40001" not in unlike(text.replace("40001, ", ""), text)
    assert "40001" not in unlike(text, text.replace("40001, ", ""))
    assert "badcafe" not in unlike("table inet sidecar {\n}\ntable netdev sidecar {\n}\n", text)
    assert "badcafe" not in unlike(text, text.replace("0x0badcafe", "0x0badbeef"))


def test_blocks_of_two_words_are_blocks() -> None:
    helper = 'table inet sidecar {\n\tct helper ftp {\n\t\ttype "ftp" protocol tcp\n\t}\n}\n'
    assert Block("ct helper", "ftp") in listing.tables(helper, TABLE)["inet"].blocks
