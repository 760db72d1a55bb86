"""Candle events over the wire: through both sinks, after restarts and copies of the files, from a recording."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import httpx2
import numpy as np
import pytest

import tickwire
from tickwire.core.candle import CANDLE, PackedCandles, unpack_candles
from tickwire.core.codec import decode
from tickwire.core.event import Kind, Record, read_named
from tickwire.core.tick import unpack
from tickwire.market.candles import Candles
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.wire import WireEvent, WireStream, open_stream

T0 = 1_767_366_000_000_000  # microseconds; where a ManualClock starts
IEX = Path(__file__).parents[3] / "shared" / "data" / "r1_clear" / "iex_tops_20260713_events_A.csv.gz"


@pytest.fixture(params=[True, False], ids=["fast sink", "plain sink"])
async def server(request):
    async with run_server(fast=request.param, clock=ManualClock()) as running:
        yield running


async def publish(url: str, *trades: tuple[str, float, float]) -> None:
    """Trades of 10 as (symbol, seconds after T0, price)."""
    body = [{"symbol": s, "ts": T0 + round(at * 1e6), "last": price, "size": 10} for s, at, price in trades]
    async with httpx2.AsyncClient(base_url=url, verify=False) as client:
        assert (await client.post("/v1/quotes", json=body)).status_code == 201


async def pace(server: RunningServer, seconds: float = 1.0) -> None:
    """Let the server's clock go on."""
    await server.app._clock.advance(seconds)


def brief(event: WireEvent) -> tuple:
    """Symbol, start in seconds after T0, close, volume, whether closed, whether it has an id."""
    data = event.data
    assert event.name == "candle"
    return (
        data["symbol"], (data["start"] - T0) / 1e6, data["close"], data["volume"], data["closed"], event.id is not None
    )  # fmt: skip


async def next_candles(stream: WireStream, count: int) -> list[tuple]:
    return [brief(event) for event in await stream.events(count, name="candle")]


async def test_candles_form_and_close_on_a_stream(server) -> None:
    """Forming ones at once and as they change, without ids; a closed one once, with an id to come back with."""
    await publish(server.url, ("A", 0, 1.0), ("B", 0, 1.0))
    params = {"symbols": "A", "events": "candle", "candles": "5s"}
    async with open_stream(server.url, params) as stream:
        subscription = (await stream.event()).data["subscription"]
        assert (subscription["events"], subscription["candles"]) == (["candle"], "5s")
        assert await next_candles(stream, 1) == [("A", 0, 1.0, 10, False, False)]
        await publish(server.url, ("A", 1, 2.0), ("B", 1, 2.0))
        await pace(server)
        assert await next_candles(stream, 1) == [("A", 0, 2.0, 20, False, False)]
        await publish(server.url, ("A", 6, 3.0))
        closed = await stream.event()
        assert brief(closed) == ("A", 0, 2.0, 20, True, True)
        assert closed.data == {
            "symbol": "A", "interval": "5s", "start": T0, "open": 1.0, "high": 2.0, "low": 1.0, "close": 2.0,
            "volume": 20, "closed": True,
        }  # fmt: skip
        await pace(server)
        assert await next_candles(stream, 1) == [("A", 5, 3.0, 10, False, False)]
    await publish(server.url, ("A", 11, 4.0), ("A", 16, 5.0))
    for delivery in ("latest", "all"):
        async with open_stream(server.url, {**params, "delivery": delivery, "last_event_id": closed.id}) as stream:
            assert await next_candles(stream, 3) == [
                ("A", 5, 3.0, 10, True, True), ("A", 10, 4.0, 10, True, True), ("A", 15, 5.0, 10, False, False),
            ]  # fmt: skip


async def test_a_paced_reader_gets_all_that_closed_with_its_flush(server) -> None:
    """Beside the newest quote; quotes and candles in the order of ids, the forming candle last."""
    params = {"symbols": "A", "candles": "1s", "interval": "3s"}
    async with open_stream(server.url, params) as stream:
        assert (await stream.event()).data["subscription"]["events"] == ["quote", "candle"]
        await pace(server)
        for second in range(4):
            await publish(server.url, ("A", second, second))
        await pace(server, 4)
        events = [await stream.event() for _ in range(5)]
    assert [event.name for event in events].count("quote") == 1
    assert [brief(event)[1:3] for event in events if event.name == "candle"] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    numbers = [event.sequence for event in events]
    assert numbers[:-1] == sorted(numbers[:-1])
    assert events[-1].id is None


