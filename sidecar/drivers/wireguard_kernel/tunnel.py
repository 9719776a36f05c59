"""The port `Tunnel`, by the kernel's WireGuard, in the network namespace of the calling thread."""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from pyroute2 import IPRoute
from pyroute2.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST
from pyroute2.netlink.exceptions import NetlinkDecodeError, NetlinkDumpInterrupted, NetlinkError
from pyroute2.netlink.generic import GenericNetlinkSocket
from pyroute2.netlink.generic.wireguard import (
    WG_CMD_GET_DEVICE,
    WG_CMD_SET_DEVICE,
    WG_GENL_NAME,
    WG_GENL_VERSION,
    wgmsg,
)
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from sidecar.drivers.wireguard_kernel.messages import parse_device, rebind_attributes, switch_attributes
from sidecar.errors import TunnelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.core.model import Endpoint
    from sidecar.core.sights import WireGuardSight
    from sidecar.drivers.wireguard_kernel.messages import Attributes

_FAILURES: Final = (NetlinkError, NetlinkDecodeError, OSError)
_ABSENT: Final = frozenset({errno.ENODEV, errno.EOPNOTSUPP})
"""What WireGuard answers about a name that no device has, and about a device of another kind."""

_REMEDIES: Final = {
    errno.EPERM: "give the container NET_ADMIN (cap_add)",
    errno.ENOENT: "load the wireguard module on the host, or choose userspace",
    errno.EOPNOTSUPP: "load the wireguard module on the host, or choose userspace",
    errno.EADDRINUSE: "another program has the source port; the next cycle tries another",
    errno.ENODEV: "create the tunnel first",
}
_OTHER_REMEDY: Final = "see dmesg on the host"


class KernelTunnel:
    """`Tunnel`, by the kernel."""

    kind = "kernel"

    def create(self, device: str) -> None:
        """See `Tunnel.create`. A device of that name and of another kind is an error, not ours to remove."""
        with _failing(f"create {device}"), IPRoute() as netlink:
            try:
                netlink.link("add", ifname=device, kind="wireguard")
            except NetlinkError as error:
                if error.code != errno.EEXIST:
                    raise
        if self.inspect(device) is None:
            raise TunnelError(
                attempted=f"create {device}",
                got="a device of that name exists, and WireGuard does not know it",
                remedy="remove that device, or give the tunnel another name",
            )

    def configure(self, device: str, endpoint: Endpoint, listen_port: int, fwmark: int) -> None:
        """See `Tunnel.configure`."""
        attempted = f"point {device} at {endpoint.name} ({endpoint.address} port {endpoint.port})"
        try:
            attributes = switch_attributes(device, endpoint, listen_port, fwmark)
        except ValueError as error:
            raise TunnelError(attempted=attempted, got=str(error), remedy="correct the endpoint's file") from error
        with _failing(attempted):
            _request(WG_CMD_SET_DEVICE, attributes, NLM_F_REQUEST | NLM_F_ACK)

    def rebind(self, device: str, listen_port: int) -> None:
        """See `Tunnel.rebind`."""
        with _failing(f"move {device} to another source port"):
            _request(WG_CMD_SET_DEVICE, rebind_attributes(device, listen_port), NLM_F_REQUEST | NLM_F_ACK)

    def inspect(self, device: str) -> WireGuardSight | None:
        """See `Tunnel.inspect`.

        A handshake's age is what the wall clock shows now less what it showed then. A clock that was set back since
        makes the age 0, one that was set forward makes it too great, until the next handshake.
        """
        attributes = [["WGDEVICE_A_IFNAME", device]]
        with _failing(f"look at {device}"):
            try:
                messages = _retrying()(_request, WG_CMD_GET_DEVICE, attributes, NLM_F_REQUEST | NLM_F_DUMP)
            except NetlinkError as error:
                if error.code in _ABSENT:
                    return None
                raise
            return parse_device(messages, time.time())


def kernel_has_wireguard() -> bool:
    """Whether this kernel has WireGuard; asking loads the module where there is one. Raises TunnelError.

    Source: linux net/netlink/genetlink.c, ctrl_getfamily(), which requests the module of an unknown family.
    """
    with _failing("ask the kernel for WireGuard"):
        try:
            _open().close()
        except NetlinkError as error:
            if error.code == errno.ENOENT:
                return False
            raise
    return True


def _open() -> Any:
    sock = GenericNetlinkSocket()
    # A kernel without WireGuard is an answer; pyroute2 would report it as an error on the root logger.
    sock.asyncore.module_err_level = "debug"
    try:
        sock.bind(WG_GENL_NAME, wgmsg)
    except BaseException:
        sock.close()
        raise
    return sock


def _request(command: int, attributes: Attributes, flags: int) -> list[Any]:
    """Send one request; the kernel has carried it out, or refused it with a NetlinkError, when this returns."""
    message = wgmsg()
    message["cmd"] = command
    message["version"] = WG_GENL_VERSION
    message["attrs"] = attributes
    sock = _open()
    try:
        return list(sock.nlm_request(message, msg_type=sock.prid, msg_flags=flags))
    finally:
        sock.close()


def _retrying() -> Retrying:
    # A dump is interrupted when the device changes under it.
    return Retrying(
        retry=retry_if_exception_type(NetlinkDumpInterrupted),
        stop=stop_after_attempt(4),
        wait=wait_fixed(0.01),
        reraise=True,
    )


@contextmanager
def _failing(attempted: str) -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        number = getattr(error, "code", None) or getattr(error, "errno", None) or 0
        name = errno.errorcode.get(number)
        got = f"{os.strerror(number)} ({name})" if name else type(error).__name__
        raise TunnelError(attempted=attempted, got=got, remedy=_REMEDIES.get(number, _OTHER_REMEDY)) from error
