"""What a stream is made of."""

from __future__ import annotations

import asyncio
from time import perf_counter, time_ns

import pytest

from tickwire.core.quote import QUOTE_FIELDS
from tickwire.testing.wire import WireEvent, WireStream, open_stream

pytestmark = pytest.mark.asyncio(loop_scope="module")  # a server for all of them


async def test_a_reader_is_welcomed_gets_the_state_and_then_what_happens(wire) -> None:
    """Welcome, snapshot, live, in that order; quotes have no name, ids only grow and are of one epoch."""
    await wire.publish(A=187.25, M=420.5)
    await wire.publish(A=187.26)
    async with wire.stream("A,M,NEW") as stream:
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert (stream.headers["cache-control"], stream.headers["x-accel-buffering"]) == ("no-store", "no")
        assert "accept-encoding" in stream.headers["vary"].lower()
        data = await wire.welcome(stream)
        events = await stream.events(2)
        published = await wire.publish(NEW=1)
        events += await stream.events(1)
        assert wire.pairs(events) == [("M", 420.5), ("A", 187.26), ("NEW", 1.0)]
        assert events[2].id == published["first_id"]
        epoch, _, head = data["head"].partition("-")
        assert {event.id.partition("-")[0] for event in events} == {epoch}
        sequences = [event.sequence for event in events]
        assert sequences[0] < sequences[1] <= int(head) < sequences[2]


async def test_the_welcome_tells_what_is_in_force(wire) -> None:
    """Client id, mode, heartbeat, the whole subscription with its defaults, no resume; and a time to wait."""
    async with wire.stream("A,B") as stream, wire.stream("A,B", client_id=f"{wire.prefix}ann") as named:
        event = await stream.event()
        assert 1000 <= event.retry < 2000
        data = event.data
        assert set(data) == {"client_id", "head", "mode", "heartbeat", "delay", "subscription", "resume"}
        assert (data["mode"], data["delay"], data["resume"]) == ("live", 0, None)
        assert data["subscription"] == {
            "symbols": wire.named("A,B").split(","), "filter": None, "events": ["quote"], "fields": list(QUOTE_FIELDS),
            "candles": None, "interval": 0, "delivery": "latest", "snapshot": True,
        }  # fmt: skip
        assert (await wire.welcome(named))["client_id"] == f"{wire.prefix}ann" != data["client_id"]


async def test_a_quote_has_every_field_and_null_for_what_is_not_known(wire) -> None:
    """Times are in microseconds, change_rate in percent, and it is what the board shows."""
    tick = {"symbol": wire.named("A"), "last": 100, "bid": 99.5, "ask": None, "size": 2}
    await wire.client.post("/v1/quotes", json=[tick])
    await wire.client.post("/v1/quotes", json=[{"symbol": wire.named("A"), "last": 101.25, "size": 3}])
    async with wire.stream("A") as stream:
        (event,) = await stream.events(1)
    quote = event.data
    assert list(quote) == list(QUOTE_FIELDS)
    assert (quote["open"], quote["high"], quote["low"], quote["volume"], quote["bid"]) == (100, 101.25, 100, 5, 99.5)
    assert (quote["ask"], quote["pe"], quote["prev_close"], quote["change_rate"]) == (None, None, None, None)
    assert quote["vwap"] == pytest.approx((2 * 100 + 3 * 101.25) / 5, abs=0.01)
    assert 1.7e15 < quote["ts"] < 2e16
    assert (await wire.client.get(f"/v1/quotes/{wire.named('A')}")).json() == quote


async def test_symbols_are_lists_and_patterns(wire) -> None:
    """Unknown ones start when they first trade; others do not come."""
    async with wire.stream("BTC-*,A") as stream:
        await wire.welcome(stream)
        await wire.publish(B=1, A=2)
        await wire.publish(**{"BTC-X": 3, "ETH-X": 4, "A": 5})
        assert await wire.quotes(stream, 3) == [("A", 2.0), ("BTC-X", 3.0), ("A", 5.0)]


@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_a_projection_sends_only_the_fields_asked_for(wire, delivery: str) -> None:
    """In snapshot, live flow and resume alike; `symbol` is always there, and the order is the quote's."""
    params = {"fields": "ts,last", "delivery": delivery}
    await wire.publish(A=1)
    async with wire.stream("A", **params) as stream, wire.stream("A") as whole:
        assert (await wire.welcome(stream))["subscription"]["fields"] == ["symbol", "last", "ts"]
        (snapshot,) = await stream.events(1)
        await wire.publish(A=2)
        (live,) = await stream.events(1)
        full = await whole.events(2)
    async with wire.stream("A", **params, headers={"Last-Event-ID": snapshot.id}) as resumed:
        assert await resumed.events(1) == [live]
    for event, complete in zip((snapshot, live), full, strict=True):
        assert event.id == complete.id
        assert list(event.data) == ["symbol", "last", "ts"]
        assert event.data == {name: complete.data[name] for name in event.data}


