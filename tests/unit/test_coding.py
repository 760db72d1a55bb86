"""Shared compression: blocks that any reader can begin with, and when packing is worth its time."""

from __future__ import annotations

import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.hub.outlet import LEAST_BYTES, SHARED, Budget, Outlets
from tickwire.sse.coding import CODINGS, IDENTITY, Coding, Gzip, Zstd, chosen

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BODIES = st.lists(st.binary(max_size=400) | st.builds(bytes.__mul__, st.binary(max_size=9), st.integers(0, 30_000)))


def decoded(coding: Coding, body: bytes) -> bytes:
    """What a client makes of a body that is not at its end."""
    if coding.name == "gzip":
        return zlib.decompressobj(wbits=31).decompress(body)
    return zstd.decompress(body) if coding.name == "zstd" and body else body


@pytest.mark.parametrize("coding", [IDENTITY, *CODINGS], ids=lambda coding: coding.name)
@given(bodies=BODIES, packed=st.randoms(use_true_random=False))
def test_a_reader_can_begin_with_any_block(coding: Coding, bodies: list[bytes], packed) -> None:
    """However blocks were put, packed or stored, who joins before any of them decodes that one and all that follow."""
    bodies = [body for body in bodies if body]
    blocks = [coding.pack(body) if packed.random() < 0.5 else coding.store(body) for body in bodies]
    for joined in {0, len(bodies) // 2, len(bodies)}:
        assert decoded(coding, coding.opening + b"".join(blocks[joined:])) == b"".join(bodies[joined:])


@pytest.mark.parametrize("coding", [Gzip(), Zstd()], ids=lambda coding: coding.name)
def test_a_stored_block_is_hardly_longer(coding: Coding) -> None:
    """Storing costs some bytes each 64 KB; packing text makes it a good deal shorter."""
    body = b'id: m3x9f-5121\ndata: {"symbol":"AAPL","last":187.25}\n\n' * 3_000
    assert len(coding.store(body)) <= len(body) + 32
    assert len(coding.pack(body)) < len(body) / 20


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
def test_the_best_coding_that_a_client_names_is_chosen(header: str, name: str) -> None:
    """zstd before gzip before none, and never one of weight zero."""
    assert chosen(header).name == name


class HandTimer:
    """Seconds in the test's hand; each look at it may take time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.step = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def test_blocks_for_few_are_packed_only_while_there_is_time() -> None:
    """A lone reader's block is packed within a fifth of the time; many readers' blocks always; short ones never."""
    timer = HandTimer()
    outlet = Outlets(Budget(timer)).of(Gzip(), framed=False)
    body = b"a long row of the same " * 100
    timer.now = 1.0
    assert outlet.put(body) != Gzip().store(body)
    assert outlet.put(body[: LEAST_BYTES - 1], readers=100) == Gzip().store(body[: LEAST_BYTES - 1])
    timer.step = 0.3  # packing takes longer than there is time for
    outlet.put(body)
    timer.step = 0.0
    assert outlet.put(body) == Gzip().store(body)
    assert outlet.put(body, readers=SHARED) != Gzip().store(body)
    timer.now += 2.0
    assert outlet.put(body) != Gzip().store(body)
    assert outlet.saved > len(body)
