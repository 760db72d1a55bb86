"""Streams with a filter: live quotes, screen events, catch-up, and limits."""

from __future__ import annotations

import httpx2
import pytest

from tickwire.errors import ScreenLimitReached
from tickwire.hub.fanout import screen_router
from tickwire.sessions.admin_events import SubscriptionChanged, admin_event_entry
from tickwire.sessions.subscription import Subscription
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

FILTERED = {"filter": "last > 10 and symbol like 'A%'"}


@pytest.fixture(params=[True, False], ids=["socket sink", "ASGI sink"])
async def server(request):
    async with run_server(bypass_asgi=request.param) as running:
        yield running


@pytest.fixture
async def client(server):
    async with httpx2.AsyncClient(base_url=server.url) as opened:
        yield opened


async def publish(client, *trades: tuple[str, float]) -> None:
    """Publish one batch of ticks."""
    await client.post("/v1/quotes", json=[{"symbol": name, "last": last} for name, last in trades])


async def read_events(stream, count: int) -> list[tuple]:
    """Read the next events. For each event, return its name, its symbol or symbols, and whether it has an id."""
    events = [await stream.next_event() for _ in range(count)]
    return [(event.name, event.data.get("symbol") or event.data["symbols"], event.id is not None) for event in events]


async def test_filtered_stream_has_matching_quotes_and_screen_events(server, client) -> None:
    """The stream starts with all matches and their quotes.

    An `enter` event precedes the quote, and a `leave` event replaces it.
    """
    await publish(client, ("A1", 11), ("A2", 9), ("B1", 99))
    async with open_stream(server.url, FILTERED) as stream:
        welcome = (await stream.next_event()).data
        assert welcome["subscription"]["filter"] == 'last > 10 and symbol like "A%"'
        assert welcome["subscription"]["events"] == ["quote", "screen"]
        assert await read_events(stream, 2) == [("matches", ["A1"], False), ("quote", "A1", True)]
        await publish(client, ("A2", 12), ("B1", 1), ("A1", 12), ("A1", 8), ("A1", 9))
        assert await read_events(stream, 4) == [
            ("enter", "A2", False), ("quote", "A2", True), ("quote", "A1", True), ("leave", "A1", True),
        ]  # fmt: skip
        await publish(client, ("A3", 20), ("A3", 2), ("A3", 21))
        assert [name for name, _, _ in await read_events(stream, 5)] == ["enter", "quote", "leave", "enter", "quote"]


@pytest.mark.parametrize(("events", "names"), [("quote", ["quote"]), ("screen", ["enter", "leave"])])
async def test_quotes_and_screen_events_can_be_requested_alone(server, client, events, names) -> None:
    """In a stream of only quotes and in a stream of only screen events, each event has an id."""
    async with open_stream(server.url, {**FILTERED, "events": events}) as stream:
        await stream.next_event()
        if events == "screen":
            assert await read_events(stream, 1) == [("matches", [], False)]
        await publish(client, ("A1", 11), ("A1", 1))
        assert await read_events(stream, len(names)) == [(name, "A1", True) for name in names]


async def test_paced_reader_receives_the_net_changes_at_its_flush(server, client) -> None:
    async with open_stream(server.url, {**FILTERED, "interval": "50ms"}) as stream:
        await stream.next_event()
        await publish(client, ("A1", 11))
        while (event := await stream.next_event()).name != "quote":
            assert event.name in ("matches", "enter")
        await publish(client, ("A1", 9), ("A2", 30), ("A2", 31))
        assert await read_events(stream, 3) == [("leave", "A1", True), ("enter", "A2", False), ("quote", "A2", True)]


@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_catch_up_is_filtered(server, client, delivery) -> None:
    """With delivery `all`, the catch-up contains every quote that matched.

    With `latest`, it contains the newest quotes that match now.
    """
    await publish(client, ("A1", 11), ("A1", 9), ("A1", 12), ("A2", 13), ("A2", 1))
    start_id = f"{server.runtime.journal.epoch}-0"
    async with open_stream(server.url, {**FILTERED, "delivery": delivery, "last_event_id": start_id}) as stream:
        await stream.next_event()
        expected = [11.0, 12.0, 13.0] if delivery == "all" else [12.0]
        assert (await read_events(stream, 1))[0] == ("matches", ["A1"], False)
        assert [event.data["last"] for event in await stream.next_events(len(expected))] == expected
        await publish(client, ("A2", 20))
        assert await read_events(stream, 2) == [("enter", "A2", False), ("quote", "A2", True)]


@pytest.mark.parametrize(
    ("parameters", "field", "detail"),
    [
        ({"filter": "lsat > 1"}, "filter", "did you mean last"),
        ({"filter": "last >"}, "filter", "expected"),
        ({"events": "screen"}, "events", "requires a filter"),
    ],
)
async def test_invalid_filter_is_answered_with_its_position(server, parameters, field, detail) -> None:
    async with open_stream(server.url, parameters) as stream:
        problem = await stream.read_json()
        assert (stream.status, problem["field"]) == (400, field)
        assert detail in f"{problem['detail']} {problem.get('hint')}"
        assert ("position" in problem) == ("filter" in parameters)


async def test_filters_above_the_limits_are_rejected(server, client, monkeypatch) -> None:
    """The server answers 503.

    If the limit is reached after the check, the server disconnects the reader with the reason `limit`.
    """

    def raise_limit_reached(*_: object) -> None:
        raise ScreenLimitReached("limit reached")

    async with open_stream(server.url, {"client_id": "ann"}) as stream:
        await stream.next_event()
        monkeypatch.setattr(screen_router.ScreenIndex, "add", raise_limit_reached)
        async with open_stream(server.url, FILTERED) as rejected:
            assert (rejected.status, rejected.headers["retry-after"]) == (503, "60")
            assert (await rejected.read_json())["field"] == "filter"
        assert (await client.patch("/v1/clients/ann", json={"filter": "last > 1"})).status_code == 503
        change = SubscriptionChanged("ann", Subscription().describe(), Subscription(filter="last > 1").describe())
        await server.runtime.publish(admin_event_entry(change))
        assert (await stream.next_event()).data["reason"] == "limit"
