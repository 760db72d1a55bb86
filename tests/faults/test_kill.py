"""The whole server killed at any moment: nothing that a reader was given is forgotten, nothing comes twice."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import httpx2
import numpy as np
import pytest

from tickwire.clock import SystemClock
from tickwire.core.candle import PackedCandles, unpack_candles
from tickwire.core.event import Kind
from tickwire.core.tick import unpack
from tickwire.journal.base import Retention
from tickwire.journal.sqlite import SQLiteJournal
from tickwire.market.candles import Candles
from tickwire.testing.server import ServerProcess
from tickwire.testing.wire import open_stream

ROUNDS = 6
SYMBOLS = ("A", "B", "C")
BATCH_SECONDS = 0.3  # of market time
T0 = 1_767_366_000_000_000  # microseconds


class Publisher:
    """Publishes batches one after the other and repeats what was not acknowledged, with the same key."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.sent: list[tuple[str, float]] = []
        self.batch = 0

    async def run(self, url: str) -> None:
        """Publish until the server is gone."""
        async with httpx2.AsyncClient(base_url=url) as client:
            while True:
                ticks = self.ticks()
                key = {"Idempotency-Key": f"batch-{self.batch}"}
                try:
                    answer = await client.post("/v1/quotes", json=ticks, headers=key)
                except httpx2.TransportError:
                    return
                assert answer.status_code in (200, 201), answer.text
                self.sent += [(tick["symbol"], tick["last"]) for tick in ticks]
                self.batch += 1

    def ticks(self) -> list[dict]:
        """The batch in hand; the same one until it was acknowledged."""
        rng, ts = random.Random(self.batch), T0 + round(self.batch * BATCH_SECONDS * 1e6)
        return [
            {"symbol": rng.choice(SYMBOLS), "last": float(self.batch * 100 + place), "ts": ts} for place in range(20)
        ]


class Reader:
    """Reads one stream after the other, each from the last id of the one before. It keeps events of one name."""

    def __init__(self, params: dict[str, str], name: str = "quote", value: str = "last") -> None:
        self.params = params
        self.name = name
        self.value = value  # what it keeps of them, beside the symbol
        self.last: str | None = None
        self.seen: list[tuple[str, float]] = []
        self.ids: list[str] = []

    async def run(self, url: str, until: int | None = None) -> None:
        """Read until the connection breaks or `until` quotes were seen in all."""
        headers = {"Last-Event-ID": self.last} if self.last else {}
        try:
            async with open_stream(url, self.params, headers=headers) as stream:
                while until is None or len(self.seen) < until:
                    event = await stream.event()
                    if event is None:
                        return
                    assert event.name != "gap"
                    if event.id is not None:
                        self.take(event)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            return

    def take(self, event) -> None:
        self.last = event.id
        if event.name == self.name:
            self.ids.append(event.id)
            self.seen.append((event.data["symbol"], event.data[self.value]))


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_kill_restart_resume_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """kill -9 in the middle of publishing and reading, again and again: all events once, state exact, one epoch."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    publisher = Publisher(rng)
    everything, newest = Reader({"delivery": "all", "since": "earliest"}), Reader({"symbols": "A,B"})
    for _ in range(ROUNDS):
        async with ServerProcess("--feed", "http", "--data", str(tmp_path), cwd=tmp_path) as server:
            tasks = [asyncio.create_task(each.run(server.url)) for each in (publisher, everything, newest)]
            goal = publisher.batch + rng.randint(1, 40)
            while publisher.batch < goal and not any(task.done() for task in tasks):
                await asyncio.sleep(0)
            await server.kill()
            await asyncio.gather(*tasks)
    async with ServerProcess("--feed", "http", "--data", str(tmp_path), cwd=tmp_path) as server:
        # The batch under way when the server died may be in the journal or not; its repetition settles that.
        async with httpx2.AsyncClient(base_url=server.url) as client:
            ticks = publisher.ticks()
            key = {"Idempotency-Key": f"batch-{publisher.batch}"}
            assert (await client.post("/v1/quotes", json=ticks, headers=key)).is_success
            publisher.sent += [(tick["symbol"], tick["last"]) for tick in ticks]
            await everything.run(server.url, until=len(publisher.sent))
            state = {quote["symbol"]: quote["last"] for quote in (await client.get("/v1/quotes")).json()}
        reading = asyncio.create_task(newest.run(server.url))
        wanted = {symbol: state[symbol] for symbol in ("A", "B")}
        while dict(newest.seen) != wanted:
            await asyncio.sleep(0)
        await server.stop()
        await reading
    assert everything.seen == publisher.sent
    assert len(set(everything.ids)) == len(everything.ids)
    assert len({each.split("-")[0] for each in everything.ids}) == 1
    assert dict(publisher.sent) == state
    print(f"{len(publisher.sent)} events over {ROUNDS} kills")


async def made_and_told(path: Path) -> tuple[PackedCandles, PackedCandles]:
    """What the journal's ticks close, and the candles that it holds as events."""
    journal = await SQLiteJournal.open(path, Retention(), SystemClock())
    candles, made, told = Candles(), [], []
    for record in await journal.read(0, limit=10**9):
        if record.kind is Kind.TICKS:
            made.append(candles.apply(unpack(record.data), record.first, record.ts))
        elif record.kind is Kind.CANDLES:
            told.append(unpack_candles(record.data))
    await journal.close()
    return np.concatenate(made), np.concatenate(told)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_kill_restart_resume_tells_each_candle_once(tmp_path: Path) -> None:
    """kill -9 while candles close, again and again: each reader is told of each once, in order."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    publisher = Publisher(rng)
    options = ("--feed", "http", "--journal", f"sqlite:{tmp_path / 'j'}")
    params = {"events": "quote,candle", "candles": "1s"}
    everything = Reader({**params, "delivery": "all", "since": "earliest"}, "candle", "start")
    newest = Reader(params, "candle", "start")
    for _ in range(ROUNDS):
        async with ServerProcess(*options, cwd=tmp_path) as server:
            tasks = [asyncio.create_task(each.run(server.url)) for each in (publisher, everything, newest)]
            goal = publisher.batch + rng.randint(1, 40)
            while publisher.batch < goal and not any(task.done() for task in tasks):
                await asyncio.sleep(0)
            await server.kill()
            await asyncio.gather(*tasks)
    end = T0 + 3_600_000_000
    async with ServerProcess(*options, cwd=tmp_path) as server:
        reading = [asyncio.create_task(each.run(server.url)) for each in (everything, newest)]
        async with httpx2.AsyncClient(base_url=server.url) as client:
            for ts in (end, end + 9_000_000):
                ticks = [{"symbol": symbol, "last": 1.0, "ts": ts} for symbol in SYMBOLS]
                assert (await client.post("/v1/quotes", json=ticks)).is_success
        while not all({(symbol, end) for symbol in SYMBOLS} <= set(each.seen) for each in (everything, newest)):
            await asyncio.sleep(0)
        await server.stop()
        await asyncio.gather(*reading)
    made, told = await made_and_told(tmp_path / "j")
    assert made.tobytes() == told.tobytes()
    seconds = told[told["interval"] == 1]
    expected = [*zip((each.decode() for each in seconds["symbol"].tolist()), seconds["start"] // 1000, strict=True)]
    assert everything.seen == expected
    assert newest.seen == expected[-len(newest.seen) :]
    print(f"{len(told)} candles over {ROUNDS} kills, {len(newest.seen)} of {len(expected)} live")
