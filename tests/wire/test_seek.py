"""SEEK in a recording of several sessions: quotes and candles have the values of the target time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tickwire.testing.feed_server import FeedServer, run_feed_server
from tickwire.testing.wire import open_stream

START_S = 1_767_366_000
DAY_S = 86_400
SESSIONS = 4
ROWS_PER_SESSION = 40


def write_sessions(folder: Path, generator: random.Random) -> Path:
    """Write a recording of four sessions. The symbol LATE trades only in the last session."""
    path = folder / "sessions.csv"
    lines = ["ts_ns,symbol,price,size,bid,ask"]
    for row in range(SESSIONS * ROWS_PER_SESSION):
        session, at = divmod(row, ROWS_PER_SESSION)
        symbol = "LATE" if session == SESSIONS - 1 and at % 5 == 0 else generator.choice(("A", "B"))
        price = round(generator.uniform(90, 110), 2)
        ts = (START_S + session * DAY_S + at * 7) * 10**9
        lines.append(f"{ts},{symbol},{price},{generator.randrange(1, 500)},{price - 0.01:.2f},{price + 0.01:.2f}")
    path.write_text("\n".join(lines) + "\n")
    return path


def time_of_row(row: int) -> str:
    session, at = divmod(row, ROWS_PER_SESSION)
    return datetime.fromtimestamp(START_S + session * DAY_S + at * 7, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def seek(feed: FeedServer, row: int) -> None:
    """Seek to the time of a row of the recording, and wait until the server has applied this row."""
    journal = feed.server.runtime.journal
    before = journal.head
    answer = await feed.send_command(f"SEEK={time_of_row(row)}")
    assert answer["time"] == (START_S + row // ROWS_PER_SESSION * DAY_S + row % ROWS_PER_SESSION * 7) * 10**6
    board = feed.server.runtime.hub.board
    target = answer["time"] * 1000
    await feed.wait_for(lambda _: journal.head > before and board.newest_ts == target)
    await feed.server.runtime.hub.wait_until_applied(journal.head)


async def market(feed: FeedServer) -> dict[str, Any]:
    """Return the quotes and candles of all symbols that have a price."""
    quotes = {each["symbol"]: each for each in (await feed.client.get("/v1/quotes")).json() if each["last"] is not None}
    candles = {
        (symbol, interval): (await feed.client.get(f"/v1/candles/{symbol}", params={"interval": interval})).json()
        for symbol in ("A", "B", "LATE")
        if symbol in quotes
        for interval in ("5s", "1m", "1d")
    }
    return {"quotes": quotes, "candles": candles}


async def markets_at(recording: Path, rows: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return the market at the time of each row, from a server that only seeks forwards."""
    markets = {}
    async with run_feed_server(feed=f"replay:{recording}", journal="memory", speed=1) as feed:
        await feed.send_command("PAUSE")
        for row in sorted(rows):
            await seek(feed, row)
            markets[row] = await market(feed)
    return markets


async def test_a_seek_to_the_second_session_has_the_values_of_that_session(tmp_path: Path) -> None:
    """The previous close is the close of the first session, and a symbol that has not traded yet has no price."""
    path = tmp_path / "sessions.csv"
    rows = [(0, "A", 100), (DAY_S, "A", 110), (DAY_S + 60, "A", 121), (2 * DAY_S, "A", 400), (2 * DAY_S, "B", 7)]
    path.write_text("ts_ns,symbol,price\n" + "".join(f"{(START_S + at) * 10**9},{s},{p}\n" for at, s, p in rows))
    async with run_feed_server(feed=f"replay:{path}", journal="memory", speed=0) as feed:
        await feed.wait_for_state("halted")
        async with open_stream(feed.server.url, {"symbols": "A,B", "delivery": "all", "events": "quote"}) as stream:
            await stream.next_events(2)
            await feed.send_command("SEEK=2026-01-03T15:00:30Z")
            events = [event.data for event in await stream.next_events(4)]
        resets, repeated = events[:2], events[2:]
        assert [(each["symbol"], each["last"], each["bid"], each["prev_close"]) for each in resets] == [
            ("A", None, None, None),
            ("B", None, None, None),
        ]
        assert [(each["last"], each["prev_close"], each["change_rate"]) for each in repeated] == [
            (100, None, None),
            (110, 100, 10),
        ]
        assert (await feed.quote("A"))["ts"] == (START_S + DAY_S) * 10**6
        assert (await feed.quote("B"))["last"] is None
        candles = (await feed.client.get("/v1/candles/A", params={"interval": "1d"})).json()
        assert [(each["open"], each["close"]) for each in candles] == [(100, 100), (110, 110)]


async def test_seeks_in_any_order_give_the_market_of_that_time(tmp_path: Path) -> None:
    """After random seeks and after a restart, the market is the same as on a server that only plays forwards."""
    seed = random.randrange(2**32)
    # If the test fails, pytest shows the seed.
    print(f"seed {seed}")
    generator = random.Random(seed)
    recording = write_sessions(tmp_path, generator)
    rows = generator.sample(range(2, SESSIONS * ROWS_PER_SESSION), 8)
    expected = await markets_at(recording, rows)
    for part in (rows[:4], rows[4:]):
        async with run_feed_server(
            feed=f"replay:{recording}", speed=1, journal=f"sqlite:{tmp_path / 'journal'}"
        ) as feed:
            await feed.send_command("PAUSE")
            for row in part:
                await seek(feed, row)
                assert await market(feed) == expected[row], f"row {row}"


async def test_a_seek_does_not_reset_published_symbols(tmp_path: Path) -> None:
    recording = write_sessions(tmp_path, random.Random(1))
    async with run_feed_server(feed=f"replay:{recording}", journal="memory", speed=0) as feed:
        await feed.wait_for_state("halted")
        await feed.client.post("/v1/quotes", json=[{"symbol": "MINE", "last": 5, "size": 1}])
        await feed.send_command(f"SEEK={time_of_row(50)}")
        await feed.wait_for(lambda state: state["state"] == "paused")
        assert (await feed.quote("MINE"))["last"] == 5
