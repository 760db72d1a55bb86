"""Readers without rights to live prices see the market with a delay."""

from __future__ import annotations

import asyncio
import contextlib

import httpx2
import numpy as np
import pytest

from tickwire.core.event import MAX_RECORDS_PER_TURN, ticks_entry
from tickwire.core.tick import Tick, pack_ticks
from tickwire.hub.hub import Hub
from tickwire.hub.hub_pool import IDLE_TIMEOUT_S, MAX_DELAYED_HUBS
from tickwire.market.candle_aggregator import CandleAggregator, closed_candles
from tickwire.market.trading_sessions import TradingSessions
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TOKEN_AUTH, bearer_header, sign_token
from tickwire.testing.wire import open_stream


class DelayedServer:
    """A server with a clock that the test moves."""

    def __init__(self, server, client, clock: ManualClock) -> None:
        self.server = server
        self.client = client
        self.clock = clock

    def headers(self, **claims) -> dict[str, str]:
        now = self.clock.now() / 1e9
        return bearer_header(sign_token(iat=now, exp=now + 100_000, **claims))

    async def publish(self, **prices: float) -> str:
        """Publish one tick of each symbol, and return the last id."""
        ticks = [{"symbol": name, "last": last} for name, last in prices.items()]
        answer = await self.client.post("/v1/quotes", json=ticks, headers=self.headers(scope="publish"))
        return answer.json()["last_id"]

    async def quotes(self, **claims) -> dict[str, float]:
        answer = await self.client.get("/v1/quotes", headers=self.headers(**claims))
        return {quote["symbol"]: quote["last"] for quote in answer.json()}

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and let the followers of the journal run."""
        await self.clock.advance(seconds)
        for _ in range(50):
            await asyncio.sleep(0)


@pytest.fixture
async def market():
    clock = ManualClock()
    async with (
        run_server(**TOKEN_AUTH, clock=clock, heartbeat=300) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        yield DelayedServer(server, client, clock)


async def read_prices(stream, count: int) -> list[tuple[str, float]]:
    return [(event.data["symbol"], event.data["last"]) for event in await stream.next_events(count)]


async def read_until_silent(stream) -> list:
    """Read all events until none arrives for 50 ms."""
    events = []
    with contextlib.suppress(TimeoutError):
        while True:
            events.append(await stream.next_event(0.05))
    return events


async def test_a_delayed_reader_sees_the_earlier_market(market) -> None:
    """Snapshots, live quotes and REST show the delayed market. Ids are the same as for all other readers."""
    await market.publish(A=1)
    await market.pass_time(60)
    newest = await market.publish(A=2, B=5)
    delayed = {"delay": "1m"}
    assert (await market.quotes(), await market.quotes(**delayed)) == ({"A": 2.0, "B": 5.0}, {"A": 1.0})
    async with open_stream(market.server.url, headers=market.headers(**delayed)) as stream:
        assert (await stream.next_event()).data["delay"] == 60
        assert await read_prices(stream, 1) == [("A", 1.0)]
        await market.pass_time(59)
        await market.publish(A=3)
        await market.pass_time(2)
        events = await stream.next_events(2)
        assert [(event.data["symbol"], event.data["last"]) for event in events] == [("A", 2.0), ("B", 5.0)]
        assert events[-1].id == newest
        assert await market.quotes(**delayed) == {"A": 2.0, "B": 5.0}
        check = {"filter": "last > 2"}
        answer = await market.client.post("/v1/screens/check", json=check, headers=market.headers(**delayed))
        assert answer.json()["symbols"] == ["B"]
        await market.pass_time(60)
        assert await read_prices(stream, 1) == [("A", 3.0)]


async def test_no_request_reveals_newer_prices(market) -> None:
    """The requests use current ids and times, a filter, another delivery, and a changed subscription."""
    await market.publish(A=1)
    await market.pass_time(60)
    newest = await market.publish(A=2)
    now = str(market.clock.now() // 1000)
    for params in (
        {"last_event_id": newest},
        {"since": now, "delivery": "all"},
        {"since": now},
        {"since": newest},
        {"since": "earliest", "delivery": "all"},
        {"filter": "last > 1", "events": "quote,screen"},
        {"interval": "10ms"},
        {"client_id": "me"},
        {"events": "candle", "candles": "1s"},
        {"events": "candle", "candles": "1s", "delivery": "all", "since": "earliest"},
    ):
        async with open_stream(market.server.url, params, headers=market.headers(delay="1m")) as stream:
            assert stream.status == 200
            if params.get("client_id"):
                await stream.next_events(1)
                await market.client.patch("/v1/clients/me", json={"add": ["A", "B"]}, headers=market.headers())
            for event in await read_until_silent(stream):
                assert event.name != "quote" or event.data["last"] == 1.0
                assert event.name != "matches" or event.data["symbols"] == []
                assert event.name != "candle" or (event.data["close"], event.data["closed"]) == (1.0, False)


async def test_candles_are_as_of_the_delayed_time(market) -> None:
    """The answer contains no candle that is open now, and no candle that has closed since the delayed time."""
    await market.publish(A=1)
    await market.pass_time(120)
    await market.publish(A=2)
    await market.pass_time(120)
    await market.publish(A=3)
    counts = {}
    for delay in (0, "1m", "3m"):
        answer = await market.client.get("/v1/candles/A?interval=1m", headers=market.headers(delay=delay))
        counts[delay] = [candle["close"] for candle in answer.json()]
    assert counts == {0: [1.0, 2.0, 3.0], "1m": [1.0], "3m": []}


async def test_candles_on_a_delayed_stream_are_as_of_the_delayed_time(market) -> None:
    """Candles open and close with the delay, also after a snapshot. Ids are the same as for all other readers."""
    await market.publish(A=5)
    await market.server.runtime.snapshotter.save()
    await market.pass_time(10)
    await market.publish(A=4)
    await market.pass_time(40)
    params = {"symbols": "A", "events": "candle", "candles": "1m"}
    async with (
        open_stream(market.server.url, params, headers=market.headers(delay=30)) as delayed,
        open_stream(market.server.url, {**params, "snapshot": "false"}, headers=market.headers()) as live,
    ):
        (open_candle,) = await delayed.next_events(1, name="candle")
        assert (open_candle.id, [open_candle.data[name] for name in ("open", "low", "close")]) == (
            None,
            [5.0, 4.0, 4.0],
        )
        await market.pass_time(15)
        await market.publish(A=6)
        await market.pass_time(1)
        closed = next(event for event in await read_until_silent(live) if event.data.get("closed"))
        assert closed.data == open_candle.data | {"closed": True}
        await market.pass_time(20)
        assert await read_until_silent(delayed) == []
        await market.pass_time(15)
        first, following = sorted(await read_until_silent(delayed), key=lambda event: event.data["start"])
        assert (first.id, first.data) == (closed.id, closed.data)
        assert (following.id, following.data["close"], following.data["closed"]) == (None, 6.0, False)


async def test_a_delayed_reader_resumes_after_its_last_id(market) -> None:
    for price in range(1, 6):
        await market.publish(A=price)
        await market.pass_time(10)
    headers = market.headers(delay=30)
    async with open_stream(market.server.url, {"delivery": "all", "since": "earliest"}, headers=headers) as stream:
        first = await stream.next_events(2)
        assert [event.data["last"] for event in first] == [1.0, 2.0]
    await market.pass_time(20)
    async with open_stream(
        market.server.url, {"delivery": "all", "last_event_id": first[0].id}, headers=headers
    ) as again:
        assert [last for _, last in await read_prices(again, 3)] == [2.0, 3.0, 4.0]


async def test_administration_of_a_delayed_reader_is_immediate(market) -> None:
    """Changes, evictions, revocations and expired tokens take effect at once."""
    await market.publish(A=1, B=1)
    await market.pass_time(60)
    admin = market.headers(scope="admin", sub="root")
    for end in ("evict", "revoke", "expire"):
        now = market.clock.now() / 1e9
        text = sign_token(sub="eve", delay="1m", iat=now, exp=now + 20)
        async with open_stream(
            market.server.url, {"symbols": "A", "client_id": "me"}, headers=bearer_header(text)
        ) as stream:
            assert await read_prices(stream, 1) == [("A", 1.0)]
            await market.client.patch("/v1/clients/me", json={"add": ["B"]}, headers=admin)
            assert await read_prices(stream, 1) == [("B", 1.0)]
            assert (await stream.next_event()).data["symbols"] == ["A", "B"]
            if end == "evict":
                await market.client.delete("/v1/clients/me", headers=admin)
            elif end == "revoke":
                await market.client.delete("/v1/clients?user=eve", headers=admin)
            else:
                await market.pass_time(40)
            (bye,) = await stream.next_events(1, name="bye")
            assert bye.data["reason"] == ("expired" if end == "expire" else "evicted")
        # A new token is valid if it was issued later than the leeway after the revocation.
        await market.pass_time(11)


async def test_delayed_readers_are_listed_and_counted(market) -> None:
    await market.publish(A=1)
    admin = market.headers(scope="admin")
    async with open_stream(market.server.url, headers=market.headers(delay=5)) as stream:
        await stream.next_event()
        assert len((await market.client.get("/v1/clients", headers=admin)).json()) == 1
        assert "\ntickwire_readers 1\n" in (await market.client.get("/metrics", headers=admin)).text


async def test_more_different_delays_than_the_limit_are_503(market) -> None:
    statuses = [
        (await market.client.get("/v1/quotes", headers=market.headers(delay=delay))).status_code
        for delay in range(1, MAX_DELAYED_HUBS + 2)
    ]
    assert statuses == [200] * MAX_DELAYED_HUBS + [503]


async def test_an_unused_delayed_hub_is_stopped(market) -> None:
    """A hub with a reader continues. The counters still include the stopped hubs."""
    hubs = market.server.runtime.hub_pool
    delays = range(1, MAX_DELAYED_HUBS + 2)
    async with open_stream(market.server.url, headers=market.headers(delay=1)) as stream:
        await stream.next_event()
        for delay in delays:
            async with open_stream(market.server.url, headers=market.headers(delay=delay)) as other:
                assert other.status == (503 if delay > MAX_DELAYED_HUBS else 200)
        opened = hubs.stats().streams_opened
        for _ in range(int(IDLE_TIMEOUT_S) + 2):
            await market.pass_time(1)
        assert [*hubs._delayed_hubs] == [1]
        assert len(hubs.live_hub.reader_admin._all_admins) == 2
        assert hubs.stats().streams_opened == opened
        answer = await market.client.get("/v1/quotes", headers=market.headers(delay=max(delays)))
        assert answer.status_code == 200


async def test_a_failed_delayed_hub_is_replaced(market) -> None:
    """The readers of the failed hub are disconnected, and the next reader gets a new hub."""
    await market.publish(A=1)
    await market.pass_time(60)
    headers = market.headers(delay="1m")
    async with open_stream(market.server.url, headers=headers) as stream:
        await stream.next_events(1)
        # Without a board, the hub fails at the next record.
        market.server.runtime.hub_pool._delayed_hubs[60].hub.board = None
        await market.publish(A=2)
        await market.pass_time(61)
        (bye,) = await stream.next_events(1, name="bye")
        assert bye.data["reason"] == "limit"
    async with open_stream(market.server.url, headers=headers) as stream:
        assert await read_prices(stream, 1) == [("A", 2.0)]
    assert len(market.server.runtime.hub.reader_admin._all_admins) == 2


async def test_a_journal_shorter_than_the_delay_is_503() -> None:
    clock = ManualClock()
    async with (
        run_server(**TOKEN_AUTH, clock=clock, keep_events=1_000, keep_seconds=10) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        market = DelayedServer(server, client, clock)
        for price in range(1, 130):
            for _ in range(20):
                await server.runtime.publish(_ticks(price))
            # The retention may delete only events before a snapshot.
            await server.runtime.snapshotter.save()
            await clock.advance(1)
        assert server.runtime.journal.first > 1
        answer = await client.get("/v1/quotes", headers=market.headers(delay=200))
        assert answer.status_code == 503, answer.text
        assert len(server.runtime.hub.reader_admin._all_admins) == 1
        assert "no longer has the events from 200 s ago" in answer.json()["detail"]


def _ticks(price: float):
    return ticks_entry(pack_ticks([Tick(symbol="A", last=price)] * 5, now=0))


async def test_a_feed_with_a_fast_clock_reveals_no_newer_candles(market) -> None:
    """Ticks with future timestamps shorten the delay of no symbol."""
    for price, seconds in ((1, 60), (2, 5), (3, 5), (4, 5)):
        future_tick = {"symbol": "FUTURE", "last": price, "ts": market.clock.now() // 1000 + 3_600_000_000}
        ticks = [{"symbol": "A", "last": price}, future_tick]
        await market.client.post("/v1/quotes", json=ticks, headers=market.headers(scope="publish"))
        await market.pass_time(seconds)
    for query, closed in (("A?interval=1s", [1.0, 2.0]), ("A?interval=1d", []), ("FUTURE?interval=1s", [1.0, 2.0])):
        answer = await market.client.get(f"/v1/candles/{query}", headers=market.headers(delay=8))
        assert [candle["close"] for candle in answer.json()] == closed, query


def test_closed_until_follows_sessions_instead_of_the_clock() -> None:
    """A session of several days is not closed after one day.

    A closed candle stays closed while no other candle is open.
    """
    day = 86_400 * 10**9
    candles = CandleAggregator(TradingSessions(np.array([0, 3, 6]) * day, np.array([0, 3, 6])))
    closed_until = []
    for days in (1, 2, 3):
        candles.apply(pack_ticks([Tick(symbol="A", ts=days * day // 1000, last=1.0)], now=0), 1, days * day)
        closed_until.append(candles.closed_until("A", 86_400))
    closed_candles(candles.advance_watermark(7 * day))
    assert [*closed_until, candles.closed_until("A", 86_400), candles.closed_until("B", 60)] == [
        0,
        0,
        3 * day,
        3 * day + 1,
        0,
    ]


HALT_SCENARIO = 'name = "halt"\n[[event]]\nat = "0s"\ndo = "halt"\nsymbols = ["AAPL"]\n'


async def test_the_status_of_the_feed_is_delayed_too(monkeypatch) -> None:
    """The delay applies to halts, speed, time, scenario and state.

    The test checks REST, streams, and a status that is not in the journal.
    """
    clock = ManualClock()
    async with (
        run_server(**TOKEN_AUTH, clock=clock, heartbeat=300, feed="simulator") as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        market = DelayedServer(server, client, clock)
        admin = market.headers(scope="admin", sub="root")
        await market.pass_time(8)
        seen = {}
        for delay in (0, 4):
            headers = market.headers(delay=delay)
            seen[delay] = (await client.get("/v1/simulator", headers=headers)).json()
        assert seen[0]["time"] - seen[4]["time"] == pytest.approx(4e6, abs=1e6)
        await client.put("/v1/simulator/scenario", content=HALT_SCENARIO, headers=admin)
        await client.post("/v1/simulator", json={"command": "SPEED=5"}, headers=admin)
        await market.pass_time(1)
        await client.post("/v1/simulator", json={"command": "PAUSE"}, headers=admin)
        live = (await client.get("/v1/simulator", headers=admin)).json()
        assert [live[name] for name in ("state", "speed", "halted", "scenario")] == ["paused", 5, ["AAPL"], "halt"]
        earlier = ["running", 1, [], None]
        delayed = market.headers(delay=4)
        state = (await client.get("/v1/simulator", headers=delayed)).json()
        assert [state[name] for name in ("state", "speed", "halted", "scenario")] == earlier
        assert set(state) == set(live)
        newest = (await client.get("/v1/quotes", headers=delayed)).json()
        assert state["time"] == max(quote["ts"] for quote in newest) <= live["time"] - 4e6
        async with open_stream(server.url, {"events": "status"}, headers=delayed) as stream:
            reason = "out of order"
            monkeypatch.setattr(server.runtime.journal, "unavailable_reason", lambda: reason)
            await market.pass_time(1)
            first, announced = (event.data for event in await stream.next_events(2, name="status"))
            assert [first[name] for name in ("state", "speed", "halted", "scenario")] == earlier
            assert [announced[name] for name in ("state", "speed", "halted", "scenario")] == ["stale", *earlier[1:]]
            reason = None
            await market.pass_time(1)
            (withdrawn,) = await stream.next_events(1, name="status")
            assert [withdrawn.data[name] for name in ("state", "speed", "halted", "scenario")] == earlier
            await market.pass_time(5)
            while [(await stream.next_events(1, name="status"))[0].data["state"]] != ["paused"]:
                pass
        assert (await client.get("/v1/simulator", headers=delayed)).json()["halted"] == ["AAPL"]


async def test_the_start_applies_few_records_in_one_turn_of_the_event_loop(
    market: DelayedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each record takes some time, even if it contains a single tick."""
    for number in range(300):
        await market.server.runtime.publish(
            ticks_entry(pack_ticks([Tick(symbol="A", last=number)], now=market.clock.now()))
        )
    await market.clock.advance(10)
    sizes, apply = [], Hub.apply
    monkeypatch.setattr(
        Hub, "apply", lambda hub, records, *rest: (sizes.append(len(records)), apply(hub, records, *rest))[1]
    )
    assert await market.quotes(delay="5s") == {"A": 299.0}
    assert sum(sizes) >= 300
    assert max(sizes) <= MAX_RECORDS_PER_TURN
