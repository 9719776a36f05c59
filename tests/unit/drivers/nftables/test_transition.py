from __future__ import annotations

from sidecar.drivers.nftables import listing
from sidecar.drivers.nftables.render import TABLE, render
from sidecar.drivers.nftables.transition import converging, replacing
from tests import policies

WANTED_TEXT = render(policies.GATEWAY)
WANTED = listing.tables(WANTED_TEXT, TABLE)


def preparation(found: str) -> list[str]:
    """Return what the script does before it adds the intended text."""
    script = converging(WANTED, listing.tables(found, TABLE), TABLE, WANTED_TEXT)
    assert script.endswith(WANTED_TEXT)
    return script.removesuffix(WANTED_TEXT).splitlines()


def test_into_an_empty_namespace_the_intended_text_is_loaded_as_it_is() -> None:
    assert preparation("") == []


def test_rules_and_sets_are_replaced_and_chains_and_counters_stay() -> None:
    assert preparation(WANTED_TEXT) == [
        "flush table inet sidecar",
        "delete set inet sidecar tunnel_ipv4",
        "delete set inet sidecar listen_ports",
        "delete set inet sidecar endpoints_eth0_1",
        "flush table netdev sidecar",
        "delete set netdev sidecar listen_ports",
        "delete set netdev sidecar endpoints_eth0_1",
    ]


def test_chains_and_counters_of_a_device_that_is_gone_are_deleted() -> None:
    steps = preparation(render(policies.TWO_UPLINKS))
    assert "delete chain netdev sidecar egress_br_2dlan_2e7" in steps
    assert "delete counter netdev sidecar accepted_br_2dlan_2e7" in steps
    assert "delete chain netdev sidecar egress_eth0" not in steps


def test_a_chain_on_another_hook_or_with_another_policy_is_made_anew() -> None:
    found = WANTED_TEXT.replace("hook output priority raw; policy drop", "hook output priority raw; policy accept")
    assert "delete chain inet sidecar output" in preparation(found)
    assert "delete chain inet sidecar input" not in preparation(found)


def test_a_chain_of_our_name_without_a_hook_is_made_anew() -> None:
    found = "table inet sidecar {\n\tchain output {\n\t}\n}\n"
    assert "delete chain inet sidecar output" in preparation(found)


def test_a_table_with_flags_or_strange_objects_is_made_anew_with_its_counts() -> None:
    for oddity in (
        "\tflags dormant\n",
        "\tquota q {\n\t\t1 mbytes\n\t}\n",
        "\tmap m {\n\t\ttype mark : verdict\n\t}\n",
    ):
        found = WANTED_TEXT.replace("{\n", "{\n" + oddity, 1).replace("packets 0 bytes 0", "packets 5 bytes 60")
        assert preparation(found)[:3] == [
            "delete table inet sidecar",
            "add table inet sidecar",
            "add counter inet sidecar dropped_embedded_dns { packets 5 bytes 60; }",
        ]


def test_a_replacement_needs_no_listing() -> None:
    script = replacing(WANTED, {}, TABLE, WANTED_TEXT).removesuffix(WANTED_TEXT)
    assert script.splitlines() == [
        "add table inet sidecar",
        "delete table inet sidecar",
        "add table netdev sidecar",
        "delete table netdev sidecar",
    ]
