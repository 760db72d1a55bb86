"""Readers who may not see the market live see it as it was."""

from __future__ import annotations

import asyncio
import contextlib

import httpx2
import numpy as np
import pytest

from tickwire.core.event import ticks_entry
from tickwire.core.tick import Tick, pack
from tickwire.hub.hubs import IDLE_SECONDS, MOST_DELAYS
from tickwire.market.candles import Candles
from tickwire.market.session import Sessions
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.tokens import SECRET, bearer, token
from tickwire.testing.wire import open_stream

TOKENS = {"auth": "secret", "auth_secret": SECRET}


class World:
    """A server whose time the test moves."""

    def __init__(self, server, client, clock: ManualClock) -> None:
        self.server = server
        self.client = client
        self.clock = clock

    def headers(self, **claims) -> dict[str, str]:
        now = self.clock.now() / 1e9
        return bearer(token(iat=now, exp=now + 100_000, **claims))

    async def publish(self, **prices: float) -> str:
        """A tick of each; answers the last id."""
        ticks = [{"symbol": name, "last": last} for name, last in prices.items()]
        answer = await self.client.post("/v1/quotes", json=ticks, headers=self.headers(scope="publish"))
        return answer.json()["last_id"]

    async def quotes(self, **claims) -> dict[str, float]:
        answer = await self.client.get("/v1/quotes", headers=self.headers(**claims))
        return {quote["symbol"]: quote["last"] for quote in answer.json()}

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and whoever follows the journal get to run."""
        await self.clock.advance(seconds)
        for _ in range(50):
            await asyncio.sleep(0)


@pytest.fixture
async def world():
    clock = ManualClock()
    async with (
        run_server(**TOKENS, clock=clock, heartbeat=300) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        yield World(server, client, clock)


async def prices(stream, count: int) -> list[tuple[str, float]]:
    return [(event.data["symbol"], event.data["last"]) for event in await stream.events(count)]


async def everything(stream) -> list:
    """All events until none comes for a while."""
    found = []
    with contextlib.suppress(TimeoutError):
        while True:
            found.append(await stream.event(0.05))
    return found


async def test_a_delayed_reader_sees_the_market_as_it_was(world) -> None:
    """Snapshot, live flow and REST are those of then, with the ids that everybody has."""
    await world.publish(A=1)
    await world.pass_time(60)
    newest = await world.publish(A=2, B=5)
    delayed = {"delay": "1m"}
    assert (await world.quotes(), await world.quotes(**delayed)) == ({"A": 2.0, "B": 5.0}, {"A": 1.0})
    async with open_stream(world.server.url, headers=world.headers(**delayed)) as stream:
        assert (await stream.event()).data["delay"] == 60
        assert await prices(stream, 1) == [("A", 1.0)]
        await world.pass_time(59)
        await world.publish(A=3)
        await world.pass_time(2)
        events = await stream.events(2)
        assert [(event.data["symbol"], event.data["last"]) for event in events] == [("A", 2.0), ("B", 5.0)]
        assert events[-1].id == newest
        assert await world.quotes(**delayed) == {"A": 2.0, "B": 5.0}
        check = {"filter": "last > 2"}
        answer = await world.client.post("/v1/screens/check", json=check, headers=world.headers(**delayed))
        assert answer.json()["symbols"] == ["B"]
        await world.pass_time(60)
        assert await prices(stream, 1) == [("A", 3.0)]


async def test_no_way_leads_past_the_delay(world) -> None:
    """Nor do ids and times of now, a filter, or another delivery: there is nothing newer in what is asked."""
    await world.publish(A=1)
    await world.pass_time(60)
    newest = await world.publish(A=2)
    now = str(world.clock.now() // 1000)
    for asked in (
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
        async with open_stream(world.server.url, asked, headers=world.headers(delay="1m")) as stream:
            assert stream.status == 200
            if asked.get("client_id"):
                await stream.events(1)
                await world.client.patch("/v1/clients/me", json={"add": ["A", "B"]}, headers=world.headers())
            for event in await everything(stream):
                assert event.name != "quote" or event.data["last"] == 1.0
                assert event.name != "matches" or event.data["symbols"] == []
                assert event.name != "candle" or (event.data["close"], event.data["closed"]) == (1.0, False)


async def test_candles_are_those_that_had_closed_then(world) -> None:
    """The one that forms now, and those that others have seen close since, are not shown."""
    await world.publish(A=1)
    await world.pass_time(120)
    await world.publish(A=2)
    await world.pass_time(120)
    await world.publish(A=3)
    counts = {}
    for delay in (0, "1m", "3m"):
        answer = await world.client.get("/v1/candles/A?interval=1m", headers=world.headers(delay=delay))
        counts[delay] = [candle["close"] for candle in answer.json()]
    assert counts == {0: [1.0, 2.0, 3.0], "1m": [1.0], "3m": []}


async def test_candles_on_a_delayed_stream_are_those_of_then(world) -> None:
    """They form as they formed, from a saved state on as well, and close when they closed, with everybody's ids."""
    await world.publish(A=5)
    await world.server.runtime._save_state()
    await world.pass_time(10)
    await world.publish(A=4)
    await world.pass_time(40)
    params = {"symbols": "A", "events": "candle", "candles": "1m"}
    async with (
        open_stream(world.server.url, params, headers=world.headers(delay=30)) as late,
        open_stream(world.server.url, {**params, "snapshot": "false"}, headers=world.headers()) as live,
    ):
        (forming,) = await late.events(1, name="candle")
        assert (forming.id, [forming.data[name] for name in ("open", "low", "close")]) == (None, [5.0, 4.0, 4.0])
        await world.pass_time(15)
        await world.publish(A=6)
        await world.pass_time(1)
        closed = next(event for event in await everything(live) if event.data.get("closed"))
        assert closed.data == forming.data | {"closed": True}
        await world.pass_time(20)
        assert await everything(late) == []
        await world.pass_time(15)
        told, following = sorted(await everything(late), key=lambda event: event.data["start"])
        assert (told.id, told.data) == (closed.id, closed.data)
        assert (following.id, following.data["close"], following.data["closed"]) == (None, 6.0, False)


