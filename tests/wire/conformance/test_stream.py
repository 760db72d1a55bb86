"""Conformance of a stream's events, parameters and errors."""

from __future__ import annotations

import asyncio
from time import perf_counter, time_ns

import pytest

from tickwire.core.quote import QUOTE_FIELDS
from tickwire.testing.wire import WireEvent, WireStream, open_stream

# The tests of a module share one server.
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_stream_starts_with_a_welcome_then_the_snapshot_then_live_events(wire) -> None:
    """Quotes have no event name. The ids of a stream increase, and all have the same epoch."""
    await wire.publish(A=187.25, M=420.5)
    await wire.publish(A=187.26)
    async with wire.stream("A,M,NEW") as stream:
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert (stream.headers["cache-control"], stream.headers["x-accel-buffering"]) == ("no-store", "no")
        assert "accept-encoding" in stream.headers["vary"].lower()
        data = await wire.read_welcome(stream)
        events = await stream.next_events(2)
        published = await wire.publish(NEW=1)
        events += await stream.next_events(1)
        assert wire.symbol_prices(events) == [("M", 420.5), ("A", 187.26), ("NEW", 1.0)]
        assert events[2].id == published["first_id"]
        epoch, _, head = data["head"].partition("-")
        assert {event.id.partition("-")[0] for event in events} == {epoch}
        sequences = [event.sequence for event in events]
        assert sequences[0] < sequences[1] <= int(head) < sequences[2]


async def test_the_welcome_describes_the_stream(wire) -> None:
    """The welcome contains the client id, mode, heartbeat, subscription with defaults, and reconnect delay."""
    async with wire.stream("A,B") as stream, wire.stream("A,B", client_id=f"{wire.prefix}ann") as named:
        event = await stream.next_event()
        assert 1000 <= event.retry < 2000
        data = event.data
        assert set(data) == {"client_id", "head", "mode", "heartbeat", "delay", "subscription", "resume"}
        assert (data["mode"], data["delay"], data["resume"]) == ("live", 0, None)
        assert data["subscription"] == {
            "symbols": wire.prefixed("A,B").split(","), "filter": None, "events": ["quote"],
            "fields": list(QUOTE_FIELDS), "candles": None, "interval": 0, "delivery": "latest", "snapshot": True,
        }  # fmt: skip
        assert (await wire.read_welcome(named))["client_id"] == f"{wire.prefix}ann" != data["client_id"]


async def test_a_quote_has_every_field_and_null_for_unknown_values(wire) -> None:
    """Times are in microseconds. The stream and /v1/quotes return the same quote."""
    tick = {"symbol": wire.prefixed("A"), "last": 100, "bid": 99.5, "ask": None, "size": 2}
    await wire.client.post("/v1/quotes", json=[tick])
    await wire.client.post("/v1/quotes", json=[{"symbol": wire.prefixed("A"), "last": 101.25, "size": 3}])
    async with wire.stream("A") as stream:
        (event,) = await stream.next_events(1)
    quote = event.data
    assert list(quote) == list(QUOTE_FIELDS)
    assert (quote["open"], quote["high"], quote["low"], quote["volume"], quote["bid"]) == (100, 101.25, 100, 5, 99.5)
    assert (quote["ask"], quote["pe"], quote["prev_close"], quote["change_rate"]) == (None, None, None, None)
    assert quote["vwap"] == pytest.approx((2 * 100 + 3 * 101.25) / 5, abs=0.01)
    assert 1.7e15 < quote["ts"] < 2e16
    assert (await wire.client.get(f"/v1/quotes/{wire.prefixed('A')}")).json() == quote


async def test_symbols_may_be_patterns(wire) -> None:
    """The quotes of a matching symbol are sent from its first trade on. The quotes of other symbols are not sent."""
    async with wire.stream("BTC-*,A") as stream:
        await wire.read_welcome(stream)
        await wire.publish(B=1, A=2)
        await wire.publish(**{"BTC-X": 3, "ETH-X": 4, "A": 5})
        assert await wire.next_prices(stream, 3) == [("A", 2.0), ("BTC-X", 3.0), ("A", 5.0)]


