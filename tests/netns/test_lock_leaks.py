"""Every attack of the catalogue, first with the lock off (it must get out, or it proves nothing), then with it on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.core.sights import LockStatus
from tests.netns.attacks.catalogue import Attack, catalogue
from tests.netns.attacks.scene import POLICY, Scene
from tests.netns.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with World() as world:
        made = Scene(world)
        yield made
        made.close()


@pytest.mark.parametrize("attack", catalogue(), ids=lambda attack: attack.name)
def test_nothing_gets_out_that_gets_out_without_the_lock(scene: Scene, attack: Attack) -> None:
    scene.open_up()
    assert scene.escaped(attack.attempt, attack.where), "the control: this attack gets nowhere even without a lock"
    scene.seal_off()
    escaped = scene.escaped(attack.attempt, attack.where)
    assert [frame.hex() for frame in escaped] == []
    with scene.sidecar.entered():
        assert scene.lock.inspect(POLICY).status is LockStatus.INTACT
