"""The symbol patterns of a request hold the event loop only for a few milliseconds at a time."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from tickwire.core.arrays import Bools
from tickwire.core.event import ticks_entry
from tickwire.core.text_column import TextColumn, TextPattern
from tickwire.core.tick import Tick, pack_ticks
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.wire import open_stream

SYMBOLS = [f"{number:05d}USDT-PERP" for number in range(20_000)]
# 16 patterns that every symbol matches, and that each need the whole text of each symbol.
PATTERNS = ["*5*" + "?*" * count + "P" for count in range(1, 9)] + ["*U*S" + "*?" * count for count in range(1, 9)]
ALLOWED = ["*0*" + "?*" * count for count in range(1, 9)] + ["*T*" + "?*" * count for count in range(1, 9)]
MAX_ROWS_PER_TURN = 3 * 8_192


async def test_no_request_searches_all_symbols_for_all_patterns_in_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search of 100,000 symbols for 32 patterns takes a second."""
    rows_by_turn, turn = [0], asyncio.Event()
    evaluate = TextColumn.evaluate

    def count_rows(column: TextColumn, pattern: TextPattern, first: int = 0, end: int | None = None) -> Bools:
        rows_by_turn[-1] += (len(column) if end is None else end) - first
        return evaluate(column, pattern, first, end)

    async def count_turns() -> None:
        while not turn.is_set():
            rows_by_turn.append(0)
            await asyncio.sleep(0)

    reader = bearer_header(sign_token("publish", symbols=ALLOWED))
    async with (
        run_server(auth="secret", auth_secret=TEST_SECRET, max_board_per_publisher=50_000) as server,
        httpx2.AsyncClient(base_url=server.url, headers=reader, timeout=30) as client,
    ):
        for begin in range(0, len(SYMBOLS), 10_000):
            ticks = [Tick(symbol=symbol, ts=10**15, last=1.0) for symbol in SYMBOLS[begin : begin + 10_000]]
            await server.runtime.publish(ticks_entry(pack_ticks(ticks, now=0)))
        monkeypatch.setattr(TextColumn, "evaluate", count_rows)
        counting = asyncio.create_task(count_turns())
        quotes = await client.get("/v1/quotes", params={"symbols": ",".join(PATTERNS)})
        check = await client.post("/v1/screens/check", json={"filter": "last > 0"})
        published = await client.post("/v1/quotes", json=[{"symbol": "05USDT-PERP", "last": 1}])
        assert (quotes.status_code, check.status_code, published.status_code) == (200, 200, 201)
        # The first characters differ from request to request, so that each request has new patterns.
        for start in ("?*", "*?", "??"):
            query = {"symbols": ",".join(f"{start}{pattern[1:]}" for pattern in PATTERNS), "client_id": "c"}
            async with open_stream(server.url, query, headers=reader) as stream:
                await stream.next_event()
                changed = [f"?{start}{pattern[2:]}" for pattern in PATTERNS]
                answer = await client.patch("/v1/clients/c", json={"symbols": changed})
                assert answer.status_code == 200
        turn.set()
        await counting
    assert sum(rows_by_turn) > 16 * len(SYMBOLS)
    assert max(rows_by_turn) <= MAX_ROWS_PER_TURN