async def test_a_delayed_reader_resumes_where_it_was(world) -> None:
    """With the id it has, after it was away, exactly."""
    for price in range(1, 6):
        await world.publish(A=price)
        await world.pass_time(10)
    headers = world.headers(delay=30)
    async with open_stream(world.server.url, {"delivery": "all", "since": "earliest"}, headers=headers) as stream:
        first = await stream.events(2)
        assert [event.data["last"] for event in first] == [1.0, 2.0]
    await world.pass_time(20)
    async with open_stream(
        world.server.url, {"delivery": "all", "last_event_id": first[0].id}, headers=headers
    ) as again:
        assert [last for _, last in await prices(again, 3)] == [2.0, 3.0, 4.0]


async def test_what_is_done_to_a_delayed_reader_is_not_late(world) -> None:
    """Evictions, changes, and the end of a token or of the server come at once."""
    await world.publish(A=1, B=1)
    await world.pass_time(60)
    admin = world.headers(scope="admin", sub="root")
    for end in ("evict", "revoke", "expire"):
        now = world.clock.now() / 1e9
        text = token(sub="eve", delay="1m", iat=now, exp=now + 20)
        async with open_stream(world.server.url, {"symbols": "A", "client_id": "me"}, headers=bearer(text)) as stream:
            assert await prices(stream, 1) == [("A", 1.0)]
            await world.client.patch("/v1/clients/me", json={"add": ["B"]}, headers=admin)
            assert await prices(stream, 1) == [("B", 1.0)]
            assert (await stream.event()).data["symbols"] == ["A", "B"]
            if end == "evict":
                await world.client.delete("/v1/clients/me", headers=admin)
            elif end == "revoke":
                await world.client.delete("/v1/clients?user=eve", headers=admin)
            else:
                await world.pass_time(40)
            (bye,) = await stream.events(1, name="bye")
            assert bye.data["reason"] == ("expired" if end == "expire" else "evicted")
        await world.pass_time(1)


async def test_delayed_readers_count_like_others(world) -> None:
    """In the list of clients and in the metrics."""
    await world.publish(A=1)
    admin = world.headers(scope="admin")
    async with open_stream(world.server.url, headers=world.headers(delay=5)) as stream:
        await stream.event()
        assert len((await world.client.get("/v1/clients", headers=admin)).json()) == 1
        assert "\ntickwire_readers 1\n" in (await world.client.get("/metrics", headers=admin)).text


