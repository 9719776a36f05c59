from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.drivers.pins import FIRST_PORT, LAST_PORT, PORT_COUNT, draw, load_or_draw
from sidecar.errors import LockError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_restarted_watchdog_adopts_the_pins_it_finds(tmp_path: Path) -> None:
    path = tmp_path / "sidecar" / "pins.json"
    assert load_or_draw(path) == load_or_draw(path)


def test_two_namespaces_do_not_share_pins(tmp_path: Path) -> None:
    assert load_or_draw(tmp_path / "one") != load_or_draw(tmp_path / "two")


def test_only_root_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "pins.json"
    load_or_draw(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_ports_are_distinct_and_outside_the_ephemeral_range() -> None:
    ports = draw().listen_ports
    assert len(set(ports)) == PORT_COUNT
    assert all(FIRST_PORT <= port <= LAST_PORT for port in ports)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"fwmark": 0, "listen_ports": [10240, 10241, 10242, 10243, 10244, 10245, 10246, 10247]}',
        '{"fwmark": 4294967296, "listen_ports": [10240, 10241, 10242, 10243, 10244, 10245, 10246, 10247]}',
        '{"fwmark": 7, "listen_ports": [10240]}',
        '{"fwmark": 7, "listen_ports": [53, 10241, 10242, 10243, 10244, 10245, 10246, 10247]}',
        '{"fwmark": 7, "listen_ports": null}',
        '{"fwmark": 7}',
    ],
)
def test_a_file_that_cannot_be_believed_is_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pins.json"
    path.write_text(text)
    pins = load_or_draw(path)
    assert len(pins.listen_ports) == PORT_COUNT
    assert pins == load_or_draw(path)


def test_the_mark_and_the_ports_do_not_show_in_a_repr() -> None:
    pins = draw()
    assert str(pins.fwmark) not in repr(pins)
    assert not any(str(port) in repr(pins) for port in pins.listen_ports)


def test_a_directory_that_cannot_be_made_is_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LockError, match="tmpfs"):
        load_or_draw(tmp_path / "file" / "pins.json")
