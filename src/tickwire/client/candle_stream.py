"""A stream of candles."""

from __future__ import annotations

from typing import Self

from tickwire.client.stream import Stream
from tickwire.core.candle import Candle


class CandleStream:
    """The candles of a server. Open the object with `async with`, and read it with `async for`.

    The server sends each open candle again when it has changed. If `closed_only` is true, the iteration yields only
    closed candles. `stream` is the stream that receives the candles.
    """

    def __init__(self, stream: Stream, *, closed_only: bool = False) -> None:
        self.stream = stream
        self._closed_only = closed_only

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self.stream.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Candle:
        while True:
            value = (await self.stream.next_event()).value
            if isinstance(value, Candle) and (value.closed or not self._closed_only):
                return value
