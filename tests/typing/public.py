"""The public names as a typed program uses them: checked by mypy, not run."""

from __future__ import annotations

from typing import assert_type

import tickwire


async def read(url: str) -> float | None:
    async with tickwire.connect(url, symbols=["AAPL"], delivery="all") as stream:
        assert_type(stream, tickwire.Stream)
        async for quote in stream:
            assert_type(quote, tickwire.Quote)
            return quote.last
        event = await stream.next_event()
        assert_type(event.name, str)
    return None


async def publish(url: str) -> str:
    async with tickwire.Publisher(url) as publisher:
        published = await publisher.publish([tickwire.Tick(symbol="A", last=1.0), {"symbol": "B", "last": 2}])
        return published.last_id


def embed() -> tickwire.App:
    return tickwire.create_app(feed="http", journal="memory")
