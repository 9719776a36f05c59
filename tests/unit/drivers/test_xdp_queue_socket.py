from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, NoReturn

import pytest

from sidecar.drivers.xdp import KernelXdpHold, queue_socket
from sidecar.drivers.xdp.queue_socket import QueueSocket
from sidecar.errors import LockError

if TYPE_CHECKING:
    from pathlib import Path

WITH_XDP = "protocol  size sockets  memory press maxhdr  slab module\nXDP       1216      0      -1   NI\n"
WITHOUT_XDP = "protocol  size sockets  memory press maxhdr  slab module\nPACKET    1536      0      -1   NI\n"


@pytest.fixture
def protocols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "protocols"
    monkeypatch.setattr(queue_socket, "_PROTOCOLS", path)
    return path


def _refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refused(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "socket", refused)


def test_a_kernel_without_af_xdp_has_nothing_to_hold(protocols: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    protocols.write_text(WITHOUT_XDP)
    _refuse(monkeypatch, errno.EAFNOSUPPORT)
    assert QueueSocket.open() is None
    hold = KernelXdpHold()
    hold.hold(("eth0",))
    assert not hold.is_supported()
    assert hold.held() == frozenset()


@pytest.mark.parametrize("listing", [WITH_XDP, None])
def test_a_filter_that_hides_af_xdp_from_us_alone_is_an_error(
    protocols: Path, monkeypatch: pytest.MonkeyPatch, listing: str | None
) -> None:
    if listing is not None:
        protocols.write_text(listing)
    _refuse(monkeypatch, errno.EAFNOSUPPORT)
    with pytest.raises(LockError, match="seccomp"):
        QueueSocket.open()


def test_without_the_capability_the_remedy_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _refuse(monkeypatch, errno.EPERM)
    with pytest.raises(LockError, match="NET_RAW"):
        QueueSocket.open()