@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_a_projection_sends_only_the_requested_fields(wire, delivery: str) -> None:
    """The projection applies to the snapshot, live quotes and resumed streams.

    `symbol` is always sent. The fields have the same order as in a complete quote.
    """
    params = {"fields": "ts,last", "delivery": delivery}
    await wire.publish(A=1)
    async with wire.stream("A", **params) as stream, wire.stream("A") as unprojected:
        assert (await wire.read_welcome(stream))["subscription"]["fields"] == ["symbol", "last", "ts"]
        (snapshot,) = await stream.next_events(1)
        await wire.publish(A=2)
        (live,) = await stream.next_events(1)
        full = await unprojected.next_events(2)
    async with wire.stream("A", **params, headers={"Last-Event-ID": snapshot.id}) as resumed:
        assert await resumed.next_events(1) == [live]
    for event, complete in zip((snapshot, live), full, strict=True):
        assert event.id == complete.id
        assert list(event.data) == ["symbol", "last", "ts"]
        assert event.data == {name: complete.data[name] for name in event.data}


async def test_without_a_snapshot_only_live_quotes_are_sent(wire) -> None:
    await wire.publish(A=1, B=1)
    async with wire.stream("A,B", snapshot="false") as stream:
        assert (await wire.read_welcome(stream))["subscription"]["snapshot"] is False
        await wire.publish(B=2)
        assert await wire.next_prices(stream, 1) == [("B", 2.0)]


async def test_a_paced_reader_gets_the_newest_quote_at_most_once_an_interval(wire) -> None:
    """The server skips intermediate prices, but always sends the last price."""
    async with wire.stream("A", interval="200ms") as stream:
        assert (await wire.read_welcome(stream))["subscription"]["interval"] == 200
        published = 0
        arrivals: list[tuple[float, float]] = []

        def mean_interval_s() -> float:
            return (arrivals[-1][0] - arrivals[0][0]) / (len(arrivals) - 1)

        async def read() -> None:
            # On a busy machine, several quotes may arrive late and together. This has little effect on the mean of many
            # intervals.
            while len(arrivals) < 4 or (mean_interval_s() < 0.1 and len(arrivals) < 50):
                ((_, price),) = await wire.next_prices(stream, 1)
                arrivals.append((perf_counter(), price))

        reading = asyncio.create_task(read())
        while not reading.done():
            published += 1
            await wire.publish(A=published)
        await reading
        seen = [price for _, price in arrivals]
        assert seen == sorted(set(seen))
        assert mean_interval_s() >= 0.1
        await wire.publish(A=published + 1)
        while seen[-1] != published + 1:
            seen.append((await wire.next_prices(stream, 1))[0][1])


async def test_a_filter_selects_quotes_and_sends_screen_events(wire) -> None:
    """The server sends the `matches` event first, and then only matching quotes.

    When a symbol begins to match, an `enter` event precedes its quote. When a symbol no longer matches, a `leave` event
    replaces its quote.
    """
    await wire.publish(A=11, B=5)
    async with wire.stream("A,B", filter="last > 10") as stream:
        assert (await wire.read_welcome(stream))["subscription"]["events"] == ["quote", "screen"]
        matches = await stream.next_event()
        assert (matches.name, matches.id) == ("matches", None)
        assert matches.data == {"filter": "last > 10", "symbols": [wire.prefixed("A")]}
        assert await wire.next_prices(stream, 1) == [("A", 11.0)]
        await wire.publish(B=12, A=9)
        enter, quote, leave = [await stream.next_event() for _ in range(3)]
        assert [event.name for event in (enter, quote, leave)] == ["enter", "quote", "leave"]
        assert (enter.id, enter.data["quote"]["last"], enter.data["symbol"]) == (None, 12.0, wire.prefixed("B"))
        assert (leave.data["symbol"], leave.data["quote"]["last"]) == (wire.prefixed("A"), 9.0)
        assert quote.sequence < leave.sequence


