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


async def use_client(url: str) -> None:
    async with tickwire.AsyncClient(url, token=lambda: "token") as client:
        async for quote in client.quotes("AAPL"):
            assert_type(quote, tickwire.Quote)
        async for candle in client.candles("AAPL", "5m"):
            assert_type(candle, tickwire.Candle)
        async for change in client.screen("last > 5"):
            assert_type(change.quote, tickwire.Quote | None)
        async with client.board() as board:
            assert_type(board["AAPL"], tickwire.Quote)
        history = await client.history("AAPL", "1d", limit=None)
        assert_type(history[0].close, float)
        event = await client.quotes().next_event()
        if isinstance(event.value, tickwire.Gap):
            assert_type(event.value.reason, str)


def use_blocking_client(url: str) -> None:
    with tickwire.Client(url) as client, client.board() as board:
        assert_type(client.quotes().next_item(), tickwire.Quote)
        assert_type(client.candles().next_item(timeout_s=1), tickwire.Candle)
        assert_type(board.get("AAPL"), tickwire.Quote | None)
