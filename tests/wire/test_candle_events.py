"""Candle events over HTTP: both kinds of sinks, restarts, copies of the server's files, and a recording."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import httpx2
import numpy as np
import pytest

import tickwire
from tickwire.core.candle import CANDLE_DTYPE, PackedCandles, candles_from_bytes
from tickwire.core.codec import decode_json
from tickwire.core.event import JournalRecord, RecordKind, decode_named_event
from tickwire.core.tick import ticks_from_bytes
from tickwire.market.candle_aggregator import CandleAggregator, closed_candles
from tickwire.runtime.candle_publisher import APPEND_PAUSE_S
from tickwire.testing.clock import ManualClock
from tickwire.testing.journal_copy import copy_journal_folder
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import WireEvent, WireStream, open_stream

# The start of a ManualClock, in microseconds.
T0 = 1_767_366_000_000_000
IEX = Path(__file__).parents[3] / "shared" / "data" / "r1_clear" / "iex_tops_20260713_events_A.csv.gz"


@pytest.fixture(params=[True, False], ids=["socket sink", "ASGI sink"])
async def server(request):
    async with run_server(bypass_asgi=request.param, clock=ManualClock()) as running:
        yield running


async def publish(url: str, *trades: tuple[str, float, float]) -> None:
    """Publish trades of size 10, given as (symbol, seconds after T0, price)."""
    body = [
        {"symbol": symbol, "ts": T0 + round(second * 1e6), "last": price, "size": 10}
        for symbol, second, price in trades
    ]
    async with httpx2.AsyncClient(base_url=url, verify=False) as client:
        assert (await client.post("/v1/quotes", json=body)).status_code == 201


async def advance_clock(server: RunningServer, seconds: float = 1.0) -> None:
    await server.app._clock.advance(seconds)


def candle_summary(event: WireEvent) -> tuple:
    """Return symbol, start in seconds after T0, close, volume, whether it is closed, and whether it has an id."""
    data = event.data
    assert event.name == "candle"
    return (
        data["symbol"], (data["start"] - T0) / 1e6, data["close"], data["volume"], data["closed"], event.id is not None
    )  # fmt: skip


async def read_candles(stream: WireStream, count: int) -> list[tuple]:
    return [candle_summary(event) for event in await stream.next_events(count, name="candle")]


async def test_stream_sends_open_and_closed_candles(server) -> None:
    """Open candles have no id and are sent when they change. A closed candle has an id and is sent once."""
    await publish(server.url, ("A", 0, 1.0), ("B", 0, 1.0))
    params = {"symbols": "A", "events": "candle", "candles": "5s"}
    async with open_stream(server.url, params) as stream:
        subscription = (await stream.next_event()).data["subscription"]
        assert (subscription["events"], subscription["candles"]) == (["candle"], "5s")
        assert await read_candles(stream, 1) == [("A", 0, 1.0, 10, False, False)]
        await publish(server.url, ("A", 1, 2.0), ("B", 1, 2.0))
        await advance_clock(server)
        assert await read_candles(stream, 1) == [("A", 0, 2.0, 20, False, False)]
        await publish(server.url, ("A", 6, 3.0))
        closed = await stream.next_event()
        assert candle_summary(closed) == ("A", 0, 2.0, 20, True, True)
        assert closed.data == {
            "symbol": "A", "interval": "5s", "start": T0, "open": 1.0, "high": 2.0, "low": 1.0, "close": 2.0,
            "volume": 20, "closed": True,
        }  # fmt: skip
        await advance_clock(server)
        assert await read_candles(stream, 1) == [("A", 5, 3.0, 10, False, False)]
    await publish(server.url, ("A", 11, 4.0), ("A", 16, 5.0))
    for delivery in ("latest", "all"):
        async with open_stream(server.url, {**params, "delivery": delivery, "last_event_id": closed.id}) as stream:
            assert await read_candles(stream, 3) == [
                ("A", 5, 3.0, 10, True, True), ("A", 10, 4.0, 10, True, True), ("A", 15, 5.0, 10, False, False),
            ]  # fmt: skip


async def test_paced_reader_receives_all_closed_candles_at_its_flush(server) -> None:
    """Quotes and candles are in the order of their ids. The open candle is last."""
    params = {"symbols": "A", "candles": "1s", "interval": "3s"}
    async with open_stream(server.url, params) as stream:
        assert (await stream.next_event()).data["subscription"]["events"] == ["quote", "candle"]
        await advance_clock(server)
        for second in range(4):
            await publish(server.url, ("A", second, second))
        await advance_clock(server, 4)
        events = [await stream.next_event() for _ in range(5)]
    assert [event.name for event in events].count("quote") == 1
    assert [candle_summary(event)[1:3] for event in events if event.name == "candle"] == [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 3),
    ]
    sequences = [event.sequence for event in events]
    assert sequences[:-1] == sorted(sequences[:-1])
    assert events[-1].id is None


async def test_clock_closes_a_candle_without_further_ticks(server) -> None:
    async with open_stream(server.url, {"symbols": "A", "events": "candle", "candles": "1s"}) as stream:
        await stream.next_event()
        await publish(server.url, ("A", 0, 1.0))
        # Advance the clock further than the end of the candle, because the archive's thread does not use this clock.
        await advance_clock(server, 10)
        first, second = [await stream.next_event(), await stream.next_event()]
    assert [candle_summary(event)[4] for event in (first, second)] == [False, True]


async def test_added_symbol_is_sent_with_its_open_candle(server) -> None:
    """The reader does not reconnect to change its symbols."""
    await publish(server.url, ("A", 0, 1.0), ("B", 0, 2.0))
    async with open_stream(server.url, {"symbols": "A", "events": "candle", "client_id": "ann"}) as stream:
        assert await read_candles(stream, 1) == [("A", 0, 1.0, 10, False, False)]
        async with httpx2.AsyncClient(base_url=server.url) as client:
            answer = await client.patch("/v1/clients/ann", json={"add": ["B"]})
            assert answer.json()[0]["subscription"]["candles"] == "1m"
        assert (await stream.next_event()).name == "subscription"
        assert {candle_summary(await stream.next_event())[0] for _ in range(2)} == {"A", "B"}
        await publish(server.url, ("B", 60, 3.0))
        assert candle_summary(await stream.next_event())[:5] == ("B", 0, 2.0, 10, True)


INVALID = [
    ({"candles": "2m"}, "candles", "'2m' is not a candle interval: choose one of 1s, 5s", None),
    (
        {"candles": "5m", "events": "quote,status"},
        "candles",
        "requires candle events",
        "write events=quote,status,candle",
    ),
    ({"events": "candles"}, "events", "unknown event kind 'candles': choose from quote, candle", None),
]


@pytest.mark.parametrize(("params", "field", "detail", "hint"), INVALID)
async def test_invalid_candle_parameters_are_rejected(params, field, detail, hint) -> None:
    async with run_server() as server, open_stream(server.url, params) as stream:
        problem = await stream.read_json()
    assert (stream.status, problem["field"], problem.get("hint")) == (400, field, hint)
    assert detail in problem["detail"]


async def test_client_requests_candles_in_the_url_or_by_a_stored_subscription() -> None:
    """The client stores the subscription on the server when the watchlist is too long for a URL."""
    names = [f"SYMBOL-{number:04}" for number in range(400)]
    for symbols in (["A"], ["A", *names]):
        async with (
            run_server(clock=ManualClock()) as server,
            tickwire.connect(server.url, symbols, events="candle", candles="1h") as stream,
        ):
            await publish(server.url, ("A", 0, 1.0))
            welcome, candle = [await stream.next_event() for _ in range(2)]
            assert (welcome.name, candle.name) == ("welcome", "candle")
            assert welcome.data["subscription"]["candles"] == "1h"
            assert candle.data["interval"] == "1h"


async def test_changed_and_stored_subscriptions_keep_their_interval_over_a_restart(tmp_path: Path) -> None:
    options = {"journal": f"sqlite:{tmp_path / 'j'}", "clock": ManualClock()}
    params = {"symbols": "A", "events": "quote,candle", "candles": "5s", "client_id": "ann"}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await publish(server.url, ("A", 0, 1.0), ("B", 0, 2.0))
        subscription = {"symbols": ["B"], "candles": "1h"}
        stored_id = (await client.post("/v1/subscriptions", json=subscription)).json()["id"]
        async with open_stream(server.url, params) as stream:
            (quote,) = await stream.next_events(1)
            await client.patch("/v1/clients/ann", json={"add": ["B"]})
    async with run_server(**options) as server:
        async with open_stream(server.url, {**params, "last_event_id": quote.id}) as stream:
            subscription = (await stream.next_event()).data["subscription"]
            assert (subscription["symbols"], subscription["candles"]) == (["A", "B"], "5s")
            assert {symbol for symbol, *_ in await read_candles(stream, 2)} == {"A", "B"}
        async with open_stream(server.url, {"subscription": stored_id}) as stream:
            assert (await stream.next_event()).data["subscription"]["candles"] == "1h"
            assert (await read_candles(stream, 1))[0][:3] == ("B", 0, 2.0)


async def test_openapi_document_lists_the_intervals() -> None:
    """The document lists the intervals for streams and for stored subscriptions."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    (schema,) = [
        parameter["schema"] for parameter in paths["/v1/stream"]["get"]["parameters"] if parameter["name"] == "candles"
    ]
    body = paths["/v1/subscriptions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["enum"] == body["properties"]["candles"]["enum"]
    assert schema["default"] == "1m"


def expected_and_stored_candles(records: Sequence[JournalRecord]) -> tuple[PackedCandles, PackedCandles]:
    """Return the candles that the ticks and the clock events close, and the candle events in the journal."""
    candles, expected, stored = CandleAggregator(), [np.empty(0, CANDLE_DTYPE)], [np.empty(0, CANDLE_DTYPE)]
    for record in records:
        if record.kind is RecordKind.TICKS:
            expected.append(candles.apply(ticks_from_bytes(record.data), record.first, record.appended_ts))
        elif record.kind is RecordKind.CANDLES:
            stored.append(candles_from_bytes(record.data))
        elif (event := decode_named_event(record)).name == "clock":
            expected.append(
                closed_candles(candles.advance_watermark(decode_json(bytes(event.data), dict[str, int])["ts"] * 1000))
            )
    return np.concatenate(expected), np.concatenate(stored)


async def wait_and_compare_candles(server: RunningServer, clock: ManualClock) -> PackedCandles:
    """Wait until no candle is pending. Check that each closed candle is an event, and return the closed candles."""
    while len(server.runtime.candle_recorder.outbox):
        await clock.advance(APPEND_PAUSE_S)
    expected, stored = expected_and_stored_candles(await server.runtime.journal.read(0, limit=10**9))
    assert expected.tobytes() == stored.tobytes()
    return stored


async def test_server_on_copied_files_publishes_each_candle_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test copies the files during snapshots and appends. The copies are like the files after a kill -9.

    Each server appends only the missing events.
    """
    monkeypatch.setattr("tickwire.runtime.snapshotter.SNAPSHOT_INTERVAL_EVENTS", 70)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, clock = random.Random(seed), ManualClock()
    (tmp_path / "live").mkdir()
    second = 0.0
    async with run_server(journal=f"sqlite:{tmp_path}/live/j", clock=clock) as server:
        for number in range(6):
            for _ in range(rng.randint(1, 6)):
                second += rng.random() * 9
                await publish(server.url, *[(rng.choice("AB"), second + rng.random() * 3, 1.0) for _ in range(20)])
            copy = copy_journal_folder(tmp_path / "live", tmp_path / str(number))
            async with run_server(journal=f"sqlite:{copy}/j", clock=clock) as copy_server:
                await publish(copy_server.url, ("A", second + 100, 1.0))
                assert len(await wait_and_compare_candles(copy_server, clock)) > 0
        assert len(await wait_and_compare_candles(server, clock)) > 0


async def test_next_server_publishes_the_pending_candles(tmp_path: Path) -> None:
    """The journal of the first server rejects candles until it stops."""
    options, clock = {"journal": f"sqlite:{tmp_path / 'j'}"}, ManualClock()
    async with run_server(**options, clock=clock) as server:
        append = server.runtime.journal.append

        async def reject_candles(entry):
            if entry.kind is RecordKind.CANDLES:
                raise tickwire.errors.JournalError("the disk is full")
            return await append(entry)

        server.runtime.journal.append = reject_candles
        await publish(server.url, *[("A", second, float(second)) for second in range(5)])

        async def rejects_candles() -> bool:
            # The server retries every second. Half a second later, it finds that the journal accepts other entries.
            await clock.advance(0.25)
            problems = [problem.describe() for problem in server.runtime.health().problems]
            return len(server.runtime.candle_recorder.outbox) == 4 and "the disk is full" in " ".join(problems)

        await wait_until(rejects_candles)
    params = {"symbols": "A", "events": "candle", "candles": "1s", "delivery": "all", "since": "earliest"}
    async with run_server(**options, clock=clock) as server, open_stream(server.url, params) as stream:
        assert [start for _, start, *_ in await read_candles(stream, 4)] == [0, 1, 2, 3]
        assert len(await wait_and_compare_candles(server, clock)) == 4


@pytest.mark.skipif(not IEX.exists(), reason=f"the recorded market data are not at {IEX.parent}")
@pytest.mark.realdata
async def test_stream_and_rest_agree_on_the_candles_of_a_recording(tmp_path: Path) -> None:
    """The stream and REST return the same closed and open candles of every symbol, live and in a catch-up."""
    options = {"feed": f"replay:{IEX}", "journal": f"sqlite:{tmp_path / 'j'}", "speed": 0}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        # The first stream is live while the recording is played.
        for interval in ("1s", "1m", "15m"):
            params = {"events": "candle", "candles": interval, "delivery": "all", "since": "earliest"}
            async with open_stream(server.url, params) as stream:
                await stream.next_event()
                while server.runtime.status.state != "halted" or len(server.runtime.candle_recorder.outbox):
                    await asyncio.sleep(0.01)
                expected: dict[tuple, dict] = {}
                for symbol in server.runtime.hub.board.symbols:
                    query = {"interval": interval, "limit": 5000}
                    expected |= candles_by_key((await client.get(f"/v1/candles/{symbol}", params=query)).json())
                events = await read_until_complete(stream, expected)
            closed = [event.sequence for event in events if event.data["closed"]]
            assert closed == sorted(set(closed))
            assert len(closed) == sum(candle["closed"] for candle in expected.values())


async def read_until_complete(stream: WireStream, expected: dict[tuple, dict]) -> list[WireEvent]:
    """Read events until each expected candle has been received, and return them."""
    events: list[WireEvent] = []
    missing = dict(expected)
    while missing:
        events.append(await stream.next_event())
        candle = events[-1].data
        key = (candle["symbol"], candle["start"])
        assert candle["closed"] == (events[-1].id is not None)
        if expected[key] == candle:
            missing.pop(key, None)
    return events


def candles_by_key(candles: Sequence[dict]) -> dict[tuple, dict]:
    """Return the candles by symbol and start."""
    return {(candle["symbol"], candle["start"]): candle for candle in candles}