async def test_an_order_selects_the_first_symbols(wire) -> None:
    """The first `matches` event lists the best symbol first. A symbol may enter and leave without a new quote.

    The quote of such a symbol has no id.
    """
    await wire.publish(A=1, B=2, C=3)
    async with wire.stream("A,B,C", order="last desc", top=2) as stream:
        subscription = (await wire.read_welcome(stream))["subscription"]
        assert (subscription["order"], subscription["top"], subscription["interval"]) == ("last desc", 2, 100)
        matches = await stream.next_event()
        assert (matches.name, matches.data) == (
            "matches",
            {"filter": None, "symbols": [wire.prefixed("C"), wire.prefixed("B")]},
        )
        members = {*matches.data["symbols"]}
        await wire.publish(C=0)
        seen_quotes = {}
        while members != {wire.prefixed("A"), wire.prefixed("B")} or wire.prefixed("A") not in seen_quotes:
            event = await stream.next_event()
            if event.name == "matches":
                members = {*event.data["symbols"]}
            elif event.name == "enter":
                assert (event.id, event.data["quote"]["last"]) == (None, 1.0)
                members.add(event.data["symbol"])
            elif event.name == "leave":
                members.discard(event.data["symbol"])
            else:
                seen_quotes[event.data["symbol"]] = event
        entered = seen_quotes[wire.prefixed("A")]
        assert (entered.name, entered.id, entered.data["last"]) == ("quote", None, 1.0)


@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_open_candles_have_no_id_and_closed_ones_are_sent_once_with_an_id(wire, delivery: str) -> None:
    """Filters do not affect candles. A stream that resumes after a closed candle sends all later closed candles."""
    second, size = time_ns() // 10**9 * 10**6, 10**6
    params = {"events": "candle", "candles": "1s", "delivery": delivery}
    await wire.publish(second, A=1, B=1)
    async with wire.stream("A", **params, filter="last > 100") as stream:
        assert (await wire.read_welcome(stream))["subscription"]["candles"] == "1s"
        (open_candle,) = await stream.next_events(1, name="candle")
        assert open_candle.id is None
        assert open_candle.data == {
            "symbol": wire.prefixed("A"), "interval": "1s", "start": second, "open": 1, "high": 1, "low": 1, "close": 1,
            "volume": 0, "closed": False,
        }  # fmt: skip
        await wire.publish(second + size, A=2)
        closed = await next_closed_candle(stream)
        assert (bool(closed.id), closed.data) == (True, open_candle.data | {"closed": True})
    await wire.publish(second + 2 * size, A=3)
    async with wire.stream("A", **params, headers={"Last-Event-ID": closed.id}) as resumed:
        event = await next_closed_candle(resumed)
        assert (event.data["start"], event.data["close"]) == (second + size, 2)
        assert event.sequence > closed.sequence
        await wire.publish(second + 3 * size, A=4)
        assert (await next_closed_candle(resumed)).data["start"] == second + 2 * size


async def next_closed_candle(stream: WireStream) -> WireEvent:
    """Read events until a closed candle arrives. Return this candle."""
    while True:
        (event,) = await stream.next_events(1, name="candle")
        if event.data["closed"]:
            return event


async def test_candles_without_events_subscribes_to_quotes_and_candles(wire) -> None:
    """The server sends an open candle again after the candle has changed."""
    await wire.publish(A=1)
    async with wire.stream("A", candles="1d") as stream:
        subscription = (await wire.read_welcome(stream))["subscription"]
        assert (subscription["events"], subscription["candles"]) == (["quote", "candle"], "1d")
        assert await wire.next_prices(stream, 1) == [("A", 1.0)]
        assert (await stream.next_events(1, name="candle"))[0].data["close"] == 1
        await wire.publish(A=3)
        (event,) = await stream.next_events(1, name="candle")
        assert (event.data["open"], event.data["high"], event.data["close"]) == (1, 3, 3)