async def test_so_many_delays_and_no_more(world) -> None:
    """Each is a market of its own to keep; one more is 503."""
    statuses = [
        (await world.client.get("/v1/quotes", headers=world.headers(delay=delay))).status_code
        for delay in range(1, MOST_DELAYS + 2)
    ]
    assert statuses == [200] * MOST_DELAYS + [503]


async def test_a_delay_that_nobody_asks_for_makes_room_for_another(world) -> None:
    """Its market is let go of after a while; one with a reader stays, and what was counted stays too."""
    hubs = world.server.runtime.hubs
    delays = range(1, MOST_DELAYS + 2)
    async with open_stream(world.server.url, headers=world.headers(delay=1)) as stream:
        await stream.event()
        for delay in delays:
            async with open_stream(world.server.url, headers=world.headers(delay=delay)) as other:
                assert other.status == (503 if delay > MOST_DELAYS else 200)
        opened = hubs.stats().opened
        for _ in range(int(IDLE_SECONDS) + 2):
            await world.pass_time(1)
        assert [*hubs._late] == [1]
        assert len(hubs.live.control._crowds) == 2
        assert hubs.stats().opened == opened
        answer = await world.client.get("/v1/quotes", headers=world.headers(delay=max(delays)))
        assert answer.status_code == 200


async def test_a_delayed_market_that_failed_is_made_anew(world) -> None:
    """Its readers are sent away; the next one finds another."""
    await world.publish(A=1)
    await world.pass_time(60)
    headers = world.headers(delay="1m")
    async with open_stream(world.server.url, headers=headers) as stream:
        await stream.events(1)
        world.server.runtime.hubs._late[60].hub.board = None  # a fault of ours
        await world.publish(A=2)
        await world.pass_time(61)
        (bye,) = await stream.events(1, name="bye")
        assert bye.data["reason"] == "limit"
    async with open_stream(world.server.url, headers=headers) as stream:
        assert await prices(stream, 1) == [("A", 2.0)]
    assert len(world.server.runtime.hub.control._crowds) == 2


async def test_a_journal_too_short_for_the_delay_is_said() -> None:
    """503, not another time's market."""
    clock = ManualClock()
    async with (
        run_server(**TOKENS, clock=clock, keep_events=1_000, keep_seconds=10) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        world = World(server, client, clock)
        for price in range(1, 130):
            for _ in range(20):
                await server.runtime.publish(_ticks(price))
            await server.runtime._save_state()  # as the server does every 100,000 events: what is older may go
            await clock.advance(1)
        assert server.runtime.journal.first > 1
        answer = await client.get("/v1/quotes", headers=world.headers(delay=200))
        assert answer.status_code == 503, answer.text
        assert len(server.runtime.hub.control._crowds) == 1
        assert "does not reach 200 s back" in answer.json()["detail"]


def _ticks(price: float):
    return ticks_entry(pack([Tick(symbol="A", last=price)] * 5, now=0))


async def test_a_time_ahead_shows_nobody_newer_candles(world) -> None:
    """A symbol whose feed's clock is wrong lifts the delay of no other, nor its own."""
    for price, seconds in ((1, 60), (2, 5), (3, 5), (4, 5)):
        ahead = {"symbol": "FUTURE", "last": price, "ts": world.clock.now() // 1000 + 3_600_000_000}
        ticks = [{"symbol": "A", "last": price}, ahead]
        await world.client.post("/v1/quotes", json=ticks, headers=world.headers(scope="publish"))
        await world.pass_time(seconds)
    for asked, closed in (("A?interval=1s", [1.0, 2.0]), ("A?interval=1d", []), ("FUTURE?interval=1s", [1.0, 2.0])):
        answer = await world.client.get(f"/v1/candles/{asked}", headers=world.headers(delay=8))
        assert [candle["close"] for candle in answer.json()] == closed, asked


def test_what_had_closed_is_said_by_candles_and_not_by_times() -> None:
    """A session of more than a day has not closed after a day; what closed stays so while nothing else forms."""
    day = 86_400 * 10**9
    candles = Candles(Sessions(np.array([0, 3, 6]) * day, np.array([0, 3, 6])))
    found = []
    for days in (1, 2, 3):
        candles.apply(pack([Tick(symbol="A", ts=days * day // 1000, last=1.0)], now=0), 1, days * day)
        found.append(candles.closed_until("A", 86_400))
    candles.pass_time(7 * day)
    assert [*found, candles.closed_until("A", 86_400), candles.closed_until("B", 60)] == [0, 0, 3 * day, 3 * day + 1, 0]
