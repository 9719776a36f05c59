"""The golden files are the lock for people to read. To write them anew: GOLDEN=write pytest <this file>."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from sidecar.core.killswitch import sealed
from sidecar.core.model import MacAddress
from sidecar.drivers.nftables.render import render
from sidecar.errors import Bug, LockError
from tests import policies

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parents[4]


def chain(text: str, name: str) -> list[str]:
    """Return the rules of a chain, without its head."""
    match = re.search(rf"\tchain {name} {{\n(.*?)\n\t}}", text, re.DOTALL)
    assert match, name
    return [line.strip() for line in match[1].splitlines()][1:]


@pytest.mark.parametrize("name", policies.EVERY)
def test_a_policy_is_rendered_as_its_golden_file(name: str) -> None:
    text = render(policies.EVERY[name])
    golden = GOLDEN / f"{name}.nft"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("name", policies.EVERY)
def test_every_chain_drops_by_policy_and_its_last_rule_counts_what_it_drops(name: str) -> None:
    text = render(policies.EVERY[name])
    heads = re.findall(r"type filter hook (\S+) .*", text)
    assert len(heads) == text.count("policy drop;") == 5 + 2 * len(policies.EVERY[name].devices)
    for chain_name in re.findall(r"chain (\S+) {", text):
        assert re.fullmatch(r'counter name "dropped_\w+" drop', chain(text, chain_name)[-1])


@pytest.mark.parametrize("name", policies.EVERY)
def test_no_rule_logs_jumps_or_trusts_a_connection_on_an_uplink(name: str) -> None:
    text = render(policies.EVERY[name])
    assert not re.search(r"\b(log|jump|goto|queue|dup|fwd)\b", text)
    for line in text.splitlines():
        if "ct state" in line:
            assert 'iifname "wg0"' in line


@pytest.mark.parametrize("name", policies.EVERY)
def test_docker_s_resolver_is_dropped_before_loopback_is_accepted(name: str) -> None:
    for hook in ("prerouting", "input", "output", "postrouting"):
        rules = chain(render(policies.EVERY[name]), hook)
        assert rules[0] == 'ip daddr 127.0.0.11 counter name "dropped_embedded_dns" drop'
        assert rules[1].endswith('ifname "lo" accept')


@pytest.mark.parametrize("name", policies.EVERY)
def test_every_egress_accept_counts_and_pins_the_whole_link_header_by_bytes(name: str) -> None:
    policy = policies.EVERY[name]
    for device in policy.devices:
        mapped = device.replace("-", "_2d").replace(".", "_2e")
        for rule in chain(render(policy), f"egress_{mapped}")[:-1]:
            assert "@ll,0,112 0x" in rule
            assert f'counter name "accepted_{mapped}" accept' in rule
            assert "meta protocol" not in rule


def test_the_mark_is_asked_for_on_every_way_out_and_ends_at_the_last_one() -> None:
    text = render(policies.GATEWAY)
    for name in ("output", "postrouting"):
        outer = [rule for rule in chain(text, name) if "udp" in rule]
        assert len(outer) == 1
        assert "meta mark 0x0badcafe " in outer[0]
    egress = [rule for rule in chain(text, "egress_eth0") if "udp" in rule]
    assert len(egress) == 1
    assert egress[0].startswith("meta mark 0x0badcafe ")
    assert "meta mark set 0x00000000" in egress[0]


def test_endpoints_with_next_hops_of_their_own_cannot_swap_them() -> None:
    egress = [rule for rule in chain(render(policies.ON_LINK), "egress_eth0") if "udp" in rule]
    assert len(egress) == 2
    sets = {re.search(r"@ll,0,112 (\S+)", rule)[1]: re.search(r"@(endpoints\w+)", rule)[1] for rule in egress}  # type: ignore[index]
    assert len(sets) == len(set(sets.values())) == 2


def test_a_sealed_policy_accepts_loopback_and_nothing_else() -> None:
    accepting = [line.strip() for line in render(policies.SEALED).splitlines() if "accept" in line]
    assert [line for line in accepting if not line.startswith(("iifname", "oifname", "counter accepted"))] == []
    assert {line for line in accepting if "ifname" in line} == {'iifname "lo" accept', 'oifname "lo" accept'}


def test_an_unresolved_next_hop_may_be_asked_for_and_nothing_else_leaves() -> None:
    rules = chain(render(policies.UNRESOLVED), "egress_eth0")
    assert len(rules) == 2
    assert rules[0].startswith("meta length 42 @ll,0,112 0xffffffffffff0200000000020806 ")


def test_a_namespace_without_devices_has_both_tables_all_the_same() -> None:
    assert render(sealed([])).count("table ") == 2


@pytest.mark.parametrize("mark", [0, -1, 1 << 32])
def test_a_permit_without_a_proper_mark_is_a_bug(mark: int) -> None:
    with pytest.raises(Bug):
        render(replace(policies.GATEWAY, fwmark=mark))


def test_a_permit_without_source_ports_is_a_bug() -> None:
    with pytest.raises(Bug):
        render(replace(policies.GATEWAY, listen_ports=()))


def test_a_permit_on_a_device_that_is_not_locked_is_a_bug() -> None:
    with pytest.raises(Bug):
        render(replace(policies.GATEWAY, devices=("eth1",)))


def test_a_sealed_policy_that_permits_something_is_a_bug() -> None:
    with pytest.raises(Bug):
        render(replace(policies.GATEWAY, tunnel_device=None))


def test_a_tunnel_that_is_also_an_uplink_is_a_bug() -> None:
    with pytest.raises(Bug):
        render(replace(policies.GATEWAY, devices=("eth0", "wg0")))


@pytest.mark.parametrize("mac", ["", "02:00:00:00:00", "not a mac", "00:00:00:00:00:00:00:02"])
def test_an_uplink_without_an_ethernet_address_is_refused(mac: str) -> None:
    odd = replace(policies.GATEWAY.flows[0], source_mac=MacAddress(mac))
    with pytest.raises(LockError, match="not an Ethernet address"):
        render(replace(policies.GATEWAY, flows=(odd,)))
    for field in ("source_mac", "next_hop_mac"):
        asking = replace(policies.GATEWAY.resolutions[0], **{field: MacAddress(mac)})  # type: ignore[arg-type]
        with pytest.raises(LockError, match="not an Ethernet address"):
            render(replace(policies.GATEWAY, flows=(), resolutions=(asking,)))


@pytest.mark.parametrize("device", ['a"b', "eth*", "back\\slash", "naïve", "", "tab\tbed", "a" * 16])
def test_a_device_whose_name_nft_cannot_write_exactly_is_refused(device: str) -> None:
    with pytest.raises(LockError, match="rename the device"):
        render(sealed([device]))


def test_ipv4_and_ipv6_tunnel_addresses_have_sets_of_their_own() -> None:
    text = render(replace(policies.GATEWAY, tunnel_addresses=(ip_address("2001:db8:9::2"),)))
    assert 'oifname "wg0" ip6 saddr @tunnel_ipv6 accept' in chain(text, "output")
    assert "tunnel_ipv4" not in text


def test_what_the_entrypoint_loads_is_the_sealed_policy() -> None:
    loaded = (ROOT / "rootfs/usr/share/sidecar/sealed.nft").read_text()
    rules = "".join(line for line in loaded.splitlines(keepends=True) if not line.startswith("#"))
    assert render(sealed([])).startswith(rules)
    assert rules.count("policy drop;") == 5