async def test_concurrent_readers_get_every_event_in_order(wire) -> None:
    """Fifty readers have the same subscription. They use three codings."""
    await wire.publish(A=0)
    ready = asyncio.Semaphore(0)

    async def read(coding: str) -> list[tuple[str, float]]:
        async with wire.stream("A", delivery="all", headers={"Accept-Encoding": coding}) as stream:
            await wire.read_welcome(stream)
            ready.release()
            return await wire.next_prices(stream, 21)

    codings = ("identity", "gzip", "zstd")
    reading = [asyncio.create_task(read(codings[number % 3])) for number in range(50)]
    for _ in reading:
        await ready.acquire()
    for price in range(1, 21):
        await wire.publish(A=price)
    assert {tuple(seen) for seen in await asyncio.gather(*reading)} == {tuple(("A", float(p)) for p in range(21))}


async def test_only_requested_kinds_of_events_are_sent(wire) -> None:
    """The snapshot includes the newest status. If events= lacks `quote`, the server sends no quotes."""
    await wire.publish(A=1)
    async with wire.stream("A", events="quote,status") as both, wire.stream("A", events="status") as status:
        await wire.read_welcome(both)
        names = {(await both.next_event()).name for _ in range(2)}
        assert names == {"quote", "status"}
        await wire.read_welcome(status)
        event = await status.next_event()
        assert event.name == "status"
        assert event.id
        assert set(event.data) >= {"feed", "mode", "state", "symbol", "last_tick_ts"}
        assert event.data["state"] in ("waiting", "running", "stale", "halted")


async def test_an_idle_stream_gets_heartbeats(wire) -> None:
    """After `heartbeat` seconds without an event, the server sends a comment with its time and head."""
    async with wire.stream("A") as stream:
        data = await wire.read_welcome(stream)
        if data["heartbeat"] > 20:
            pytest.skip(f"a heartbeat of {data['heartbeat']} s is too long to wait for")
        for _ in range(2):
            beat = await stream.next_event()
            assert beat.name == "comment"
            kind, ts, head = beat.text.split()
            assert kind == "hb"
            assert int(ts) > 1_700_000_000_000_000
            assert head.partition("-")[0] == data["head"].partition("-")[0]
            assert int(head.partition("-")[2]) >= int(data["head"].partition("-")[2])


@pytest.mark.parametrize(("interval", "coding"), [("0", "identity"), ("10ms", "gzip"), ("0", "zstd")])
async def test_heartbeats_can_be_events(wire, interval: str, coding: str) -> None:
    """With `heartbeats=event`, EventSource shows the heartbeats to the page. They have no id, so the position stays."""
    params = {"heartbeats": "event", "interval": interval, "headers": {"Accept-Encoding": coding}}
    async with wire.stream("A", **params) as stream:
        data = await wire.read_welcome(stream)
        assert data["subscription"]["heartbeats"] == "event"
        if data["heartbeat"] > 20:
            pytest.skip(f"a heartbeat of {data['heartbeat']} s is too long to wait for")
        beat = await stream.next_event()
        assert (beat.name, beat.id) == ("heartbeat", None)
        assert set(beat.data) == {"ts", "head"}
        assert beat.data["ts"] > 1_700_000_000_000_000
        assert int(beat.data["head"].partition("-")[2]) >= int(data["head"].partition("-")[2])


async def test_heartbeats_are_comments_by_default(wire) -> None:
    """With the default, the `welcome` omits the parameter, as before the parameter existed."""
    for params in ({}, {"heartbeats": "comment"}):
        async with wire.stream("A", **params) as stream:
            assert "heartbeats" not in (await wire.read_welcome(stream))["subscription"]


