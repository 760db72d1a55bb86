"""GET /v1/candles: open and closed candles, restarts, and kill -9."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import httpx2
import numpy as np
import pytest

from tickwire.candles.archive import CandleArchive
from tickwire.clock import SystemClock
from tickwire.core.candle import INTERVAL_SECONDS, candles_from_packed
from tickwire.core.codec import decode_json, encode_json
from tickwire.core.event import RecordKind, decode_named_event
from tickwire.core.tick import ticks_from_bytes
from tickwire.errors import InputError
from tickwire.journal.base import Retention
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.market.candle_aggregator import CandleAggregator, closed_candles
from tickwire.testing.clock import ManualClock
from tickwire.testing.journal_copy import copy_journal_folder
from tickwire.testing.marks import short_and_long
from tickwire.testing.server import RunningServer, ServerProcess, run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

NOON_US = 1_767_366_000 * 10**6  # Friday 2026-01-02, 15:00 UTC

# The start of a ManualClock, in microseconds.
T0 = 1_767_366_000_000_000


async def request_candles(url: str, symbol: str = "A", **query: object) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=url, verify=False) as client:
        return await client.get(f"/v1/candles/{symbol}", params=query)


async def publish(url: str, ticks: Sequence[tuple[str, float, float]]) -> None:
    """Publish trades of size 10, given as (symbol, seconds after T0, price)."""
    body = [
        {"symbol": symbol, "ts": T0 + round(second * 1e6), "last": price, "size": 10} for symbol, second, price in ticks
    ]
    async with httpx2.AsyncClient(base_url=url, verify=False) as client:
        assert (await client.post("/v1/quotes", json=body)).status_code == 201


async def test_candles_are_oldest_first_and_the_open_one_is_last() -> None:
    """`start`, `end` and `limit` select candles. A symbol without trades has no candles."""
    async with run_server(clock=ManualClock()) as server:
        await publish(server.url, [("A", second, 100 + second) for second in (0, 59.5, 60, 200)])
        candles = (await request_candles(server.url)).json()
        assert [(candle["start"], candle["closed"]) for candle in candles] == [
            (T0, True), (T0 + 60_000_000, True), (T0 + 180_000_000, False)
        ]  # fmt: skip
        assert candles[0] == {
            "symbol": "A", "interval": "1m", "start": T0, "open": 100.0, "high": 159.5, "low": 100.0, "close": 159.5,
            "volume": 20, "closed": True,
        }  # fmt: skip
        assert (await request_candles(server.url, limit=2)).json() == candles[1:]
        assert (await request_candles(server.url, start=T0, limit=2)).json() == candles[:2]
        middle = await request_candles(server.url, start="2026-01-02T15:00:01Z", end=T0 + 180_000_000)
        assert middle.json() == candles[1:2]
        assert [candle["close"] for candle in (await request_candles(server.url, interval="1d")).json()] == [300.0]
        await publish(server.url, [("A", 1, 5.0), ("A", 201, 5.0)])
        late = server.runtime.candle_recorder.stats().late_trades
        assert (late["1s"], late["1m"], late["1h"]) == (1, 1, 0)
        async with httpx2.AsyncClient(base_url=server.url, verify=False) as client:
            await client.post("/v1/quotes", json=[{"symbol": "FX", "bid": 1.1, "ask": 1.2}])
        assert (await request_candles(server.url, "FX")).json() == []


INVALID = [
    ({"interval": "2m"}, 400, "interval", "'2m' is not a candle interval: choose one of 1s, 5s, 15s, 1m, 5m, 15m, 1h"),
    ({"start": "yesterday"}, 400, "start", "'yesterday' is not a time"),
    ({"start": 5, "end": 5}, 400, "end", "end is not after start"),
    ({"limit": 0}, 400, "limit", "limit: Input should be greater than or equal to 1"),
    ({"limit": "many"}, 400, "limit", "limit: Input should be a valid integer"),
    ({}, 404, "symbol", "'A' has not traded on this server"),
]


@pytest.mark.parametrize(("query", "status", "field", "detail"), INVALID)
async def test_invalid_queries_are_answered_with_a_problem(query: dict, status: int, field: str, detail: str) -> None:
    async with run_server() as server:
        answer = await request_candles(server.url, **query)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["field"]) == (status, field)
    assert problem["detail"].startswith(detail)


async def test_openapi_document_describes_candles() -> None:
    """The document contains the parameters and the status codes."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url, verify=False) as client:
        document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/v1/candles/{symbol}"]["get"]
    assert [parameter["name"] for parameter in operation["parameters"]] == [
        "symbol",
        "interval",
        "start",
        "end",
        "limit",
    ]
    assert operation["responses"]["200"]["content"]["application/json"]["schema"]["type"] == "array"
    assert set(operation["responses"]) == {"200", "400", "404"}


