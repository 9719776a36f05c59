"""A .torrent of the far side's endless file, with a tracker and a web seed behind the tunnel. BEP 3, BEP 19."""

from __future__ import annotations

import hashlib

from integration.peers.names import FAR_V4, content

PIECE_BYTES = 256 * 1024


def torrent(name: str, size: int) -> bytes:
    """Return the metadata of a file called `name` with `size` bytes."""
    pieces = b"".join(
        hashlib.sha1(content(start, min(PIECE_BYTES, size - start)), usedforsecurity=False).digest()
        for start in range(0, size, PIECE_BYTES)
    )
    return _bencoded(
        {
            "announce": f"http://{FAR_V4}/announce",
            "info": {"length": size, "name": name, "piece length": PIECE_BYTES, "pieces": pieces},
            "url-list": f"http://{FAR_V4}/file?bytes={size}",
        }
    )


def _bencoded(value: object) -> bytes:
    match value:
        case int():
            return b"i%de" % value
        case str():
            return _bencoded(value.encode())
        case bytes():
            return b"%d:%s" % (len(value), value)
        case dict():
            return b"d" + b"".join(_bencoded(key) + _bencoded(value[key]) for key in sorted(value)) + b"e"
    raise TypeError(f"bencode has no {type(value).__name__}")
