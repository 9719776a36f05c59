"""State and latch as bytes: JSON with a version and a checksum, so that one flipped bit is noticed and not believed."""

from __future__ import annotations

import hashlib
import json
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from sidecar.core.sights import Latch, Persisted

if TYPE_CHECKING:
    from sidecar.core.model import Address

VERSION = 1
LARGEST_BYTES = 1 << 16
"""More than any state has; what is larger is not ours."""


class Damaged(Exception):  # noqa: N818 - an adjective, as what it is about
    """The bytes are not what was written; the text says how."""


def encode_state(persisted: Persisted) -> bytes:
    """Return `persisted` as a document."""
    latch = persisted.latch
    return _seal(
        {
            "active": persisted.active,
            "list_digest": persisted.list_digest,
            "bad_cycles": persisted.bad_cycles,
            "latch": None if latch is None else _latch_body(latch),
            "gateways": [[device, str(address)] for device, address in persisted.gateways],
        }
    )


def decode_state(data: bytes) -> Persisted:
    """Return what `encode_state` was given.

    Raises:
        Damaged: anything at all is not as it was written.
    """
    body = _open(data)
    latch = body.get("latch")
    active = body.get("active")
    gateways = _expect(body, "gateways", list)
    return Persisted(
        active=None if active is None else _expect(body, "active", str),
        list_digest=_expect(body, "list_digest", str),
        bad_cycles=_count(_expect(body, "bad_cycles", int)),
        latch=None if latch is None else _latch(_expect(body, "latch", dict)),
        gateways=tuple(_gateway(pair) for pair in gateways),
    )


def encode_latch(latch: Latch) -> bytes:
    """Return `latch` as a document."""
    return _seal(_latch_body(latch))


def decode_latch(data: bytes) -> Latch:
    """Return what `encode_latch` was given.

    Raises:
        Damaged: anything at all is not as it was written.
    """
    return _latch(_open(data))


def _seal(body: dict[str, Any]) -> bytes:
    document = {"version": VERSION, "sha256": _digest(body), "body": body}
    return (json.dumps(document, indent=1) + "\n").encode("ascii")


def _open(data: bytes) -> dict[str, Any]:
    if len(data) > LARGEST_BYTES:
        raise Damaged(f"larger than {LARGEST_BYTES} bytes")
    try:
        document = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise Damaged(f"not JSON ({error})") from error
    if not isinstance(document, dict):
        raise Damaged("not a document")
    version = document.get("version")
    if type(version) is not int or version != VERSION:
        raise Damaged(f"version {version!r}, and this program reads version {VERSION}")
    body = document.get("body")
    if not isinstance(body, dict) or document.get("sha256") != _digest(body):
        raise Damaged("its checksum does not match")
    return body


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode("ascii")).hexdigest()


def _expect(body: dict[str, Any], key: str, kind: type) -> Any:
    value = body.get(key)
    if type(value) is not kind:  # a bool is an int, and no count
        raise Damaged(f"{key!r} is not {kind.__name__}")
    return value


def _count(number: int) -> int:
    if number < 0:
        raise Damaged("'bad_cycles' is negative")
    return number


def _latch_body(latch: Latch) -> dict[str, Any]:
    return {"reason": latch.reason, "evidence": latch.evidence}


def _latch(body: dict[str, Any]) -> Latch:
    return Latch(reason=_expect(body, "reason", str), evidence=_expect(body, "evidence", str))


def _gateway(pair: Any) -> tuple[str, Address]:
    if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):  # noqa: PLR2004 - a pair
        raise Damaged("'gateways' holds something that is no pair of texts")
    device, address = pair
    try:
        return device, ip_address(address)
    except ValueError as error:
        raise Damaged(f"'gateways' holds {address!r}") from error
