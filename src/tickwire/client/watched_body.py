"""The body of a stream's response. A read fails if no byte arrives in time, for example on a half-open connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2

from tickwire.clock import Clock


class WatchedBody(httpx2.AsyncByteStream):
    """The bytes of `source`. A read raises ReadTimeout if no byte arrives for `timeout_s` seconds.

    A caller may change `timeout_s` between two reads. `last_byte_at_s` is the monotonic time of the newest bytes.
    """

    def __init__(self, source: httpx2.AsyncByteStream, timeout_s: float, clock: Clock) -> None:
        self.timeout_s = timeout_s
        self.last_byte_at_s = clock.monotonic()
        self._source = source
        self._clock = clock

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = aiter(self._source)
        while True:
            try:
                async with asyncio.timeout(self.timeout_s):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise httpx2.ReadTimeout(f"the server sent no byte for {self.timeout_s:g} s") from None
            self.last_byte_at_s = self._clock.monotonic()
            yield chunk

    async def aclose(self) -> None:
        await self._source.aclose()
