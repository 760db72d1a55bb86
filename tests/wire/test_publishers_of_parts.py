"""Two publishers publish different symbols: one publishes ticks of the past, the other publishes present ticks."""

from __future__ import annotations

import httpx2

from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token

YEAR_US = 365 * 86_400 * 10**6


async def test_a_publisher_of_now_does_not_close_the_candles_of_a_publisher_of_the_past(tmp_path) -> None:
    """A restarted server reads the sources of ticks from the journal, and has the same candles."""
    clock = ManualClock()
    now_us = clock.now() // 1000
    past_us = (now_us - YEAR_US) // 60_000_000 * 60_000_000
    times = {"iat": now_us / 1e6, "exp": now_us / 1e6 + 1e5}
    ann, bob = (
        bearer_header(sign_token("publish", sub=name, symbols=[symbols], **times))
        for name, symbols in (("ann", "A*"), ("bob", "B*"))
    )
    options = {"auth": "secret", "auth_secret": TEST_SECRET, "clock": clock, "journal": f"sqlite:{tmp_path / 'j'}"}

    async def publish(headers, symbol: str, ts: int, last: float) -> None:
        tick = {"symbol": symbol, "ts": ts, "last": last, "size": 1}
        assert (await http.post("/v1/quotes", json=[tick], headers=headers)).status_code == 201

    async def read_candles() -> list[dict[str, object]]:
        return (await http.get("/v1/candles/A", headers=ann)).json()

    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as http:
        await publish(ann, "A", past_us, 1.0)
        await publish(bob, "B", now_us, 5.0)
        await publish(ann, "A", past_us + 30_000_000, 3.0)
        (candle,) = await read_candles()
        assert (candle["close"], candle["volume"], candle["closed"]) == (3.0, 2, False)
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as http:
        assert await read_candles() == [candle]
        await publish(bob, "B", now_us + 1, 5.0)
        await publish(ann, "A", past_us + 59_000_000, 2.0)
        await publish(ann, "A", past_us + 70_000_000, 4.0)
        first, second = await read_candles()
        assert (first["close"], first["volume"], first["closed"]) == (2.0, 3, True)
        assert (second["close"], second["closed"]) == (4.0, False)
