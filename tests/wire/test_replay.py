"""A recording through the whole server."""

from __future__ import annotations

import asyncio
import csv
import gzip
from pathlib import Path

import pytest

from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

DATA = Path(__file__).parents[3] / "shared" / "data" / "r1_clear"
IEX = DATA / "iex_tops_20260713_events_A.csv.gz"


def recorded(symbol: str) -> list[tuple]:
    """The file's rows of one symbol, each as the quote it should lead to: ts, last, bid, ask, volume."""
    last, bid, ask, volume, found = None, None, None, 0, []
    with gzip.open(IEX, "rt") as file:
        for row in csv.DictReader(file):
            if row["symbol"] != symbol:
                continue
            if row["type"] == "T":
                last = int(row["px_e4"]) / 1e4
                volume += int(row["sz"])
            else:
                bid, ask = (
                    int(row[f"{side}_px_e4"]) / 1e4 if int(row[f"{side}_px_e4"]) or int(row[f"{side}_sz"]) else None
                    for side in ("bid", "ask")
                )
            found.append((int(row["ts_ns"]) // 1000, last, bid, ask, volume))
    return found


@pytest.mark.skipif(not IEX.exists(), reason=f"the recorded market data are not at {DATA}")
@pytest.mark.realdata
@pytest.mark.timeout(60)
async def test_a_real_recording_arrives_exactly(tmp_path: Path) -> None:
    """Readers of all events, one there from the start and one who asks for the past later, get the file's rows."""
    expected = recorded("SPY")
    assert len(expected) == 7615
    params = {"symbols": "SPY", "delivery": "all", "since": "earliest"}
    options = {"feed": f"replay:{IEX}", "journal": f"sqlite:{tmp_path / 'j'}", "speed": 0}
    async with run_server(**options) as server:
        for _ in range(2):
            async with open_stream(server.url, params) as stream:
                events = await stream.events(len(expected))
            keys = ("ts", "last", "bid", "ask", "volume")
            assert [tuple(event.data[key] for key in keys) for event in events] == expected
            sequences = [event.sequence for event in events]
            assert sequences == sorted(set(sequences))


async def test_a_finished_recording_starts_over_in_its_own_journal(tmp_path: Path) -> None:
    """Played to its end and served again, it plays again under a new epoch; stopped midway, it goes on."""
    path = tmp_path / "A.csv"
    path.write_text("ts_ns,price\n" + "".join(f"{number * 10**9},{number}\n" for number in range(1_000)))
    options = {"feed": f"replay:{path}", "journal": "", "data": tmp_path / "data", "speed": 0}
    epochs = []
    for _ in range(2):
        async with run_server(**options) as server:
            async with open_stream(server.url, {"delivery": "all", "since": "earliest"}) as stream:
                events = await stream.events(1_000)
            while server.runtime.status.state != "halted":
                await asyncio.sleep(0)
            assert [event.data["last"] for event in events] == list(range(1_000))
            epochs.append(server.runtime.journal.epoch)
    assert len(set(epochs)) == 2
    path.write_text("ts_ns,price\n" + "".join(f"{number * 10**8},{number}\n" for number in range(1_000)))
    slow = {**options, "data": tmp_path / "slow", "speed": 100}
    async with run_server(**slow) as server, open_stream(server.url) as stream:
        await stream.events(1)
        epoch = server.runtime.journal.epoch
    async with run_server(**slow) as server:
        assert server.runtime.journal.epoch == epoch
        async with open_stream(server.url, {"delivery": "all", "since": "earliest"}) as stream:
            events = await stream.events(1_000)
        assert [event.data["last"] for event in events] == list(range(1_000))


async def test_a_recording_that_breaks_halts_the_feed_and_says_where(tmp_path: Path) -> None:
    """A wrong row far down stops the replay there: readers get a status, readiness the line."""
    path = tmp_path / "A.csv"
    path.write_text("ts_ns,price\n" + "".join(f"{number},{number}\n" for number in range(12_000)) + "x,1\n")
    async with run_server(feed=f"replay:{path}", speed=0) as server:
        async with open_stream(server.url, {"events": "status"}) as stream:
            while (await stream.events(1, name="status"))[0].data["state"] != "halted":
                pass
        assert server.runtime.hub.board.prices() == {"A": 11_999.0}
        async with open_stream(server.url, path="/readyz") as answer:
            assert answer.status == 503
            detail = (await answer.body())["detail"]
        assert "line 12002, column ts_ns: expected a time as in the first row, found 'x'" in detail


async def test_who_comes_late_gets_the_market_of_that_moment(tmp_path: Path) -> None:
    """The snapshot of the replay's instant, candles with it, and what follows; nothing of what is still to come."""
    for symbol in "AB":
        rows = "".join(f"{number * 10**9},{number}\n" for number in range(100))
        (tmp_path / f"{symbol}.csv").write_text(f"ts_ns,price\n{rows}")
    clock = ManualClock()
    async with run_server(feed=f"replay:{tmp_path}", clock=clock) as server:
        for second in (30, 40):
            while server.runtime.hub.board.prices().get("B", -1) < second:
                await clock.advance(0.5)
            async with open_stream(server.url) as stream:
                snapshot = await stream.events(2)
                assert {event.data["symbol"]: event.data["last"] for event in snapshot} == {"A": second, "B": second}
                await clock.advance(1)
                assert [event.data["last"] for event in await stream.events(2)] == [second + 1, second + 1]
            async with open_stream(server.url, path="/v1/candles/B") as answer:
                (candle,) = await answer.body()
            assert (candle["open"], candle["high"], candle["closed"]) == (0, second + 1, False)