async def test_time_closes_a_candle_on_a_stream(server) -> None:
    """Where no tick comes, some seconds after its end."""
    async with open_stream(server.url, {"symbols": "A", "events": "candle", "candles": "1s"}) as stream:
        await stream.event()
        await publish(server.url, ("A", 0, 1.0))
        await pace(server, 10)  # more than it takes: the archive's thread does not go by this clock
        first, second = [await stream.event(), await stream.event()]
    assert [brief(event)[4] for event in (first, second)] == [False, True]


async def test_an_added_symbol_comes_with_its_forming_candle(server) -> None:
    """A live change of symbols, and what is sent without a reconnect."""
    await publish(server.url, ("A", 0, 1.0), ("B", 0, 2.0))
    async with open_stream(server.url, {"symbols": "A", "events": "candle", "client_id": "ann"}) as stream:
        assert await next_candles(stream, 1) == [("A", 0, 1.0, 10, False, False)]
        async with httpx2.AsyncClient(base_url=server.url) as client:
            answer = await client.patch("/v1/clients/ann", json={"add": ["B"]})
            assert answer.json()[0]["subscription"]["candles"] == "1m"
        assert (await stream.event()).name == "subscription"
        assert {brief(await stream.event())[0] for _ in range(2)} == {"A", "B"}
        await publish(server.url, ("B", 60, 3.0))
        assert brief(await stream.event())[:5] == ("B", 0, 2.0, 10, True)


WRONG = [
    ({"candles": "2m"}, "candles", "'2m' is no interval: choose one of 1s, 5s", None),
    ({"candles": "5m", "events": "quote,status"}, "candles", "events= lists none", "events=quote,status,candle"),
    ({"events": "candles"}, "events", "no kind of event: choose from quote, candle", None),
]


@pytest.mark.parametrize(("params", "field", "detail", "hint"), WRONG)
async def test_what_is_wrong_with_candles_is_named(params, field, detail, hint) -> None:
    """An interval there is none of, and one for events that are not asked for."""
    async with run_server() as server, open_stream(server.url, params) as stream:
        problem = await stream.body()
    assert (stream.status, problem["field"], problem.get("hint")) == (400, field, hint)
    assert detail in problem["detail"]


async def test_candles_by_the_client_and_by_a_kept_subscription() -> None:
    """connect(candles=...), with a watchlist too long for a URL as well."""
    names = [f"SYMBOL-{number:04}" for number in range(400)]
    for symbols in (["A"], ["A", *names]):
        async with (
            run_server(clock=ManualClock()) as server,
            tickwire.connect(server.url, symbols, events="candle", candles="1h") as stream,
        ):
            await publish(server.url, ("A", 0, 1.0))
            found = [await stream.next_event() for _ in range(2)]
            assert [event.name for event in found] == ["welcome", "candle"]
            assert found[0].data["subscription"]["candles"] == "1h"
            assert found[1].data["interval"] == "1h"


async def test_what_was_changed_or_put_down_keeps_its_interval_over_a_restart(tmp_path: Path) -> None:
    """A reader that comes back, and one that names a list, have the candles that were asked for."""
    options = {"journal": f"sqlite:{tmp_path / 'j'}", "clock": ManualClock()}
    params = {"symbols": "A", "events": "quote,candle", "candles": "5s", "client_id": "ann"}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await publish(server.url, ("A", 0, 1.0), ("B", 0, 2.0))
        put = {"symbols": ["B"], "candles": "1h"}
        name = (await client.post("/v1/subscriptions", json=put)).json()["id"]
        async with open_stream(server.url, params) as stream:
            (quote,) = await stream.events(1)
            await client.patch("/v1/clients/ann", json={"add": ["B"]})
    async with run_server(**options) as server:
        async with open_stream(server.url, {**params, "last_event_id": quote.id}) as stream:
            subscription = (await stream.event()).data["subscription"]
            assert (subscription["symbols"], subscription["candles"]) == (["A", "B"], "5s")
            assert {each[0] for each in await next_candles(stream, 2)} == {"A", "B"}
        async with open_stream(server.url, {"subscription": name}) as stream:
            assert (await stream.event()).data["subscription"]["candles"] == "1h"
            assert (await next_candles(stream, 1))[0][:3] == ("B", 0, 2.0)


