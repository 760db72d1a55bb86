"""Streams with a filter: what they get, live and from the past, and what it costs to ask too much."""

from __future__ import annotations

import httpx2
import pytest

from tickwire.errors import ScreensFull
from tickwire.hub import screening
from tickwire.hub.control import Change, control_entry
from tickwire.hub.subscription import Subscription
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

ABOVE = {"filter": "last > 10 and symbol like 'A%'"}


@pytest.fixture(params=[True, False], ids=["fast sink", "plain sink"])
async def server(request):
    async with run_server(fast=request.param) as running:
        yield running


@pytest.fixture
async def client(server):
    async with httpx2.AsyncClient(base_url=server.url) as opened:
        yield opened


async def publish(client, *trades: tuple[str, float]) -> None:
    """One batch of ticks."""
    await client.post("/v1/quotes", json=[{"symbol": name, "last": last} for name, last in trades])


async def told(stream, count: int) -> list[tuple]:
    """The next events: their name, their symbol or symbols, and whether they have an id."""
    events = [await stream.event() for _ in range(count)]
    return [(event.name, event.data.get("symbol") or event.data["symbols"], event.id is not None) for event in events]


async def test_only_matching_quotes_are_sent_and_who_enters_and_leaves(server, client) -> None:
    """First the whole set and its quotes; then an enter before the quote, and a leave in place of one."""
    await publish(client, ("A1", 11), ("A2", 9), ("B1", 99))
    async with open_stream(server.url, ABOVE) as stream:
        welcome = (await stream.event()).data
        assert welcome["subscription"]["filter"] == 'last > 10 and symbol like "A%"'
        assert welcome["subscription"]["events"] == ["quote", "screen"]
        assert await told(stream, 2) == [("matches", ["A1"], False), ("quote", "A1", True)]
        await publish(client, ("A2", 12), ("B1", 1), ("A1", 12), ("A1", 8), ("A1", 9))
        assert await told(stream, 4) == [
            ("enter", "A2", False), ("quote", "A2", True), ("quote", "A1", True), ("leave", "A1", True),
        ]  # fmt: skip
        await publish(client, ("A3", 20), ("A3", 2), ("A3", 21))
        assert [name for name, _, _ in await told(stream, 5)] == ["enter", "quote", "leave", "enter", "quote"]


@pytest.mark.parametrize(("events", "names"), [("quote", ["quote"]), ("screen", ["enter", "leave"])])
async def test_either_kind_of_event_can_be_had_alone(server, client, events, names) -> None:
    """Quotes without crossings, or crossings without quotes; each with its id."""
    async with open_stream(server.url, {**ABOVE, "events": events}) as stream:
        await stream.event()
        if events == "screen":
            assert await told(stream, 1) == [("matches", [], False)]
        await publish(client, ("A1", 11), ("A1", 1))
        assert await told(stream, len(names)) == [(name, "A1", True) for name in names]


async def test_a_paced_reader_is_told_the_outcome(server, client) -> None:
    """At its flush: who is in and was not, who is out and was in."""
    async with open_stream(server.url, {**ABOVE, "interval": "50ms"}) as stream:
        await stream.event()
        await publish(client, ("A1", 11))
        while (event := await stream.event()).name != "quote":
            assert event.name in ("matches", "enter")
        await publish(client, ("A1", 9), ("A2", 30), ("A2", 31))
        assert await told(stream, 3) == [("leave", "A1", True), ("enter", "A2", False), ("quote", "A2", True)]


@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_the_past_is_filtered_as_the_present_is(server, client, delivery) -> None:
    """From an id: every matching quote as it was, or the newest of those that match now."""
    await publish(client, ("A1", 11), ("A1", 9), ("A1", 12), ("A2", 13), ("A2", 1))
    first = f"{server.runtime.journal.epoch}-0"
    async with open_stream(server.url, {**ABOVE, "delivery": delivery, "last_event_id": first}) as stream:
        await stream.event()
        expected = [11.0, 12.0, 13.0] if delivery == "all" else [12.0]
        assert (await told(stream, 1))[0] == ("matches", ["A1"], False)
        assert [event.data["last"] for event in await stream.events(len(expected))] == expected
        await publish(client, ("A2", 20))
        assert await told(stream, 2) == [("enter", "A2", False), ("quote", "A2", True)]


@pytest.mark.parametrize(
    ("parameters", "field", "detail"),
    [
        ({"filter": "lsat > 1"}, "filter", "did you mean last"),
        ({"filter": "last >"}, "filter", "expected"),
        ({"events": "screen"}, "events", "there is none"),
    ],
)
async def test_a_wrong_filter_is_named_with_its_place(server, parameters, field, detail) -> None:
    """400, with the position and a hint where it is the filter that is wrong."""
    async with open_stream(server.url, parameters) as stream:
        problem = await stream.body()
        assert (stream.status, problem["field"]) == (400, field)
        assert detail in f"{problem['detail']} {problem.get('hint')}"
        assert ("position" in problem) == ("filter" in parameters)


async def test_filters_that_cost_too_much_are_refused(server, client, monkeypatch) -> None:
    """503 before the stream begins or is changed; where others come first after that, the reader goes with `limit`."""

    def full(*_: object) -> None:
        raise ScreensFull("as many as there may be")

    async with open_stream(server.url, {"client_id": "ann"}) as stream:
        await stream.event()
        monkeypatch.setattr(screening.ScreenIndex, "add", full)
        async with open_stream(server.url, ABOVE) as refused:
            assert (refused.status, refused.headers["retry-after"]) == (503, "60")
            assert (await refused.body())["field"] == "filter"
        assert (await client.patch("/v1/clients/ann", json={"filter": "last > 1"})).status_code == 503
        change = Change("ann", Subscription().describe(), Subscription(filter="last > 1").describe())
        await server.runtime.publish(control_entry(change))
        assert (await stream.event()).data["reason"] == "limit"
