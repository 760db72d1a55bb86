"""Streams with a top-N screen on a real server: events, parameters, changes, resumption and rights."""

from __future__ import annotations

import httpx2
import pytest

import tickwire
from tickwire.hub.fanout import ranked_screens, screen_shares
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.wire import open_stream

TOP = {"order": "last desc", "top": 2}


@pytest.fixture(params=[True, False], ids=["socket sink", "ASGI sink"])
async def server(request):
    async with run_server(bypass_asgi=request.param) as running:
        yield running


@pytest.fixture
async def client(server):
    async with httpx2.AsyncClient(base_url=server.url) as opened:
        yield opened


async def publish(client, **prices: float) -> None:
    await client.post("/v1/quotes", json=[{"symbol": symbol, "last": last} for symbol, last in prices.items()])


class TopReader:
    """Reads a stream, and keeps the set of its symbols."""

    def __init__(self, stream) -> None:
        self.stream = stream
        self.members: set[str] = set()
        self.quotes: dict[str, float] = {}
        self.last_id = ""

    async def read_until(self, *symbols: str, **prices: float) -> None:
        """Read events until the set and the prices are as expected."""
        while self.members != {*symbols} or not prices.items() <= self.quotes.items():
            event = await self.stream.next_event()
            self.last_id = event.id or self.last_id
            if event.name == "matches":
                self.members = {*event.data["symbols"]}
            elif event.name == "enter":
                self.members.add(event.data["symbol"])
            elif event.name == "leave":
                self.members.discard(event.data["symbol"])
            elif event.name == "quote":
                self.quotes[event.data["symbol"]] = event.data["last"]


async def test_a_stream_follows_the_first_symbols(server, client) -> None:
    await publish(client, A=1, B=2, C=3)
    async with open_stream(server.url, TOP) as stream:
        subscription = (await stream.next_event()).data["subscription"]
        assert (subscription["order"], subscription["top"], subscription["interval"]) == ("last desc", 2, 100)
        assert subscription["events"] == ["quote", "screen"]
        matches = await stream.next_event()
        assert (matches.name, matches.data) == ("matches", {"filter": None, "symbols": ["C", "B"]})
        reader = TopReader(stream)
        await reader.read_until("B", "C", B=2, C=3)
        await publish(client, C=0)
        await reader.read_until("A", "B", A=1)
        await publish(client, C=5, A=9)
        await reader.read_until("A", "C", A=9, C=5)


async def test_a_resumed_stream_has_the_quotes_of_symbols_that_entered_without_a_tick(server, client) -> None:
    await publish(client, A=1, B=2, C=3)
    async with open_stream(server.url, TOP) as stream:
        reader = TopReader(stream)
        await reader.read_until("B", "C", B=2, C=3)
    await publish(client, C=0)
    async with open_stream(server.url, {**TOP, "last_event_id": reader.last_id}) as stream:
        resumed = TopReader(stream)
        await resumed.read_until("A", "B", A=1, B=2)
        assert "C" not in resumed.quotes


async def test_a_filter_and_the_symbols_restrict_the_screen(server, client) -> None:
    await publish(client, A1=1, A2=2, A3=9, B1=5)
    parameters = {"symbols": "A*", "filter": "last < 5", "order": "last desc", "top": 1}
    async with open_stream(server.url, parameters) as stream:
        reader = TopReader(stream)
        await reader.read_until("A2", A2=2)
        await publish(client, A3=3)
        await reader.read_until("A3", A3=3)


