"""Which addresses the device that leads nowhere gets."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from sidecar.prove.nowhere import NETWORKS4, Nowhere


def test_the_device_keeps_out_of_every_network_in_use() -> None:
    taken = [ip_network("192.0.2.240/28"), ip_network("203.0.113.250"), ip_network("2001:db8::/64")]
    assert Nowhere(taken).scene().own4 in NETWORKS4[2]


@pytest.mark.parametrize("taken", [(), (ip_network("192.0.2.0/28"),), (ip_network("10.0.0.0/8"),)])
def test_what_is_free_first_is_taken(taken: tuple[object, ...]) -> None:
    assert Nowhere(taken).scene().own4 in NETWORKS4[0]  # type: ignore[arg-type]


def test_its_scene_has_a_host_for_every_part_and_never_the_real_resolver() -> None:
    scene = Nowhere(()).scene()
    parts = {scene.own4, scene.router4, scene.far4, scene.endpoint4, scene.nobody4, scene.broadcast4}
    assert len(parts) == 6
    assert all(part in NETWORKS4[0] for part in parts)
    assert str(scene.resolver4) != "127.0.0.11"
