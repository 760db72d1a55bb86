"""Content codings whose blocks can be shared: packed once, appended to the body of any reader whenever it joined.

A block must not refer to bytes before its own start, because each reader has other bytes before it. A gzip body
(RFC 1952) is a header and one deflate stream (RFC 1951); a deflate stream may be cut at any byte boundary, so each
block here is a deflate stream of its own that was ended by a sync flush instead of a last block. A zstd body
(RFC 8878) is a row of frames that are independent anyway.

Both know blocks that are stored as they are, so whether packing is worth its time can be decided for each block,
long after a reader was told the coding of its body.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable
from typing import Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LEVEL = 1  # higher levels take twice the time for a tenth less
_DEFLATE_BLOCK = 0xFFFF  # bytes in one stored deflate block, RFC 1951 section 3.2.4
_WINDOW_BITS, _MEMORY_LEVEL = -15, 8  # raw deflate; smaller ones take longer to search than to set up
_ZSTD_BLOCK = 1 << 17  # bytes in one zstd block, RFC 8878 section 3.1.1.2
_ZSTD_HEAD = b"\x28\xb5\x2f\xfd\xa0"  # magic number; a single segment whose size follows in 4 bytes, no checksum


class Coding(Protocol):
    """One way to pack the bytes of a response."""

    @property
    def name(self) -> str:
        """What Content-Encoding says."""
        ...

    @property
    def opening(self) -> bytes:
        """What a body starts with."""
        ...

    def pack(self, body: bytes) -> bytes:
        """The bytes as a compressed block."""
        ...

    def store(self, body: bytes) -> bytes:
        """The bytes as a block that takes next to no time."""
        ...


class Identity:
    """Bytes as they are."""

    name = "identity"
    opening = b""

    def pack(self, body: bytes) -> bytes:
        """The bytes themselves."""
        return body

    store = pack


class Gzip:
    """Deflate blocks behind a gzip header. The body is never closed by a checksum: its readers have different ones."""

    name = "gzip"
    opening = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no flags, no time, unknown system

    def pack(self, body: bytes) -> bytes:
        """A deflate stream of its own, up to a sync flush."""
        stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
        return stream.compress(body) + stream.flush(zlib.Z_SYNC_FLUSH)

    def store(self, body: bytes) -> bytes:
        """Stored deflate blocks, none of them the last."""
        return b"".join(
            b"\x00" + len(part).to_bytes(2, "little") + (len(part) ^ 0xFFFF).to_bytes(2, "little") + part
            for part in _parts(body, _DEFLATE_BLOCK)
        )


class Zstd:
    """A zstd frame for each block."""

    name = "zstd"
    opening = b""

    def __init__(self) -> None:
        self._compressor = zstd.ZstdCompressor(level=_LEVEL)

    def pack(self, body: bytes) -> bytes:
        """A whole frame."""
        return self._compressor.compress(body, zstd.ZstdCompressor.FLUSH_FRAME)

    def store(self, body: bytes) -> bytes:
        """A whole frame of raw blocks."""
        parts = _parts(body, _ZSTD_BLOCK)
        blocks = [
            (len(part) << 3 | (place == len(parts) - 1)).to_bytes(3, "little") for place, part in enumerate(parts)
        ]
        return _ZSTD_HEAD + len(body).to_bytes(4, "little") + b"".join(map(bytes.__add__, blocks, parts))


IDENTITY = Identity()
CODINGS: tuple[Coding, ...] = (Zstd(), Gzip())
"""The codings on offer, the best first. They keep no state between blocks, so all may share them on one thread."""


def chosen(accepted: str, offered: Iterable[Coding] = CODINGS) -> Coding:
    """The first coding on offer that an Accept-Encoding header (RFC 9110, section 12.5.3) names; else IDENTITY.

    Which of those it takes is ours to choose, so of the weights only zero is looked at. An asterisk is passed over: who
    sends it seldom means zstd.
    """
    taken = dict(_named(part) for part in accepted.lower().split(","))
    return next((coding for coding in offered if taken.get(coding.name)), IDENTITY)


def _named(part: str) -> tuple[str, bool]:
    name, _, weight = part.partition(";")
    digits = weight.replace(" ", "").removeprefix("q=")
    return name.strip(), not (digits and set(digits) <= {"0", "."})


def _parts(body: bytes, size: int) -> list[bytes]:
    return [body[begin : begin + size] for begin in range(0, len(body), size)]
