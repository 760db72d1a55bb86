"""Symbols of options, perpetual futures and indices, from the publisher to the reader and over a restart."""

from __future__ import annotations

from urllib.parse import quote

import httpx2

from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

SYMBOLS = [
    "SPY240119C00470000", "O:SPY240119C00470000", "BTC-29MAR24-60000-C", "BTC/USDT:USDT-240329", "BTCUSDT-PERP.BINANCE",
    "600519.SH", "00700.HK", "NIFTY 50", "x" * 32,
]  # fmt: skip


async def test_long_symbols_reach_readers_and_survive_a_restart(tmp_path) -> None:
    journal = f"sqlite:{tmp_path}/j"
    ticks = [{"symbol": symbol, "last": float(price), "size": 1} for price, symbol in enumerate(SYMBOLS, 1)]
    async with run_server(journal=journal) as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.post("/v1/quotes", json=ticks)).status_code == 201
    async with run_server(journal=journal) as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert {each["symbol"]: each["last"] for each in (await client.get("/v1/quotes")).json()} == {
            tick["symbol"]: tick["last"] for tick in ticks
        }
        for tick in ticks:
            name = quote(tick["symbol"], safe="")
            assert (await client.get(f"/v1/quotes/{name}")).json()["last"] == tick["last"]
            candles = (await client.get(f"/v1/candles/{name}", params={"interval": "1d"})).json()
            assert candles[-1]["close"] == tick["last"]
        async with open_stream(server.url, {"symbols": "NIFTY 50,O:SPY*", "fields": "last"}) as stream:
            events = await stream.next_events(2, name="quote")
            assert {event.data["symbol"] for event in events} == {"NIFTY 50", "O:SPY240119C00470000"}