async def closed_flags(server: RunningServer, interval: str) -> list[bool]:
    return [candle["closed"] for candle in (await request_candles(server.url, interval=interval)).json()]


async def test_clock_closes_candles_without_further_ticks() -> None:
    """An event in the journal closes a candle a few seconds after its end.

    The clock closes no candles of a market in the past.
    """
    clock = ManualClock()
    async with run_server(clock=clock) as server:
        await publish(server.url, [("A", 0, 1.0)])
        assert await closed_flags(server, "5s") == [False]
        head = server.runtime.journal.head
        while await closed_flags(server, "5s") == [False]:
            await clock.advance(1.0)
        assert 9 <= clock.monotonic() <= 11
        assert server.runtime.journal.head - head <= 4
        assert await closed_flags(server, "1m") == [False]
    async with run_server(clock=clock) as server:
        await publish(server.url, [("A", -5_000, 1.0)])
        await clock.advance(100.0)
        assert await closed_flags(server, "1s") == [False]


async def all_candles(url: str) -> dict[str, list]:
    candles = {}
    async with httpx2.AsyncClient(base_url=url, verify=False) as client:
        for symbol in "AB":
            for interval in INTERVAL_SECONDS:
                answer = await client.get(f"/v1/candles/{symbol}", params={"interval": interval, "limit": 5000})
                candles[f"{symbol} {interval}"] = answer.json()
    return candles


@pytest.mark.parametrize("lost", ["", "archive"])
async def test_restart_changes_no_candle(tmp_path: Path, lost: str) -> None:
    """If the archive is lost, the server rebuilds the candles that the journal still covers."""
    options = {"journal": f"sqlite:{tmp_path / 'j'}"}
    async with run_server(**options, clock=ManualClock()) as server:
        await publish(server.url, [("AB"[i % 2], i * 0.7, 100 + i % 7) for i in range(300)])
        before = await all_candles(server.url)
    for path in tmp_path.glob("*-candles*") if lost else ():
        path.unlink()
    async with run_server(**options, clock=ManualClock()) as server:
        assert await all_candles(server.url) == before
        await publish(server.url, [("A", 300.0, 1.0), ("B", 300.0, 1.0)])
        after = await all_candles(server.url)
    assert after["A 1m"][: len(before["A 1m"]) - 1] == before["A 1m"][:-1]


async def test_server_on_copied_files_has_the_same_candles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copies are like the files after a kill -9.

    The archive is behind the newest snapshot, level with it, or ahead of it. It may contain a part of the candles that
    closed together.
    """
    monkeypatch.setattr("tickwire.runtime.snapshotter.SNAPSHOT_INTERVAL_EVENTS", 70)
    monkeypatch.setattr("tickwire.candles.archive._MIN_CANDLES_PER_WRITE", 1)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, clock = random.Random(seed), ManualClock()
    (tmp_path / "live").mkdir()
    second = 0.0
    async with run_server(journal=f"sqlite:{tmp_path}/live/j", clock=clock) as server:
        for number in range(4):
            for _ in range(rng.randint(1, 6)):
                second += rng.random() * 9
                await publish(
                    server.url, [(rng.choice("AB"), second + rng.random() * 3, rng.randint(1, 99)) for _ in range(20)]
                )
                await clock.advance(rng.choice([0, 1.0]))
            expected = await all_candles(server.url)
            copy = copy_journal_folder(tmp_path / "live", tmp_path / str(number))
            for path in copy.glob("*-candles*") if number == 2 else ():
                path.unlink()
            async with run_server(journal=f"sqlite:{copy}/j", clock=clock) as copy_server:
                assert await all_candles(copy_server.url) == expected


async def test_prices_do_not_wait_for_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot waits until the archive has written the closed candles, which takes seconds if there are many."""
    monkeypatch.setattr("tickwire.runtime.snapshotter.SNAPSHOT_INTERVAL_EVENTS", 2)
    flush, released, waiting = CandleArchive.flush, asyncio.Event(), list[CandleArchive]()

    async def wait_and_flush(archive: CandleArchive) -> bool:
        waiting.append(archive)
        await released.wait()
        return await flush(archive)

    monkeypatch.setattr(CandleArchive, "flush", wait_and_flush)
    async with run_server(clock=ManualClock()) as server:
        journal, board = server.runtime.journal, server.runtime.hub.board
        try:
            for price in map(float, range(1, 25)):
                await publish(server.url, [("A", price, price)])
                await wait_until(lambda price=price: board.last_prices() == {"A": price})
            # Several snapshots are due, but the first one is still waiting.
            assert len(waiting) == 1
        finally:
            released.set()
        # The server captures the next snapshot with the first price after the end of the first snapshot.
        for price in map(float, itertools.count(25)):
            await publish(server.url, [("A", price, price)])
            if len(waiting) == 2:
                break
        saved = await journal.load_snapshot()
        assert saved is not None
        assert 0 < saved.sequence < journal.head


