"""Content codings whose blocks readers share."""

from __future__ import annotations

import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.sse.compression import (
    CODINGS,
    DEFLATE_SYNC_POINT,
    IDENTITY,
    ContentCoding,
    GzipCoding,
    ZstdCoding,
    negotiate_coding,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BODIES = st.lists(st.binary(max_size=400) | st.builds(bytes.__mul__, st.binary(max_size=9), st.integers(0, 30_000)))


def decode_partial(coding: ContentCoding, body: bytes) -> bytes:
    """Decode a body that has not ended."""
    if coding.name == "gzip":
        return zlib.decompressobj(wbits=31).decompress(body)
    return zstd.decompress(body) if coding.name == "zstd" and body else body


@pytest.mark.parametrize("coding", [IDENTITY, *CODINGS], ids=lambda coding: coding.name)
@given(bodies=BODIES, random=st.randoms(use_true_random=False))
def test_body_can_begin_with_any_block(coding: ContentCoding, bodies: list[bytes], random) -> None:
    """A reader that joins before any block can decode this block and all later blocks, compressed or stored."""
    bodies = [body for body in bodies if body]
    blocks = [coding.compress(body) if random.random() < 0.5 else coding.store_uncompressed(body) for body in bodies]
    for first in {0, len(bodies) // 2, len(bodies)}:
        assert decode_partial(coding, coding.body_header + b"".join(blocks[first:])) == b"".join(bodies[first:])


@given(body=st.binary(min_size=1, max_size=400) | st.integers(1, 200_000).map(bytes))
def test_every_gzip_block_ends_at_a_sync_point(body: bytes) -> None:
    """Some decoders return data only after an empty stored block."""
    assert GzipCoding().store_uncompressed(body).endswith(DEFLATE_SYNC_POINT)
    # The last compressed block may occupy some bits of the first byte of the sync point.
    assert GzipCoding().compress(body).endswith(DEFLATE_SYNC_POINT[1:])


@pytest.mark.parametrize("coding", [GzipCoding(), ZstdCoding()], ids=lambda coding: coding.name)
def test_stored_block_is_hardly_longer_than_its_data(coding: ContentCoding) -> None:
    """Storing adds a few bytes for each 64 KB; compression shrinks text considerably."""
    body = b'id: m3x9f-5121\ndata: {"symbol":"AAPL","last":187.25}\n\n' * 3_000
    assert len(coding.store_uncompressed(body)) <= len(body) + 32
    assert len(coding.compress(body)) < len(body) / 20


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("", "identity"),
        ("identity", "identity"),
        ("gzip", "gzip"),
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("GZIP;q=0.5", "gzip"),
        ("zstd;q=0, gzip;q=0.1", "gzip"),
        ("gzip; q=0.000", "identity"),
        ("*", "identity"),
        ("deflate, br", "identity"),
        (";,;q=,gzip;q=x", "gzip"),
    ],
)
def test_best_accepted_coding_is_negotiated(header: str, name: str) -> None:
    """zstd comes before gzip; a coding with weight zero is never chosen."""
    assert negotiate_coding(header).name == name
