"""Encoders compress and frame bytes. Readers with the same content coding and framing share the encoded bytes."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

from tickwire.sse.compression import IDENTITY, ContentCoding
from tickwire.sse.frame import encode_chunk

# The minimum size, in bytes, of a block that is worth compressing. A heartbeat or one short quote is smaller.
MIN_COMPRESSED_BYTES = 160

# The minimum number of readers for which the compression of a block takes less time per reader than a write.
MIN_SHARING_READERS = 4

# The maximum fraction of the event loop's time for compression. Above it, blocks for fewer than MIN_SHARING_READERS
# readers are sent uncompressed.
MAX_COMPRESSION_TIME_SHARE = 0.2

# The maximum unused compression time, in seconds. Time that a quiet period leaves unused is available to the next
# burst.
_MAX_CREDIT_S = 0.1


class CompressionBudget:
    """The time budget of compression: a fifth of the elapsed time. Unused time accumulates up to a limit.

    A block of bytes that at least MIN_SHARING_READERS readers receive is always compressed, even if the budget is
    exhausted. A block that fewer readers receive is compressed only if the budget is not exhausted. The time of every
    compression is charged to the budget.
    """

    def __init__(self, timer: Callable[[], float] = perf_counter) -> None:
        self._timer = timer
        self._credit_s = _MAX_CREDIT_S
        self._refilled_at = timer()

    def has_credit(self) -> bool:
        """Refill the budget. Return True if the budget allows the compression of a block now."""
        now = self._timer()
        self._credit_s = min(_MAX_CREDIT_S, self._credit_s + (now - self._refilled_at) * MAX_COMPRESSION_TIME_SHARE)
        self._refilled_at = now
        return self._credit_s > 0

    def compress(self, coding: ContentCoding, body: bytes) -> bytes:
        """Compress `body`, and charge the compression time to the budget."""
        started_at = self._timer()
        compressed = coding.compress(body)
        self._credit_s -= self._timer() - started_at
        return compressed


class EncodedBlock(NamedTuple):
    """The encoded form of some bytes, and the number of bytes that compression saved."""

    encoded: bytes
    bytes_saved: int


class Encoder:
    """One combination of content coding and framing. All readers with this combination share the encoder.

    A channel therefore encodes its frames once for each encoder of its readers. `bytes_sent` counts the bytes on the
    wire, and `bytes_saved` counts the bytes that compression saved. Both counters are sums over all readers.
    """

    __slots__ = ("_budget", "bytes_saved", "bytes_sent", "coding", "is_chunked")

    def __init__(self, coding: ContentCoding, *, is_chunked: bool, budget: CompressionBudget) -> None:
        self.coding = coding
        self.is_chunked = is_chunked
        self.bytes_saved = 0
        self.bytes_sent = 0
        self._budget = budget

    def encode_opening(self, body: bytes) -> bytes:
        """Encode the first bytes of a response."""
        return self._add_chunk_framing(self.coding.body_header + self._compress(body, 1))

    def encode(self, body: bytes, reader_count: int = 1) -> bytes:
        """Encode the next bytes of the responses to `reader_count` readers."""
        if self.coding is not IDENTITY:
            return self._add_chunk_framing(self._compress(body, reader_count), reader_count)
        # This code runs about 50,000 times a second. To save two calls, it contains the code of `_add_chunk_framing`
        # and `encode_chunk`.
        if self.is_chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body)
        self.bytes_sent += len(body) * reader_count
        return body

    def encode_shared(self, body: bytes, cache: dict[Encoder, EncodedBlock]) -> bytes:
        """Encode the next bytes of one response. `cache` stores the result for other responses with the same bytes."""
        block = cache.get(self)
        if block is None:
            saved_before = self.bytes_saved
            encoded = self.encode(body)
            cache[self] = EncodedBlock(encoded, self.bytes_saved - saved_before)
            return encoded
        self.bytes_sent += len(block.encoded)
        self.bytes_saved += block.bytes_saved
        return block.encoded

    def _compress(self, body: bytes, reader_count: int) -> bytes:
        if self.coding is IDENTITY:
            return body
        if len(body) < MIN_COMPRESSED_BYTES or not (reader_count >= MIN_SHARING_READERS or self._budget.has_credit()):
            return self.coding.store_uncompressed(body)
        compressed = self._budget.compress(self.coding, body)
        self.bytes_saved += (len(body) - len(compressed)) * reader_count
        return compressed

    def _add_chunk_framing(self, body: bytes, reader_count: int = 1) -> bytes:
        if self.is_chunked:
            body = encode_chunk(body)
        self.bytes_sent += len(body) * reader_count
        return body


class EncoderRegistry:
    """The encoders in use: one for each combination of coding and framing."""

    def __init__(self, budget: CompressionBudget | None = None) -> None:
        self._budget = budget or CompressionBudget()
        self._encoders: dict[tuple[str, bool], Encoder] = {}

    def encoder_for(self, coding: ContentCoding, *, is_chunked: bool) -> Encoder:
        """Return the encoder of this coding and framing."""
        key = (coding.name, is_chunked)
        if key not in self._encoders:
            self._encoders[key] = Encoder(coding, is_chunked=is_chunked, budget=self._budget)
        return self._encoders[key]

    @property
    def bytes_saved(self) -> int:
        """The bytes that compression saved, over all readers."""
        return sum(encoder.bytes_saved for encoder in self._encoders.values())

    @property
    def bytes_sent(self) -> int:
        """The bytes on the wire, over all readers."""
        return sum(encoder.bytes_sent for encoder in self._encoders.values())