INVALID_PARAMETERS = [
    ({"heartbeats": "yes"}, "heartbeats", "choose comment or event"),
    ({"symbol": "A"}, "symbol", "unknown parameter"),
    ({"interval": "5ms"}, "interval", "from 10ms to 60s, or 0"),
    ({"interval": "1m"}, "interval", "from 10ms to 60s, or 0"),
    ({"interval": "1s", "delivery": "all"}, "interval", "cannot be combined with delivery=all"),
    ({"fields": "last,prise"}, "fields", "unknown quote field 'prise'"),
    ({"symbols": "A,B|C"}, "symbols", "'B|C' cannot be a symbol"),
    ({"symbols": ""}, "symbols", "cannot be a symbol"),
    ({"symbols": "A" * 33}, "symbols", "cannot be a symbol"),
    ({"symbols": ",".join(f"A{number}*" for number in range(17))}, "symbols", "more than 16 patterns"),
    ({"delivery": "some"}, "delivery", "choose latest or all"),
    ({"snapshot": "maybe"}, "snapshot", "choose true or false"),
    ({"events": "quote,noise"}, "events", "unknown event kind 'noise'"),
    ({"candles": "2m"}, "candles", "'2m' is not a candle interval"),
    ({"candles": "5m", "events": "quote"}, "candles", "candles=5m requires candle events"),
    ({"since": "yesterday"}, "since", "neither 'earliest' nor an event id nor a time"),
    ({"last_event_id": "12"}, "last_event_id", "not an event id"),
    ({"lastEventId": "12"}, "last_event_id", "not an event id"),
    ({"lastEventIds": "12"}, "lastEventIds", "unknown parameter"),
    ({"client_id": ""}, "client_id", "client_id"),
    ({"client_id": "x" * 65}, "client_id", "client_id"),
    ({"client_id": "user:ann"}, "client_id", "does not start with 'user:'"),
    ({"filter": "last >"}, "filter", ""),
    ({"order": "last desc"}, "order", "requires the number of symbols"),
    ({"order": "last desc", "top": 101}, "top", "from 1 to 100"),
    ({"order": "last desc", "top": 5, "delivery": "all"}, "order", "delivery=all"),
    ({"top": 5}, "top", "requires an order"),
]


@pytest.mark.parametrize(("params", "field", "message"), INVALID_PARAMETERS)
async def test_an_invalid_parameter_is_named(wire, params: dict, field: str, message: str) -> None:
    """The status is 400, and the problem document contains the parameter and the reason."""
    async with open_stream(wire.url, params) as stream:
        assert (stream.status, stream.headers["content-type"]) == (400, "application/problem+json")
        problem = await stream.read_json()
    assert {"type", "title", "status", "detail", "field"} <= set(problem)
    assert (problem["status"], problem["field"]) == (400, field)
    assert message in problem["detail"]


async def test_a_repeated_parameter_is_rejected(wire) -> None:
    answer = await wire.client.get("/v1/stream?symbols=A&symbols=B")
    assert (answer.status_code, answer.json()["field"]) == (400, "symbols")


async def test_other_methods_are_rejected_and_head_has_no_body(wire) -> None:
    """The status of POST is 405, with an Allow header. The response to HEAD has the headers of a stream."""
    answer = await wire.client.post("/v1/stream")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, QUERY")
    assert answer.json()["status"] == 405
    head = await wire.client.head("/v1/stream")
    assert head.status_code == 200
    assert head.headers["content-type"].startswith("text/event-stream")


async def test_a_query_that_is_too_long_gets_the_alternative(wire) -> None:
    """The status is 414 above 32 KB, and the problem document suggests POST /v1/subscriptions."""
    answer = await wire.client.get(f"/v1/stream?symbols={'A,' * 17_000}A")
    assert answer.status_code == 414
    assert "POST /v1/subscriptions" in answer.json()["detail"]
