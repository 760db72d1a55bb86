"""Candles over HTTP: as they form, once they closed, after a restart, after kill -9."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import httpx2
import numpy as np
import pytest

from tickwire.clock import SystemClock
from tickwire.core.candle import INTERVALS, read_candles
from tickwire.core.codec import decode, encode
from tickwire.core.event import Kind, read_named
from tickwire.core.tick import unpack
from tickwire.journal.base import Retention
from tickwire.journal.sqlite import SQLiteJournal
from tickwire.market.candles import Candles
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import RunningServer, ServerProcess, run_server
from tickwire.testing.wire import open_stream

T0 = 1_767_366_000_000_000  # microseconds; where a ManualClock starts


async def ask(url: str, symbol: str = "A", **query: object) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=url, verify=False) as client:
        return await client.get(f"/v1/candles/{symbol}", params=query)


async def publish(url: str, ticks: Sequence[tuple[str, float, float]]) -> None:
    """Trades of 10 as (symbol, seconds after T0, price)."""
    body = [{"symbol": s, "ts": T0 + round(at * 1e6), "last": price, "size": 10} for s, at, price in ticks]
    async with httpx2.AsyncClient(base_url=url, verify=False) as client:
        assert (await client.post("/v1/quotes", json=body)).status_code == 201


async def test_the_forming_candle_is_last() -> None:
    """Oldest first; start, end and limit choose; a symbol that only quotes has none."""
    async with run_server(clock=ManualClock()) as server:
        await publish(server.url, [("A", second, 100 + second) for second in (0, 59.5, 60, 200)])
        bars = (await ask(server.url)).json()
        assert [(bar["start"], bar["closed"]) for bar in bars] == [
            (T0, True), (T0 + 60_000_000, True), (T0 + 180_000_000, False)
        ]  # fmt: skip
        assert bars[0] == {
            "symbol": "A", "interval": "1m", "start": T0, "open": 100.0, "high": 159.5, "low": 100.0, "close": 159.5,
            "volume": 20, "closed": True,
        }  # fmt: skip
        assert (await ask(server.url, limit=2)).json() == bars[1:]
        assert (await ask(server.url, start=T0, limit=2)).json() == bars[:2]
        assert (await ask(server.url, start="2026-01-02T15:00:01Z", end=T0 + 180_000_000)).json() == bars[1:2]
        assert [bar["close"] for bar in (await ask(server.url, interval="1d")).json()] == [300.0]
        await publish(server.url, [("A", 1, 5.0), ("A", 201, 5.0)])
        late = server.runtime.chronicle.stats().late
        assert (late["1s"], late["1m"], late["1h"]) == (1, 1, 0)
        async with httpx2.AsyncClient(base_url=server.url, verify=False) as client:
            await client.post("/v1/quotes", json=[{"symbol": "FX", "bid": 1.1, "ask": 1.2}])
        assert (await ask(server.url, "FX")).json() == []


WRONG = [
    ({"interval": "2m"}, 400, "interval", "'2m' is no interval: choose one of 1s, 5s, 15s, 1m, 5m, 15m, 1h, 1d"),
    ({"start": "yesterday"}, 400, "start", "'yesterday' is no time"),
    ({"start": 5, "end": 5}, 400, "end", "end is not after start"),
    ({"limit": 0}, 400, "limit", "limit: Input should be greater than or equal to 1"),
    ({"limit": "many"}, 400, "limit", "limit: Input should be a valid integer"),
    ({}, 404, "symbol", "A has not traded here"),
]


@pytest.mark.parametrize(("query", "status", "field", "detail"), WRONG)
async def test_what_is_wrong_is_a_problem(query: dict, status: int, field: str, detail: str) -> None:
    """The field and what would do."""
    async with run_server() as server:
        answer = await ask(server.url, **query)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["field"]) == (status, field)
    assert problem["detail"].startswith(detail)


async def test_the_api_document_describes_candles() -> None:
    """Its parameters, and what comes of a mistake."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url, verify=False) as client:
        document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/v1/candles/{symbol}"]["get"]
    assert [each["name"] for each in operation["parameters"]] == ["symbol", "interval", "start", "end", "limit"]
    assert operation["responses"]["200"]["content"]["application/json"]["schema"]["type"] == "array"
    assert set(operation["responses"]) == {"200", "400", "404"}


async def closed(server: RunningServer, interval: str) -> list[bool]:
    return [bar["closed"] for bar in (await ask(server.url, interval=interval)).json()]