async def candles_from_journal(path: Path) -> dict[str, list]:
    """Build all candles from the events of a journal."""
    journal = await SQLiteJournal.open(path, Retention(), SystemClock())
    aggregator, parts = CandleAggregator(), []
    for record in await journal.read(0, limit=10**9):
        if record.kind is RecordKind.TICKS:
            parts.append(aggregator.apply(ticks_from_bytes(record.data), record.first, record.appended_ts))
        elif record.kind is RecordKind.NAMED_EVENT and (event := decode_named_event(record)).name == "clock":
            parts.append(
                closed_candles(
                    aggregator.advance_watermark(decode_json(bytes(event.data), dict[str, int])["ts"] * 1000)
                )
            )
    await journal.close()
    packed = np.concatenate(parts)
    candles = {}
    for symbol in "AB":
        for name, seconds in INTERVAL_SECONDS.items():
            closed = packed[(packed["symbol"] == symbol.encode()) & (packed["interval"] == seconds)]
            open_candles = aggregator.open_candles([aggregator.find_row(symbol)], seconds)
            series = candles_from_packed(np.sort(closed, order="start"))
            series += candles_from_packed(open_candles, closed=False)
            candles[f"{symbol} {name}"] = decode_json(encode_json(series), list)
    return candles


@short_and_long("kills", 2, 10)
async def test_repeated_kills_lose_and_duplicate_no_candle(tmp_path: Path, kills: int) -> None:
    """After several kills during publishing, the candles equal candles built from the events in the journal."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    options = ("--feed", "http", "--journal", f"sqlite:{tmp_path / 'j'}")
    second = 0.0
    for _ in range(kills):
        async with ServerProcess(*options, cwd=tmp_path) as server:
            for _ in range(rng.randint(3, 40)):
                ticks = []
                for _ in range(rng.randint(1, 60)):
                    second += rng.random() * 2
                    ticks.append((rng.choice("AB"), second - rng.choice([0, 0, 0, 4]), float(rng.randint(1, 99))))
                await publish(server.url, ticks)
            await asyncio.sleep(rng.choice([0, 0.3, 1.1]))
            await server.kill()
    async with ServerProcess(*options, cwd=tmp_path) as server:
        candles = await all_candles(server.url)
        await server.kill()
    assert candles == await candles_from_journal(tmp_path / "j")


async def test_times_outside_the_history_are_valid() -> None:
    """If `since` is before the history, the stream starts at the beginning of the history."""
    async with run_server(clock=ManualClock()) as server:
        await publish(server.url, [("A", 0, 1.0)])
        for query, count in (
            ({"start": "0001-01-01"}, 1),
            ({"end": "0001-01-01"}, 0),
            ({"start": "1600-01-01", "end": "1601-01-01"}, 0),
            ({"end": "9999-12-31T23:59:59"}, 1),
        ):
            answer = await request_candles(server.url, **query)
            assert (answer.status_code, len(answer.json())) == (200, count), answer.text
        async with open_stream(server.url, {"since": "0001-01-01T00:00:00+23:59", "delivery": "all"}) as stream:
            assert (await stream.next_events(1))[0].data["last"] == 1.0


async def test_a_simulated_past_has_candles_of_every_interval() -> None:
    async with (
        run_server(feed="simulator", history="3h", start="2026-01-02T15:00:00Z", seed=7) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        await wait_until(lambda: server.runtime.hub.board.newest_ts >= NOON_US * 1000)
        for interval, count in (("1m", 160), ("15m", 12), ("1h", 3)):
            candles = (await client.get(f"/v1/candles/AAPL?interval={interval}&limit=1000")).json()
            assert len(candles) >= count
            assert candles[0]["start"] == NOON_US - 3 * 3600 * 10**6


@pytest.mark.parametrize(
    ("text", "message"),
    [("5", "--history: '5' is not a duration"), ("32d", "--history 32d is too long: choose at most 31d")],
)
async def test_an_invalid_length_of_the_past_stops_the_start(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        async with run_server(feed="simulator", history=text):
            pass