async def test_the_api_document_knows_the_parameter() -> None:
    """With its values, for streams and for subscriptions that are put down."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    (schema,) = [each["schema"] for each in paths["/v1/stream"]["get"]["parameters"] if each["name"] == "candles"]
    body = paths["/v1/subscriptions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["enum"] == body["properties"]["candles"]["enum"]
    assert schema["default"] == "1m"


def of_events(records: Sequence[Record]) -> tuple[PackedCandles, PackedCandles]:
    """What ticks and passing time close, all of it; and what the journal has as events."""
    candles, made, told = Candles(), [np.empty(0, CANDLE)], [np.empty(0, CANDLE)]
    for record in records:
        if record.kind is Kind.TICKS:
            made.append(candles.apply(unpack(record.data), record.first, record.ts))
        elif record.kind is Kind.CANDLES:
            told.append(unpack_candles(record.data))
        elif read_named(record).name == "clock":
            made.append(candles.pass_time(decode(bytes(read_named(record).data), dict[str, int])["ts"] * 1000))
    return np.concatenate(made), np.concatenate(told)


async def all_told(server: RunningServer, clock: ManualClock) -> PackedCandles:
    """Wait until nothing is owed, and compare what was told with what closed."""
    while len(server.runtime.chronicle.owed):
        await clock.advance(0)
    made, told = of_events(await server.runtime.journal.read(0, limit=10**9))
    assert made.tobytes() == told.tobytes()
    return told


async def test_a_copy_of_the_files_at_any_moment_tells_each_candle_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after kill -9, with summaries and appends under way: what the copy lacks of events it makes good, no more."""
    monkeypatch.setattr("tickwire.runtime.STATE_EVERY", 70)
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
            copy = shutil.copytree(tmp_path / "live", tmp_path / str(number))
            async with run_server(journal=f"sqlite:{copy}/j", clock=clock) as other:
                await publish(other.url, ("A", second + 100, 1.0))
                assert len(await all_told(other, clock)) > 0
        assert len(await all_told(server, clock)) > 0


async def test_what_a_stopped_server_owed_is_told_by_the_next(tmp_path: Path) -> None:
    """Where the journal took no candles to the end, the next server's readers get them, each once."""
    options, clock = {"journal": f"sqlite:{tmp_path / 'j'}"}, ManualClock()
    async with run_server(**options, clock=clock) as server:
        append = server.runtime.journal.append

        async def refuse(entry):
            if entry.kind is Kind.CANDLES:
                raise tickwire.errors.JournalError("the disk is full")
            return await append(entry)

        server.runtime.journal.append = refuse
        await publish(server.url, *[("A", second, float(second)) for second in range(5)])
        await clock.advance(2.25)  # they are refused every second; half a second later a look finds that others are not
        assert len(server.runtime.chronicle.owed) == 4
        assert "the disk is full" in server.runtime.health().problems[0]
    params = {"symbols": "A", "events": "candle", "candles": "1s", "delivery": "all", "since": "earliest"}
    async with run_server(**options, clock=clock) as server, open_stream(server.url, params) as stream:
        assert [start for _, start, *_ in await next_candles(stream, 4)] == [0, 1, 2, 3]
        assert len(await all_told(server, clock)) == 4


@pytest.mark.skipif(not IEX.exists(), reason=f"the recorded market data are not at {IEX.parent}")
@pytest.mark.realdata
@pytest.mark.timeout(60)
async def test_candles_of_a_recording_are_the_same_on_a_stream_and_on_request(tmp_path: Path) -> None:
    """Of every symbol, those that closed and those that form at the end; live, and from the past."""
    options = {"feed": f"replay:{IEX}", "journal": f"sqlite:{tmp_path / 'j'}", "speed": 0}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        for interval in ("1s", "1m", "15m"):  # the first of them while it is played
            params = {"events": "candle", "candles": interval, "delivery": "all", "since": "earliest"}
            async with open_stream(server.url, params) as stream:
                await stream.event()
                while server.runtime.status.state != "halted" or len(server.runtime.chronicle.owed):
                    await asyncio.sleep(0.01)
                expected: dict[tuple, dict] = {}
                for symbol in server.runtime.hub.board.symbols:
                    query = {"interval": interval, "limit": 5000}
                    expected |= keyed((await client.get(f"/v1/candles/{symbol}", params=query)).json())
                seen = await until_complete(stream, expected)
            closed = [event.sequence for event in seen if event.data["closed"]]
            assert closed == sorted(set(closed))
            assert len(closed) == sum(candle["closed"] for candle in expected.values())


async def until_complete(stream: WireStream, expected: dict[tuple, dict]) -> list[WireEvent]:
    """The events until a chart of them shows what is expected."""
    seen: list[WireEvent] = []
    missing = dict(expected)
    while missing:
        seen.append(await stream.event())
        candle = seen[-1].data
        key = (candle["symbol"], candle["start"])
        assert candle["closed"] == (seen[-1].id is not None)
        if expected[key] == candle:
            missing.pop(key, None)
    return seen


def keyed(candles: Sequence[dict]) -> dict[tuple, dict]:
    """As a chart keeps them."""
    return {(candle["symbol"], candle["start"]): candle for candle in candles}