async def test_time_closes_candles_where_no_tick_comes() -> None:
    """Some seconds after its end, through the journal; not where the market is one of the past."""
    clock = ManualClock()
    async with run_server(clock=clock) as server:
        await publish(server.url, [("A", 0, 1.0)])
        assert await closed(server, "5s") == [False]
        head = server.runtime.journal.head
        while await closed(server, "5s") == [False]:
            await clock.advance(1.0)
        assert 9 <= clock.monotonic() <= 11
        assert server.runtime.journal.head - head <= 4
        assert await closed(server, "1m") == [False]
    async with run_server(clock=clock) as server:
        await publish(server.url, [("A", -5_000, 1.0)])
        await clock.advance(100.0)
        assert await closed(server, "1s") == [False]


async def everything(url: str) -> dict[str, list]:
    found = {}
    async with httpx2.AsyncClient(base_url=url, verify=False) as client:
        for symbol in "AB":
            for interval in INTERVALS:
                answer = await client.get(f"/v1/candles/{symbol}", params={"interval": interval, "limit": 5000})
                found[f"{symbol} {interval}"] = answer.json()
    return found


@pytest.mark.parametrize("lost", ["", "archive"])
async def test_a_restart_changes_no_candle(tmp_path: Path, lost: str) -> None:
    """Stopped and started, all are as they were; with the archive gone too, as far as the journal reaches."""
    options = {"journal": f"sqlite:{tmp_path / 'j'}"}
    async with run_server(**options, clock=ManualClock()) as server:
        await publish(server.url, [("AB"[at % 2], at * 0.7, 100 + at % 7) for at in range(300)])
        before = await everything(server.url)
    for path in tmp_path.glob("*-candles*") if lost else ():
        path.unlink()
    async with run_server(**options, clock=ManualClock()) as server:
        assert await everything(server.url) == before
        await publish(server.url, [("A", 300.0, 1.0), ("B", 300.0, 1.0)])
        after = await everything(server.url)
    assert after["A 1m"][: len(before["A 1m"]) - 1] == before["A 1m"][:-1]


async def test_a_copy_of_the_files_at_any_moment_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after kill -9, with summaries saved in between: the archive behind the newest one, level with it, or ahead."""
    monkeypatch.setattr("tickwire.runtime.STATE_EVERY", 70)
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
            expected = await everything(server.url)
            copy = shutil.copytree(tmp_path / "live", tmp_path / str(number))
            for path in copy.glob("*-candles*") if number == 2 else ():
                path.unlink()
            async with run_server(journal=f"sqlite:{copy}/j", clock=clock) as other:
                assert await everything(other.url) == expected


async def made_of(path: Path) -> dict[str, list]:
    """What the journal's events make, all at once."""
    journal = await SQLiteJournal.open(path, Retention(), SystemClock())
    candles, parts = Candles(), []
    for record in await journal.read(0, limit=10**9):
        if record.kind is Kind.TICKS:
            parts.append(candles.apply(unpack(record.data), record.first, record.ts))
        elif record.kind is Kind.NAMED and read_named(record).name == "clock":
            parts.append(candles.pass_time(decode(bytes(read_named(record).data), dict[str, int])["ts"] * 1000))
    await journal.close()
    packed = np.concatenate(parts)
    found = {}
    for symbol in "AB":
        for name, seconds in INTERVALS.items():
            own = packed[(packed["symbol"] == symbol.encode()) & (packed["interval"] == seconds)]
            forming = read_candles(candles.forming([candles.row(symbol)], seconds), closed=False)
            found[f"{symbol} {name}"] = decode(encode(read_candles(np.sort(own, order="start")) + forming), list)
    return found


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_kill_at_any_moment_loses_and_doubles_no_candle(tmp_path: Path) -> None:
    """kill -9 while ticks come, again and again: the candles are what the journal's events make, at every interval."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    options = ("--feed", "http", "--journal", f"sqlite:{tmp_path / 'j'}")
    second = 0.0
    for _ in range(3):
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
        seen = await everything(server.url)
        await server.kill()
    assert seen == await made_of(tmp_path / "j")


async def test_times_before_all_that_is_known_are_no_accident() -> None:
    """Candles from then on are all there are, those before it none; a stream since then begins at the beginning."""
    async with run_server(clock=ManualClock()) as server:
        await publish(server.url, [("A", 0, 1.0)])
        for query, count in (
            ({"start": "0001-01-01"}, 1),
            ({"end": "0001-01-01"}, 0),
            ({"start": "1600-01-01", "end": "1601-01-01"}, 0),
            ({"end": "9999-12-31T23:59:59"}, 1),
        ):
            answer = await ask(server.url, **query)
            assert (answer.status_code, len(answer.json())) == (200, count), answer.text
        async with open_stream(server.url, {"since": "0001-01-01T00:00:00+23:59", "delivery": "all"}) as stream:
            assert (await stream.events(1))[0].data["last"] == 1.0
