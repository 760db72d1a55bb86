"""Answers about state report their position, and a stream continues from this position without a gap."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import httpx2
import pytest

from tickwire.server.routes import quotes
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

STATE_CALLS = [
    ("GET", "/v1/quotes", None),
    ("GET", "/v1/quotes/A", None),
    ("GET", "/v1/quotes/UNKNOWN", None),
    ("GET", "/v1/candles/A", None),
    ("GET", "/v1/instruments", None),
    ("GET", "/v1/simulator", None),
    ("POST", "/v1/screens/check", {"filter": "last > 1"}),
    ("POST", "/v1/halts", {"halt": ["A"]}),
]


class History:
    """Publishes random batches, and records the symbol and the price of each tick by the number of its event."""

    def __init__(self, symbols: int) -> None:
        seed = random.randrange(2**32)
        print(f"seed {seed}")  # pytest shows it for a failed test
        self._random = random.Random(seed)
        self._names = [f"S{number}" for number in range(symbols)]
        self.ticks: dict[int, tuple[str, float]] = {}

    async def publish_until(self, done: asyncio.Event, client: httpx2.AsyncClient) -> None:
        price = 0.0
        while not done.is_set():
            names = self._random.choices(self._names, k=self._random.randint(1, 40))
            batch = [(name, price + place) for place, name in enumerate(names, 1)]
            price += len(batch)
            answer = await client.post("/v1/quotes", json=[{"symbol": name, "last": last} for name, last in batch])
            first = sequence_of(answer.json()["first_id"])
            self.ticks |= dict(enumerate(batch, first))

    async def has_reached(self, sequence: int) -> None:
        """Wait until the receipts of all ticks up to this event have arrived."""
        await wait_until(lambda: max(self.ticks, default=0) > sequence)

    def prices_at(self, sequence: int) -> dict[str, float]:
        """Return the price of each symbol after event `sequence`."""
        return dict(tick for number, tick in self.ticks.items() if number <= sequence)


def sequence_of(event_id: str) -> int:
    return int(event_id.rpartition("-")[2])


@contextlib.asynccontextmanager
async def busy_market(symbols: int) -> AsyncIterator[tuple[str, httpx2.AsyncClient, History]]:
    """Yield the URL of a server, a client, and the history that a task publishes to the server."""
    history, done = History(symbols), asyncio.Event()
    async with (
        run_server() as server,
        httpx2.AsyncClient(base_url=server.url) as publisher,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        publishing = asyncio.create_task(history.publish_until(done, publisher))
        await history.has_reached(2 * symbols)
        yield server.url, client, history
        done.set()
        await publishing


@pytest.mark.parametrize("symbols", [50, 1_500], ids=["one write", "several slices"])
@pytest.mark.parametrize("delivery", ["all", "latest"])
async def test_a_stream_continues_where_an_answer_ended(delivery: str, symbols: int) -> None:
    """The quotes are exactly those at the reported position, and the stream sends exactly the later events."""
    async with busy_market(symbols) as (url, client, history):
        for _ in range(6):
            answer = await client.get("/v1/quotes")
            prices = {quote["symbol"]: quote["last"] for quote in answer.json()}
            head = sequence_of(answer.headers["Tickwire-Head"])
            await history.has_reached(head)
            assert prices == history.prices_at(head)
            params = {"since": answer.headers["Tickwire-Head"], "delivery": delivery, "fields": "last"}
            async with open_stream(url, params) as stream:
                events = await stream.next_events(100)
            newest = events[-1].sequence
            await history.has_reached(newest)
            if delivery == "all":
                expected = [number for number in history.ticks if head < number <= newest]
                assert [event.sequence for event in events] == expected
            # With delivery=latest, the stream may omit a quote if a newer quote of the symbol follows after `newest`.
            prices |= {event.data["symbol"]: event.data["last"] for event in events}
            later = {name for number, (name, _) in history.ticks.items() if number > newest}
            for name, last in history.prices_at(newest).items():
                assert prices[name] == last or (delivery == "latest" and name in later)


async def test_an_answer_without_a_copy_has_no_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the copies of other answers leave no room, quotes may be newer than the position, but never older."""
    monkeypatch.setattr(quotes, "MAX_COPIED_QUOTES", 0)
    async with busy_market(1_500) as (_, client, history):
        for _ in range(5):
            answer = await client.get("/v1/quotes")
            prices = {quote["symbol"]: quote["last"] for quote in answer.json()}
            head = sequence_of(answer.headers["Tickwire-Head"])
            await history.has_reached(head)
            assert all(prices[name] >= last for name, last in history.prices_at(head).items())


async def test_every_answer_about_state_reports_its_position() -> None:
    async with run_server(cors="https://app.example") as server, httpx2.AsyncClient(base_url=server.url) as client:
        receipt = (await client.post("/v1/quotes", json=[{"symbol": "A", "last": 5}])).json()
        for method, path, body in STATE_CALLS:
            answer = await client.request(method, path, json=body, headers={"origin": "https://app.example"})
            # The journal also contains status events.
            head = sequence_of(answer.headers["Tickwire-Head"])
            assert sequence_of(receipt["last_id"]) <= head <= server.runtime.hub.head.sequence, path
            assert "tickwire-head" in answer.headers["access-control-expose-headers"]
        assert "Tickwire-Head" not in (await client.get("/v1/whoami")).headers
        document = (await client.get("/openapi.json")).json()
        for method, path, _ in STATE_CALLS:
            known = {"/v1/quotes/A", "/v1/quotes/UNKNOWN", "/v1/candles/A"}
            name = path.rpartition("/")[0] + "/{symbol}" if path in known else path
            assert "Tickwire-Head" in document["paths"][name][method.lower()]["responses"]["200"]["headers"], path


async def test_a_delayed_answer_reports_the_delayed_position() -> None:
    clock = ManualClock()
    async with (
        run_server(auth="secret", auth_secret=TEST_SECRET, clock=clock, heartbeat=300) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        now = clock.now() / 1e9
        headers = bearer_header(sign_token(iat=now, exp=now + 10_000, scope="publish"))
        delayed = bearer_header(sign_token(iat=now, exp=now + 10_000, delay=60))
        first = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 5}], headers=headers)
        await clock.advance(61)
        second = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 6}], headers=headers)
        answer = await client.get("/v1/quotes/A", headers=delayed)
        assert answer.json()["last"] == 5
        head = sequence_of(answer.headers["Tickwire-Head"])
        assert sequence_of(first.json()["last_id"]) <= head < sequence_of(second.json()["last_id"])
        async with open_stream(server.url, {"since": answer.headers["Tickwire-Head"]}, headers=delayed) as stream:
            await clock.advance(61)
            (quote,) = await stream.next_events(1)
            assert quote.data["last"] == 6
