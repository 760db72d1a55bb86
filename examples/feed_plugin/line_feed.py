"""A feed that reads ticks from a TCP server, one JSON object per line."""

import asyncio
import contextlib

import msgspec

from tickwire.core.tick import Tick, blank_ticks, pack_ticks
from tickwire.errors import InputError
from tickwire.feeds.base import ConnectionState, FeedBatch, FeedConnection
from tickwire.feeds.feed_kind import FeedKind

RETRY_INTERVAL_S = 1.0


class LineFeed:
    name = "lines"
    mode = "live"

    def __init__(self, address, clock):
        host, _, port = address.rpartition(":")
        if not port.isdigit():
            raise InputError(f"invalid address {address!r}: write lines:HOST:PORT", field="feed")
        self._address = host, int(port)
        self._clock = clock
        self._decode = msgspec.json.Decoder(Tick).decode
        self.connection = FeedConnection(ConnectionState.CONNECTING)

    async def batches(self, after=None):
        # The server sends no past ticks, so the feed has no keys and ignores `after`.
        while True:
            try:
                reader, writer = await asyncio.open_connection(*self._address)
                self.connection = FeedConnection(ConnectionState.CONNECTED)
                with contextlib.closing(writer):
                    rest = b""
                    while data := await reader.read(65_536):
                        # All lines that have arrived together are one batch.
                        *lines, rest = (rest + data).split(b"\n")
                        if lines:
                            ticks = map(self._decode, lines)
                            yield FeedBatch(pack_ticks(ticks, now=self._clock.now()))
                reason = "the server closed the connection"
            except (OSError, msgspec.DecodeError) as error:
                reason = str(error)
            self.connection = FeedConnection(ConnectionState.DISCONNECTED, reason)
            # An empty batch reports that the connection has changed.
            yield FeedBatch(blank_ticks(0))
            await self._clock.sleep(RETRY_INTERVAL_S)


FEED_KIND = FeedKind(
    "lines", "live", lambda argument, options, clock, market: LineFeed(argument, clock), argument="HOST:PORT"
)
