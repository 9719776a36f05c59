"""Every attack of the catalogue, first with the lock off (it must get out, or it proves nothing), then with it on.

The lock is two walls, and each is tried alone as well: were one of them open, the other would hide it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.core.sights import LockStatus
from tests.netns.attacks.catalogue import Attack, catalogue
from tests.netns.attacks.scene import POLICY, Scene
from tests.netns.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator


FOREIGN_TABLES = """
table inet generous {
    chain output { type filter hook output priority -400; policy accept; accept; }
    chain postrouting { type filter hook postrouting priority 400; policy accept; accept; }
}
table netdev generous {
    chain early { type filter hook egress device "eth0" priority -400; policy accept; dup to "eth0"; accept; }
    chain late { type filter hook egress device "eth0" priority 400; policy accept; accept; }
}
"""


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with World() as world:
        made = Scene(world)
        yield made
        made.close()


def require_that_it_leaks_without_the_lock(scene: Scene, attack: Attack) -> None:
    scene.open_up()
    assert scene.escaped(attack), "the control: this attack gets nowhere even without a lock"


def named(attacks: list[Attack]) -> list[object]:
    return [pytest.param(attack, id=attack.name) for attack in attacks]


@pytest.mark.parametrize("attack", named(catalogue()))
def test_nothing_gets_out_that_gets_out_without_the_lock(scene: Scene, attack: Attack) -> None:
    require_that_it_leaks_without_the_lock(scene, attack)
    scene.seal_off()
    assert [frame.hex() for frame in scene.escaped(attack)] == []
    with scene.sidecar.entered():
        assert scene.lock.inspect(POLICY).status is LockStatus.INTACT


@pytest.mark.parametrize("attack", named([attack for attack in catalogue() if attack.passes_inet]))
def test_the_inet_hooks_alone_stop_what_passes_them(scene: Scene, attack: Attack) -> None:
    require_that_it_leaks_without_the_lock(scene, attack)
    scene.seal_off()
    scene.sidecar.nft("delete table netdev sidecar")
    assert [frame.hex() for frame in scene.escaped(attack)] == []


@pytest.mark.parametrize("attack", named([attack for attack in catalogue() if attack.where == "uplink"]))
def test_the_uplink_s_own_hooks_alone_stop_everything_on_it(scene: Scene, attack: Attack) -> None:
    require_that_it_leaks_without_the_lock(scene, attack)
    scene.seal_off()
    scene.sidecar.nft("delete table inet sidecar")
    assert [frame.hex() for frame in scene.escaped(attack)] == []


@pytest.mark.parametrize("name", ["udp_by_the_default_route", "a_frame", "a_frame_past_the_queue", "icmp_echo"])
def test_no_table_of_somebody_else_s_opens_ours(scene: Scene, name: str) -> None:
    attack = next(attack for attack in catalogue() if attack.name == name)
    scene.seal_off()
    scene.sidecar.nft(FOREIGN_TABLES)
    try:
        assert [frame.hex() for frame in scene.escaped(attack)] == []
        require_that_it_leaks_without_the_lock(scene, attack)
    finally:
        scene.sidecar.nft("delete table inet generous\ndelete table netdev generous")
