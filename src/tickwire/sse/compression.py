"""HTTP content codings with shared blocks. The server compresses a block once, and sends the block to many readers.

A compressed block must not refer to earlier bytes of a body, because these bytes differ from reader to reader. A gzip
body (RFC 1952) is a header and one deflate stream (RFC 1951). A deflate stream can be assembled from parts that end at
a byte boundary. So each block is compressed on its own, and ends with a sync point instead of a final deflate block. A
zstd body (RFC 8878) is a sequence of independent frames, and each block is one frame.

Both codings also allow uncompressed blocks. So the server can still send an uncompressed block after the response
headers have announced the coding.
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

# The compression level. Higher levels take twice the time, and reduce the size by only a tenth.
_COMPRESSION_LEVEL = 1
# The largest size of a stored deflate block (RFC 1951, section 3.2.4).
_MAX_DEFLATE_BLOCK_BYTES = 0xFFFF
# An empty stored deflate block: zlib's sync point. Go's decoder (compress/flate) returns decoded bytes only when it
# reads a sync point, or after 32 KB.
DEFLATE_SYNC_POINT = b"\x00\x00\x00\xff\xff"
# Negative window bits select raw deflate. A smaller window would make the set-up faster. But it would make the search
# for repeated bytes slower, and this loss would exceed the gain.
_WINDOW_BITS, _MEMORY_LEVEL = -15, 8
# The largest size of a zstd block (RFC 8878, section 3.1.1.2).
_MAX_ZSTD_BLOCK_BYTES = 1 << 17
# The zstd magic number and the frame header descriptor. The descriptor declares a single segment, a content size in the
# next 4 bytes, and no checksum.
_ZSTD_FRAME_HEADER = b"\x28\xb5\x2f\xfd\xa0"


class ContentCoding(Protocol):
    """An HTTP content coding that encodes the body of a response block by block."""

    @property
    def name(self) -> str:
        """The value of the Content-Encoding header."""
        ...

    @property
    def body_header(self) -> bytes:
        """The bytes at the start of each response body, before the first block."""
        ...

    def compress(self, body: bytes) -> bytes:
        """Return the data as a compressed block."""
        ...

    def store_uncompressed(self, body: bytes) -> bytes:
        """Return the data as an uncompressed block. Without compression, this call takes almost no time."""
        ...


class IdentityCoding:
    """The content coding that leaves the body unchanged."""

    name = "identity"
    body_header = b""

    def compress(self, body: bytes) -> bytes:
        return body

    store_uncompressed = compress


class GzipCoding:
    """The gzip coding. A body is a gzip header and deflate blocks.

    The body ends without the gzip checksum, because the checksum would differ between readers.
    """

    name = "gzip"
    # The gzip header declares the deflate method, no flags, no modification time and an unknown operating system.
    body_header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

    def compress(self, body: bytes) -> bytes:
        """Return deflate data that does not refer to earlier blocks.

        The data ends with a sync point, so another block can follow, and every decoder delivers the data at once.
        """
        stream = zlib.compressobj(_COMPRESSION_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
        return stream.compress(body) + stream.flush(zlib.Z_SYNC_FLUSH)

    def store_uncompressed(self, body: bytes) -> bytes:
        """Return the data as stored (uncompressed) deflate blocks and a sync point. No block has the final flag."""
        blocks = [
            b"\x00" + len(part).to_bytes(2, "little") + (len(part) ^ 0xFFFF).to_bytes(2, "little") + part
            for part in _split_bytes(body, _MAX_DEFLATE_BLOCK_BYTES)
        ]
        return b"".join([*blocks, DEFLATE_SYNC_POINT])


class ZstdCoding:
    """The zstd coding. Each block is one zstd frame."""

    name = "zstd"
    body_header = b""

    def __init__(self) -> None:
        self._compressor = zstd.ZstdCompressor(level=_COMPRESSION_LEVEL)

    def compress(self, body: bytes) -> bytes:
        return self._compressor.compress(body, zstd.ZstdCompressor.FLUSH_FRAME)

    def store_uncompressed(self, body: bytes) -> bytes:
        """Return the data as a zstd frame of raw (uncompressed) blocks."""
        parts = _split_bytes(body, _MAX_ZSTD_BLOCK_BYTES)
        blocks = [
            (len(part) << 3 | (place == len(parts) - 1)).to_bytes(3, "little") for place, part in enumerate(parts)
        ]
        return _ZSTD_FRAME_HEADER + len(body).to_bytes(4, "little") + b"".join(map(bytes.__add__, blocks, parts))


IDENTITY = IdentityCoding()
CODINGS: tuple[ContentCoding, ...] = (ZstdCoding(), GzipCoding())
"""The supported codings, in order of preference.

The codings keep no state between blocks, so all callers on one thread share them.
"""


def negotiate_coding(accept_encoding: str, offered: Iterable[ContentCoding] = CODINGS) -> ContentCoding:
    """Return the first coding in `offered` that the Accept-Encoding header of a client accepts.

    If the header accepts none of the offered codings, return IDENTITY. RFC 9110, section 12.5.3, defines the header. A
    coding with a weight of zero is not accepted. The function ignores all other weights, because the server may choose
    any accepted coding. The function also ignores an asterisk, because clients that send an asterisk seldom support
    zstd.
    """
    accepted = dict(_parse_coding(part) for part in accept_encoding.lower().split(","))
    return next((coding for coding in offered if accepted.get(coding.name)), IDENTITY)


def _parse_coding(part: str) -> tuple[str, bool]:
    name, _, weight = part.partition(";")
    digits = weight.replace(" ", "").removeprefix("q=")
    return name.strip(), not (digits and set(digits) <= {"0", "."})


def _split_bytes(body: bytes, size: int) -> list[bytes]:
    return [body[begin : begin + size] for begin in range(0, len(body), size)]