async def test_without_a_snapshot_only_what_happens_comes(wire) -> None:
    """`snapshot=false`: the current quotes are left out."""
    await wire.publish(A=1, B=1)
    async with wire.stream("A,B", snapshot="false") as stream:
        assert (await wire.welcome(stream))["subscription"]["snapshot"] is False
        await wire.publish(B=2)
        assert await wire.quotes(stream, 1) == [("B", 2.0)]


async def test_a_paced_reader_gets_the_newest_at_most_once_an_interval(wire) -> None:
    """Many prices in between are left out; the last one comes."""
    async with wire.stream("A", interval="200ms") as stream:
        assert (await wire.welcome(stream))["subscription"]["interval"] == 200
        published = 0
        arrivals: list[tuple[float, float]] = []

        async def read() -> None:
            while len(arrivals) < 4:
                ((_, price),) = await wire.quotes(stream, 1)
                arrivals.append((perf_counter(), price))

        reading = asyncio.create_task(read())
        while not reading.done():
            published += 1
            await wire.publish(A=published)
        await reading
        seen = [price for _, price in arrivals]
        assert seen == sorted(set(seen))
        assert (arrivals[-1][0] - arrivals[0][0]) / 3 >= 0.1
        await wire.publish(A=published + 1)
        while seen[-1] != published + 1:
            seen.append((await wire.quotes(stream, 1))[0][1])


async def test_a_filter_takes_and_tells(wire) -> None:
    """`matches` first, then only the quotes it takes; an `enter` before its quote, a `leave` in place of one."""
    await wire.publish(A=11, B=5)
    async with wire.stream("A,B", filter="last > 10") as stream:
        assert (await wire.welcome(stream))["subscription"]["events"] == ["quote", "screen"]
        matches = await stream.event()
        assert (matches.name, matches.id) == ("matches", None)
        assert matches.data == {"filter": "last > 10", "symbols": [wire.named("A")]}
        assert await wire.quotes(stream, 1) == [("A", 11.0)]
        await wire.publish(B=12, A=9)
        enter, quote, leave = [await stream.event() for _ in range(3)]
        assert [event.name for event in (enter, quote, leave)] == ["enter", "quote", "leave"]
        assert (enter.id, enter.data["quote"]["last"], enter.data["symbol"]) == (None, 12.0, wire.named("B"))
        assert (leave.data["symbol"], leave.data["quote"]["last"]) == (wire.named("A"), 9.0)
        assert quote.sequence < leave.sequence


@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_candles_form_without_ids_and_close_once_with_one(wire, delivery: str) -> None:
    """Whatever the filter. Who comes back with the id of a closed one is told of those that closed after it."""
    second, size = time_ns() // 10**9 * 10**6, 10**6
    params = {"events": "candle", "candles": "1s", "delivery": delivery}
    await wire.publish(second, A=1, B=1)
    async with wire.stream("A", **params, filter="last > 100") as stream:
        assert (await wire.welcome(stream))["subscription"]["candles"] == "1s"
        (forming,) = await stream.events(1, name="candle")
        assert forming.id is None
        assert forming.data == {
            "symbol": wire.named("A"), "interval": "1s", "start": second, "open": 1, "high": 1, "low": 1, "close": 1,
            "volume": 0, "closed": False,
        }  # fmt: skip
        await wire.publish(second + size, A=2)
        closed = await next_closed(stream)
        assert (bool(closed.id), closed.data) == (True, forming.data | {"closed": True})
    await wire.publish(second + 2 * size, A=3)
    async with wire.stream("A", **params, headers={"Last-Event-ID": closed.id}) as resumed:
        event = await next_closed(resumed)
        assert (event.data["start"], event.data["close"]) == (second + size, 2)
        assert event.sequence > closed.sequence
        await wire.publish(second + 3 * size, A=4)
        assert (await next_closed(resumed)).data["start"] == second + 2 * size


async def next_closed(stream: WireStream) -> WireEvent:
    """The next candle that has closed."""
    while True:
        (event,) = await stream.events(1, name="candle")
        if event.data["closed"]:
            return event


async def test_an_interval_of_candles_asks_for_them_and_quotes(wire) -> None:
    """`candles=` without `events=`; a forming one comes again as it has become, after it has changed."""
    await wire.publish(A=1)
    async with wire.stream("A", candles="1d") as stream:
        subscription = (await wire.welcome(stream))["subscription"]
        assert (subscription["events"], subscription["candles"]) == (["quote", "candle"], "1d")
        assert await wire.quotes(stream, 1) == [("A", 1.0)]
        assert (await stream.events(1, name="candle"))[0].data["close"] == 1
        await wire.publish(A=3)
        (event,) = await stream.events(1, name="candle")
        assert (event.data["open"], event.data["high"], event.data["close"]) == (1, 3, 3)