async def test_stored_queried_and_changed_subscriptions_have_screens(server, client) -> None:
    await publish(client, A=1, B=2, C=3)
    stored = await client.post("/v1/subscriptions", json={"order": "last", "top": 1})
    assert stored.json()["subscription"]["order"] == "last asc"
    async with open_stream(server.url, {"subscription": stored.json()["id"], "client_id": "ann"}) as stream:
        reader = TopReader(stream)
        await reader.read_until("A", A=1)
        changed = await client.patch("/v1/clients/ann", json={"order": "last desc"})
        assert changed.json()[0]["subscription"]["order"] == "last desc"
        await reader.read_until("C", C=3)
        await client.patch("/v1/clients/ann", json={"top": 2, "filter": "last < 3"})
        await reader.read_until("A", "B", B=2)
        removed = await client.patch("/v1/clients/ann", json={"order": None, "filter": None})
        assert removed.json()[0]["subscription"]["events"] == ["quote"]
        await publish(client, D=0)
        while reader.quotes.get("D") != 0:
            event = await reader.stream.next_event()
            reader.quotes |= {event.data["symbol"]: event.data["last"]} if event.name == "quote" else {}
        for patch in ({"top": 3}, {"order": "last"}, {"order": None, "top": 1}, {"order": "nothing", "top": 1}):
            assert (await client.patch("/v1/clients/ann", json=patch)).status_code == 400
    async with client.stream("QUERY", "/v1/stream", json={"order": "last desc", "top": 1}) as answer:
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"order": "last desc"}, "order"),
        ({"top": 5}, "top"),
        ({"order": "last desc", "top": 0}, "top"),
        ({"order": "last desc", "top": 101}, "top"),
        ({"order": "last desc", "top": "x"}, "top"),
        ({"order": "last desc", "top": "9" * 20}, "top"),
        ({"order": "lsat desc", "top": 5}, "order"),
        ({"order": "5 desc", "top": 5}, "order"),
        ({"order": "sector desc", "top": 5}, "order"),
        ({"order": "last > 5", "top": 5}, "order"),
        ({"order": "", "top": 5}, "order"),
        ({"order": "desc", "top": 5}, "order"),
        ({"order": "last desc", "top": 5, "delivery": "all"}, "order"),
    ],
)
async def test_invalid_parameters_are_rejected(server, client, parameters, field) -> None:
    answer = await client.get("/v1/stream", params=parameters)
    assert (answer.status_code, answer.json()["field"]) == (400, field), answer.json()


async def test_screens_are_limited_for_a_user_and_in_total(monkeypatch) -> None:
    monkeypatch.setattr(screen_shares, "MAX_RANKED_SCREENS_PER_BEARER", 1)
    monkeypatch.setattr(ranked_screens, "MAX_RANKED_SCREENS", 2)
    headers = [bearer_header(sign_token("", sub=name)) for name in ("ann", "bob", "eve")]
    async with (
        run_server(auth="secret", auth_secret=TEST_SECRET) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"order": "last", "top": 1}, headers=headers[0]) as first,
        open_stream(server.url, {"order": "last", "top": 2}, headers=headers[1]) as second,
    ):
        assert [(await stream.next_event()).name for stream in (first, second)] == ["welcome", "welcome"]
        for number, status in ((0, 429), (2, 503)):
            answer = await client.get("/v1/stream", params={"order": "last", "top": 3}, headers=headers[number])
            assert (answer.status_code, "retry-after" in answer.headers) == (status, True)


async def test_a_token_ranks_only_its_symbols() -> None:
    async with (
        run_server(auth="secret", auth_secret=TEST_SECRET) as server,
        httpx2.AsyncClient(base_url=server.url, headers=bearer_header(sign_token("publish"))) as client,
    ):
        await publish(client, A1=1, A2=2, B1=9)
        headers = bearer_header(sign_token("", symbols=["A*"]))
        async with open_stream(server.url, {**TOP, "top": 1}, headers=headers) as stream:
            reader = TopReader(stream)
            await reader.read_until("A2", A2=2)
            await publish(client, B1=10, A1=3)
            await reader.read_until("A1", A1=3)


async def test_the_python_client_keeps_a_screen(server, client) -> None:
    await publish(client, A=1, B=2, C=3)
    async with (
        tickwire.AsyncClient(server.url) as reader,
        reader.screen(order="last desc", top=2) as screen,
    ):
        changes = [await anext(screen) for _ in range(2)]
        assert {(change.kind, change.symbol) for change in changes} == {("enter", "B"), ("enter", "C")}
        await publish(client, A=7)
        while screen.symbols != {"A", "C"}:
            await anext(screen)
