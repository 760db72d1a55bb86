"""A replay through the whole server."""

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


def expected_quotes(symbol: str) -> list[tuple]:
    """Return the quote after each row of a symbol in the file: ts, last, bid, ask, volume."""
    last, bid, ask, volume, quotes = None, None, None, 0, []
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
            quotes.append((int(row["ts_ns"]) // 1000, last, bid, ask, volume))
    return quotes


@pytest.mark.skipif(not IEX.exists(), reason=f"there is no recorded market data in {DATA}")
@pytest.mark.realdata
async def test_a_recorded_day_arrives_exactly(tmp_path: Path) -> None:
    """A reader from the start and a reader of the history both receive exactly the rows of the file."""
    expected = expected_quotes("SPY")
    assert len(expected) == 7615
    params = {"symbols": "SPY", "delivery": "all", "since": "earliest"}
    options = {"feed": f"replay:{IEX}", "journal": f"sqlite:{tmp_path / 'j'}", "speed": 0}
    async with run_server(**options) as server:
        for _ in range(2):
            async with open_stream(server.url, params) as stream:
                events = await stream.next_events(len(expected))
            keys = ("ts", "last", "bid", "ask", "volume")
            assert [tuple(event.data[key] for key in keys) for event in events] == expected
            sequences = [event.sequence for event in events]
            assert sequences == sorted(set(sequences))


async def test_a_restart_plays_an_ended_replay_again_and_continues_a_stopped_one(tmp_path: Path) -> None:
    """If the settings name no journal, the replay that plays again creates a new journal with another epoch."""
    path = tmp_path / "A.csv"
    path.write_text("ts_ns,price\n" + "".join(f"{number * 10**9},{number}\n" for number in range(1_000)))
    options = {"feed": f"replay:{path}", "journal": "", "data": tmp_path / "data", "speed": 0}
    epochs = []
    for _ in range(2):
        async with run_server(**options) as server:
            async with open_stream(server.url, {"delivery": "all", "since": "earliest"}) as stream:
                events = await stream.next_events(1_000)
            while server.runtime.status.state != "halted":
                await asyncio.sleep(0)
            assert [event.data["last"] for event in events] == list(range(1_000))
            epochs.append(server.runtime.journal.epoch)
    assert len(set(epochs)) == 2
    path.write_text("ts_ns,price\n" + "".join(f"{number * 10**8},{number}\n" for number in range(1_000)))
    slow = {**options, "data": tmp_path / "slow", "speed": 100}
    async with run_server(**slow) as server, open_stream(server.url) as stream:
        await stream.next_events(1)
        epoch = server.runtime.journal.epoch
    async with run_server(**slow) as server:
        assert server.runtime.journal.epoch == epoch
        async with open_stream(server.url, {"delivery": "all", "since": "earliest"}) as stream:
            events = await stream.next_events(1_000)
        assert [event.data["last"] for event in events] == list(range(1_000))


async def test_an_invalid_row_halts_the_feed(tmp_path: Path) -> None:
    """The feed plays the rows before the invalid row. Readers receive a status event, and /readyz reports the line."""
    path = tmp_path / "A.csv"
    path.write_text("ts_ns,price\n" + "".join(f"{number},{number}\n" for number in range(12_000)) + "x,1\n")
    async with run_server(feed=f"replay:{path}", speed=0) as server:
        async with open_stream(server.url, {"events": "status"}) as stream:
            while (await stream.next_events(1, name="status"))[0].data["state"] != "halted":
                pass
        assert server.runtime.hub.board.last_prices() == {"A": 11_999.0}
        async with open_stream(server.url, path="/readyz") as response:
            assert response.status == 503
            detail = (await response.read_json())["detail"]
        assert "line 12002, column ts_ns: expected a time like in the first row, found 'x'" in detail


async def test_a_late_reader_receives_the_market_of_its_moment(tmp_path: Path) -> None:
    """The snapshot and the candles contain no later ticks."""
    for symbol in "AB":
        rows = "".join(f"{number * 10**9},{number}\n" for number in range(100))
        (tmp_path / f"{symbol}.csv").write_text(f"ts_ns,price\n{rows}")
    clock = ManualClock()
    async with run_server(feed=f"replay:{tmp_path}", clock=clock) as server:
        for second in (30, 40):
            while server.runtime.hub.board.last_prices().get("B", -1) < second:
                await clock.advance(0.5)
            async with open_stream(server.url) as stream:
                snapshot = await stream.next_events(2)
                assert {event.data["symbol"]: event.data["last"] for event in snapshot} == {"A": second, "B": second}
                await clock.advance(1)
                assert [event.data["last"] for event in await stream.next_events(2)] == [second + 1, second + 1]
            async with open_stream(server.url, path="/v1/candles/B") as response:
                (candle,) = await response.read_json()
            assert (candle["open"], candle["high"], candle["closed"]) == (0, second + 1, False)