async def test_many_come_at_once(wire) -> None:
    """Fifty readers of one list, in three codings: each has every event, in order."""
    await wire.publish(A=0)
    ready = asyncio.Semaphore(0)

    async def read(coding: str) -> list[tuple[str, float]]:
        async with wire.stream("A", delivery="all", headers={"Accept-Encoding": coding}) as stream:
            await wire.welcome(stream)
            ready.release()
            return await wire.quotes(stream, 21)

    codings = ("identity", "gzip", "zstd")
    reading = [asyncio.create_task(read(codings[number % 3])) for number in range(50)]
    for _ in reading:
        await ready.acquire()
    for price in range(1, 21):
        await wire.publish(A=price)
    assert {tuple(seen) for seen in await asyncio.gather(*reading)} == {tuple(("A", float(p)) for p in range(21))}


async def test_the_kinds_of_events_are_those_asked_for(wire) -> None:
    """A status is state: the newest comes with the snapshot. Without `quote` there are no quotes."""
    await wire.publish(A=1)
    async with wire.stream("A", events="quote,status") as both, wire.stream("A", events="status") as status:
        await wire.welcome(both)
        names = {(await both.event()).name for _ in range(2)}
        assert names == {"quote", "status"}
        await wire.welcome(status)
        event = await status.event()
        assert event.name == "status"
        assert event.id
        assert set(event.data) >= {"feed", "mode", "state", "symbol", "last_tick_ts"}
        assert event.data["state"] in ("waiting", "running", "stale", "halted")


@pytest.mark.timeout(60)
async def test_silence_is_filled_with_heartbeats(wire) -> None:
    """When nothing was sent for `heartbeat` seconds a comment comes, with the server's time and head."""
    async with wire.stream("A") as stream:
        data = await wire.welcome(stream)
        if data["heartbeat"] > 20:
            pytest.skip(f"a heartbeat of {data['heartbeat']} s is too long to wait for")
        for _ in range(2):
            beat = await stream.event(patience=data["heartbeat"] + 5)
            assert beat.name == "comment"
            kind, ts, head = beat.text.split()
            assert kind == "hb"
            assert int(ts) > 1_700_000_000_000_000
            assert head.partition("-")[0] == data["head"].partition("-")[0]
            assert int(head.partition("-")[2]) >= int(data["head"].partition("-")[2])


WRONG = [
    ({"symbol": "A"}, "symbol", "unknown parameter"),
    ({"interval": "5ms"}, "interval", "from 10ms to 60s, or 0"),
    ({"interval": "1m"}, "interval", "from 10ms to 60s, or 0"),
    ({"interval": "1s", "delivery": "all"}, "interval", "delivery=all leaves none out"),
    ({"fields": "last,prise"}, "fields", "'prise' is no field of a quote"),
    ({"symbols": "A,B C"}, "symbols", "'B C' cannot be a symbol"),
    ({"symbols": ""}, "symbols", "cannot be a symbol"),
    ({"symbols": "A" * 17}, "symbols", "cannot be a symbol"),
    ({"symbols": ",".join(f"A{number}*" for number in range(17))}, "symbols", "more than 16 patterns"),
    ({"delivery": "some"}, "delivery", "choose latest or all"),
    ({"snapshot": "maybe"}, "snapshot", "choose true or false"),
    ({"events": "quote,noise"}, "events", "'noise' is no kind of event"),
    ({"candles": "2m"}, "candles", "'2m' is no interval"),
    ({"candles": "5m", "events": "quote"}, "candles", "events= lists none"),
    ({"since": "yesterday"}, "since", "neither 'earliest' nor an event id"),
    ({"last_event_id": "12"}, "last_event_id", "not an event id"),
    ({"client_id": ""}, "client_id", "client_id"),
    ({"client_id": "x" * 65}, "client_id", "client_id"),
    ({"client_id": "user:ann"}, "client_id", "for users"),
    ({"filter": "last >"}, "filter", ""),
]


@pytest.mark.parametrize(("params", "field", "says"), WRONG)
async def test_a_wrong_parameter_is_named(wire, params: dict, field: str, says: str) -> None:
    """400, a problem document, the field and what is wrong with it."""
    async with open_stream(wire.url, params) as stream:
        assert (stream.status, stream.headers["content-type"]) == (400, "application/problem+json")
        problem = await stream.body()
    assert {"type", "title", "status", "detail", "field"} <= set(problem)
    assert (problem["status"], problem["field"]) == (400, field)
    assert says in problem["detail"]


async def test_a_parameter_given_twice_is_wrong(wire) -> None:
    """Neither of the two is taken."""
    answer = await wire.client.get("/v1/stream?symbols=A&symbols=B")
    assert (answer.status_code, answer.json()["field"]) == (400, "symbols")


async def test_other_methods_are_refused_and_head_answers_without_a_body(wire) -> None:
    """POST is 405 with Allow; HEAD has the stream's headers."""
    answer = await wire.client.post("/v1/stream")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.json()["status"] == 405
    head = await wire.client.head("/v1/stream")
    assert head.status_code == 200
    assert head.headers["content-type"].startswith("text/event-stream")


async def test_a_query_that_is_too_long_is_told_where_to_go(wire) -> None:
    """414 beyond 32 KB, with the other way to say it."""
    answer = await wire.client.get(f"/v1/stream?symbols={'A,' * 17_000}A")
    assert answer.status_code == 414
    assert "POST /v1/subscriptions" in answer.json()["detail"]
