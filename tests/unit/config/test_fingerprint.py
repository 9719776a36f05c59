"""The fingerprint changes when anything does that `load` reads, and never raises."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.unit.config.builders import conf, gluetun

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.config.builders import ConfigFiles


def test_it_stays_while_nothing_changes(files: ConfigFiles) -> None:
    files.write("a.conf", conf())
    configuration = files.configuration()
    assert configuration.fingerprint() == configuration.fingerprint()


def _same_size_and_time(files: ConfigFiles) -> None:
    path = files.endpoints / "a.conf"
    before = path.stat()
    path.write_text(path.read_text().replace("51820", "51821"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[ConfigFiles], object]] = {
    "a file is added": lambda files: files.write("b.conf", conf()),
    "a file is removed": lambda files: (files.endpoints / "a.conf").unlink(),
    "a file is renamed": lambda files: (files.endpoints / "a.conf").rename(files.endpoints / "z.conf"),
    "a file is replaced by one of the same size and time": _same_size_and_time,
    "a file is touched": lambda files: os.utime(files.endpoints / "a.conf", ns=(1, 1)),
    "a file becomes a directory": lambda files: (
        (files.endpoints / "a.conf").unlink(),
        (files.endpoints / "a.conf").mkdir(),
    ),
    "the settings file appears": lambda files: files.toml.touch(),
    "a secret appears": lambda files: (files.secrets / "sidecar_failover_wrap").write_text("true"),
    "an endpoint's secret appears": lambda files: (files.secrets / "wireguard_private_key").touch(),
    "a file named by a variable changes": lambda files: (files.directory / "cycle").write_text("3"),
    "the directory vanishes": lambda files: files.endpoints.rename(files.directory / "gone"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_it_changes_when(files: ConfigFiles, change: Callable[[ConfigFiles], object]) -> None:
    files.write("a.conf", conf())
    (files.directory / "cycle").write_text("2")
    files.environ = {"SIDECAR_HEALTH_CYCLE_S_FILE": str(files.directory / "cycle")}
    configuration = files.configuration()
    before = configuration.fingerprint()
    change(files)
    assert configuration.fingerprint() != before


def test_it_never_raises(files: ConfigFiles) -> None:
    files.environ = gluetun(WIREGUARD_PRIVATE_KEY=None, WIREGUARD_PRIVATE_KEY_FILE="/no/such/\udcffname")
    files.endpoints.rmdir()
    files.endpoints.write_text("a file where the directory belongs")
    files.toml.mkdir()
    assert files.configuration().fingerprint()
