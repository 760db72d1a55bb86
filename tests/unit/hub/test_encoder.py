"""The encoder: which blocks are compressed."""

from __future__ import annotations

from tickwire.hub.fanout.encoder import MIN_COMPRESSED_BYTES, MIN_SHARING_READERS, CompressionBudget, EncoderRegistry
from tickwire.sse.compression import GzipCoding


class ManualTimer:
    """A timer that the test sets. Each call advances the timer by `step` seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.step = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def test_compression_budget_limits_blocks_of_few_readers() -> None:
    """A block for many readers is always compressed. A short block is never compressed."""
    timer = ManualTimer()
    encoder = EncoderRegistry(CompressionBudget(timer)).encoder_for(GzipCoding(), is_chunked=False)
    body = b"a text that repeats " * 100
    timer.now = 1.0
    assert encoder.encode(body) != GzipCoding().store_uncompressed(body)
    assert encoder.encode(body[: MIN_COMPRESSED_BYTES - 1], reader_count=100) == GzipCoding().store_uncompressed(
        body[: MIN_COMPRESSED_BYTES - 1]
    )
    # A compression now takes more time than the budget allows.
    timer.step = 0.3
    encoder.encode(body)
    timer.step = 0.0
    assert encoder.encode(body) == GzipCoding().store_uncompressed(body)
    assert encoder.encode(body, reader_count=MIN_SHARING_READERS) != GzipCoding().store_uncompressed(body)
    timer.now += 2.0
    assert encoder.encode(body) != GzipCoding().store_uncompressed(body)
    assert encoder.bytes_saved > len(body)
