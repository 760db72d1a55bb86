"""A sink (the output of a reader) that stores the written events. A test decides when the sink is full."""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Callable
from typing import Any

from tickwire.core.codec import decode_json
from tickwire.hub.fanout.sink import SinkListener
from tickwire.sse.compression import IDENTITY, ContentCoding

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_EVENT_PATTERN = re.compile(rb"(?:id: [a-z0-9]+-(\d+)\n)?(?:event: (\w+)\n)?data: (.*)\n\n")


class ManualSink:
    """A sink that stores the written bytes.

    A call of `mark_full` makes the sink full. A call of `drain(n)` makes the sink accept bytes again, but after n
    further writes, the sink is full again.
    """

    is_chunked = False

    def __init__(self) -> None:
        self.is_full = False
        self.writes_left: int | None = None
        self.listener: SinkListener | None = None
        self.written_bytes = b""
        # A function that sends the bytes that the sender has queued for this sink. `write` calls it first, so that the
        # bytes stay in order.
        self.before_write: Callable[[], None] | None = None
        self._decoder = _ContentDecoder()

    def write(self, body: bytes) -> None:
        if self.before_write is not None:
            self.before_write()
        self.written_bytes += body
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left <= 0 and not self.is_full:
                self.mark_full()

    def mark_full(self) -> None:
        """Make the sink full until the test calls `drain`."""
        self.is_full = True
        if self.listener is not None:
            self.listener.on_full()

    def drain(self, writes: int | None = None) -> None:
        """Accept bytes again. The sink is full after `writes` further writes, or never if `writes` is None."""
        self.writes_left = writes
        if self.is_full:
            self.is_full = False
            if self.listener is not None:
                self.listener.on_drained()

    def clear(self) -> None:
        """Discard the bytes written so far."""
        self.written_bytes = b""

    def events(self, coding: ContentCoding = IDENTITY) -> list[tuple[int | None, str, dict[str, Any]]]:
        """Return the events that were written since the last `clear`.

        Each event is a tuple of its sequence number, its name and its data. The number of an event without id is None.
        Raise ValueError if the written bytes end with an incomplete event.
        """
        text = self._decoder.decode(self.written_bytes, coding)
        if b"".join(match.group() for match in _EVENT_PATTERN.finditer(text)) != text:
            raise ValueError(f"the written bytes end with an incomplete event: {text!r}")
        return [
            (int(number) if number else None, (name or b"quote").decode(), decode_json(data, dict[str, Any]))
            for number, name, data in _EVENT_PATTERN.findall(text)
        ]


class _ContentDecoder:
    """Decodes the compressed bytes of a stream.

    One decompressor decodes all gzip blocks, because the blocks belong to one gzip stream.
    """

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=-15)

    def decode(self, data: bytes, coding: ContentCoding) -> bytes:
        if coding.name == "gzip":
            # The bytes are raw deflate data, because the sink does not receive the gzip header.
            return self._inflate.decompress(data)
        return zstd.decompress(data) if coding.name == "zstd" and data else data
