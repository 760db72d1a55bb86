"""kill -9 of the server at random moments: readers lose no event, and get no event twice."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import httpx2
import numpy as np

from tickwire.clock import SystemClock
from tickwire.core.candle import PackedCandles, candles_from_bytes
from tickwire.core.event import RecordKind
from tickwire.core.tick import ticks_from_bytes
from tickwire.journal.base import Retention
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.market.candle_aggregator import CandleAggregator
from tickwire.testing.marks import short_and_long
from tickwire.testing.server import ServerProcess
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

SYMBOLS = ("A", "B", "C")
# The time between two batches, in market time.
BATCH_SECONDS = 0.3
# 2026-01-02 15:00 UTC, in microseconds.
T0 = 1_767_366_000_000_000


class RetryingPublisher:
    """Publishes one batch after the other. If the server does not acknowledge a batch, repeats it with the same key."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.sent: list[tuple[str, float]] = []
        self.batch = 0

    async def run(self, url: str) -> None:
        """Publish until the connection to the server breaks."""
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
        """Return the current batch. After its acknowledgement, the next batch is current."""
        rng, ts = random.Random(self.batch), T0 + round(self.batch * BATCH_SECONDS * 1e6)
        return [
            {"symbol": rng.choice(SYMBOLS), "last": float(self.batch * 100 + place), "ts": ts} for place in range(20)
        ]


class ResumingReader:
    """Reads several streams, each from the last id of the previous stream. Collects the events with one name."""

    def __init__(self, params: dict[str, str], name: str = "quote", value: str = "last") -> None:
        self.params = params
        self.name = name
        # The reader collects the symbol and this field of each event.
        self.value = value
        self.last: str | None = None
        self.seen: list[tuple[str, float]] = []
        self.ids: list[str] = []

    async def run(self, url: str, until: int | None = None) -> None:
        """Read until the connection breaks, or until the reader has collected `until` events in total."""
        headers = {"Last-Event-ID": self.last} if self.last else {}
        try:
            async with open_stream(url, self.params, headers=headers) as stream:
                while until is None or len(self.seen) < until:
                    event = await stream.next_event()
                    if event is None:
                        return
                    assert event.name != "gap"
                    if event.id is not None:
                        self.record_event(event)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            return

    def record_event(self, event) -> None:
        self.last = event.id
        if event.name == self.name:
            self.ids.append(event.id)
            self.seen.append((event.data["symbol"], event.data[self.value]))


@short_and_long("rounds", 2, 20)
async def test_quotes_survive_kills_once_each(tmp_path: Path, rounds: int) -> None:
    """The state of the board is correct, and all ids have the same epoch."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    publisher = RetryingPublisher(rng)
    everything, newest = ResumingReader({"delivery": "all", "since": "earliest"}), ResumingReader({"symbols": "A,B"})
    for _ in range(rounds):
        async with ServerProcess("--feed", "http", "--data", str(tmp_path), cwd=tmp_path) as server:
            tasks = [asyncio.create_task(each.run(server.url)) for each in (publisher, everything, newest)]
            goal = publisher.batch + rng.randint(1, 40)
            await wait_until(lambda: publisher.batch >= goal or any(task.done() for task in tasks))  # noqa: B023
            await server.kill()
            await asyncio.gather(*tasks)
    async with ServerProcess("--feed", "http", "--data", str(tmp_path), cwd=tmp_path) as server:
        # The kill may have happened before or after the append of the last batch. A repeated request appends the batch
        # only if it is missing.
        async with httpx2.AsyncClient(base_url=server.url) as client:
            ticks = publisher.ticks()
            key = {"Idempotency-Key": f"batch-{publisher.batch}"}
            assert (await client.post("/v1/quotes", json=ticks, headers=key)).is_success
            publisher.sent += [(tick["symbol"], tick["last"]) for tick in ticks]
            await everything.run(server.url, until=len(publisher.sent))
            state = {quote["symbol"]: quote["last"] for quote in (await client.get("/v1/quotes")).json()}
        reading = asyncio.create_task(newest.run(server.url))
        wanted = {symbol: state[symbol] for symbol in ("A", "B")}
        await wait_until(lambda: dict(newest.seen) == wanted)
        await server.stop()
        await reading
    assert everything.seen == publisher.sent
    assert len(set(everything.ids)) == len(everything.ids)
    assert len({each.split("-")[0] for each in everything.ids}) == 1
    assert dict(publisher.sent) == state
    print(f"{len(publisher.sent)} events over {rounds} kills")


async def expected_and_stored_candles(path: Path) -> tuple[PackedCandles, PackedCandles]:
    """Return the candles that the ticks in the journal close, and the candle events in the journal."""
    journal = await SQLiteJournal.open(path, Retention(), SystemClock())
    candles, expected, stored = CandleAggregator(), [], []
    for record in await journal.read(0, limit=10**9):
        if record.kind is RecordKind.TICKS:
            expected.append(candles.apply(ticks_from_bytes(record.data), record.first, record.appended_ts))
        elif record.kind is RecordKind.CANDLES:
            stored.append(candles_from_bytes(record.data))
    await journal.close()
    return np.concatenate(expected), np.concatenate(stored)


@short_and_long("rounds", 2, 20)
async def test_closed_candles_survive_kills_once_each(tmp_path: Path, rounds: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    publisher = RetryingPublisher(rng)
    options = ("--feed", "http", "--journal", f"sqlite:{tmp_path / 'j'}")
    params = {"events": "quote,candle", "candles": "1s"}
    everything = ResumingReader({**params, "delivery": "all", "since": "earliest"}, "candle", "start")
    newest = ResumingReader(params, "candle", "start")
    for _ in range(rounds):
        async with ServerProcess(*options, cwd=tmp_path) as server:
            tasks = [asyncio.create_task(each.run(server.url)) for each in (publisher, everything, newest)]
            goal = publisher.batch + rng.randint(1, 40)
            await wait_until(lambda: publisher.batch >= goal or any(task.done() for task in tasks))  # noqa: B023
            await server.kill()
            await asyncio.gather(*tasks)
    end = T0 + 3_600_000_000
    async with ServerProcess(*options, cwd=tmp_path) as server:
        reading = [asyncio.create_task(each.run(server.url)) for each in (everything, newest)]
        async with httpx2.AsyncClient(base_url=server.url) as client:
            for ts in (end, end + 9_000_000):
                ticks = [{"symbol": symbol, "last": 1.0, "ts": ts} for symbol in SYMBOLS]
                assert (await client.post("/v1/quotes", json=ticks)).is_success
        ends = {(symbol, end) for symbol in SYMBOLS}
        await wait_until(lambda: all(ends <= set(each.seen) for each in (everything, newest)))
        await server.stop()
        await asyncio.gather(*reading)
    closed, stored = await expected_and_stored_candles(tmp_path / "j")
    assert closed.tobytes() == stored.tobytes()
    seconds = stored[stored["interval"] == 1]
    expected = [*zip((each.decode() for each in seconds["symbol"].tolist()), seconds["start"] // 1000, strict=True)]
    assert everything.seen == expected
    assert newest.seen == expected[-len(newest.seen) :]
    print(f"{len(stored)} candles over {rounds} kills, {len(newest.seen)} of {len(expected)} live")
