"""Nobody ever receives a symbol outside its rights, whichever way a subscription comes about."""

from __future__ import annotations

import random
from fnmatch import fnmatchcase
from itertools import count
from time import time_ns

import httpx2
import pytest

from tickwire.testing.server import run_server
from tickwire.testing.tokens import SECRET, bearer, token
from tickwire.testing.wire import WireStream, open_stream

TOKENS = {"auth": "secret", "auth_secret": SECRET}
SYMBOLS = [first + second for first in "ABC" for second in "ABC"]
PATTERNS = ["*", "A*", "*A", "B*", "*C", "?B", *SYMBOLS]
ALL = bearer(token("publish messages admin", sub="root"))
_TURNS = count(1)


def symbol_of(event) -> list[str]:
    """The symbols that an event speaks of."""
    if event.name in ("quote", "candle"):
        return [event.data["symbol"]]
    if event.name in ("enter", "leave"):
        return [event.data["symbol"], event.data["quote"]["symbol"]]
    return event.data["symbols"] if event.name == "matches" else []


class Checked:
    """A reader's view: every symbol that it is told of has to be allowed and wanted."""

    def __init__(self, wanted: list[str], allowed: list[str]) -> None:
        self.may = {
            symbol
            for symbol in SYMBOLS
            if any(fnmatchcase(symbol, name) for name in wanted) and any(fnmatchcase(symbol, name) for name in allowed)
        }
        self.last: str | None = None
        self.seen: set[str] = set()

    async def read(self, stream: WireStream) -> None:
        """Read until a message says that all before it was sent."""
        while True:
            event = await stream.event()
            assert event is not None
            assert set(symbol_of(event)) <= self.may, event
            self.seen.update(symbol_of(event))
            self.last = event.id or self.last
            if event.name == "mark":
                return


async def publish(client) -> None:
    """A tick for every symbol, then a mark that all readers get."""
    ts = time_ns() // 1000 + 2_000_000 * next(_TURNS)  # each time what formed before closes
    symbols = random.sample(SYMBOLS, len(SYMBOLS))
    ticks = [{"symbol": symbol, "last": random.randint(1, 20), "ts": ts} for symbol in symbols]
    assert (await client.post("/v1/quotes", json=ticks, headers=ALL)).status_code == 201
    await mark(client)


async def mark(client) -> None:
    await client.post("/v1/messages", json={"event": "mark", "data": 1}, headers=ALL)


SHAPES = [
    {},
    {"filter": "last > 10"},
    {"delivery": "all"},
    {"interval": "20ms"},
    {"delivery": "all", "since": "earliest"},
    {"filter": "last > 10", "interval": "20ms"},
    {"candles": "1s"},
    {"candles": "1s", "delivery": "all", "since": "earliest"},
    {"candles": "1s", "interval": "20ms"},
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
async def test_nobody_receives_what_is_not_allowed(shape) -> None:
    """Live, snapshot, since, resume with fewer rights, changed, and put down before: over chance lists and rights."""
    rng = random.Random(str(shape))
    async with run_server(**TOKENS) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await publish(client)
        for turn in range(6):
            wanted, allowed = rng.sample(PATTERNS, rng.randint(1, 3)), rng.sample(PATTERNS, rng.randint(1, 3))
            view = Checked(wanted, allowed)
            if not view.may:
                continue
            headers = bearer(token(symbols=allowed, sub=f"user{turn}"))
            events = ["quote", "message", *["screen"] * ("filter" in shape), *["candle"] * ("candles" in shape)]
            asked = {**shape, "symbols": ",".join(wanted), "events": ",".join(events)}
            if turn % 2:
                put = {name: value for name, value in asked.items() if name != "since"}
                answer = await client.post("/v1/subscriptions", json=put, headers=headers)
                asked = {"subscription": answer.json()["id"]} | ({"since": shape["since"]} if "since" in shape else {})
            asked["client_id"] = f"reader{turn}"
            async with open_stream(server.url, asked, headers=headers) as stream:
                assert stream.status == 200
                await publish(client)
                await view.read(stream)
                change = rng.sample(PATTERNS[1:], 3)
                answer = await client.patch(f"/v1/clients/reader{turn}", json={"symbols": change}, headers=ALL)
                assert answer.status_code == 200
                view.may |= Checked(change, allowed).may  # until the change is in force both may come
                await stream.events(1, name="subscription")
                view.may = Checked(change, allowed).may
                await publish(client)
                await view.read(stream)
            fewer = rng.sample(PATTERNS, 2)
            view.may = Checked(change, fewer).may  # what it was changed to, within what the new token allows
            again = {name: value for name, value in asked.items() if name != "since"} | {
                "last_event_id": view.last or ""
            }
            async with open_stream(
                server.url, again, headers=bearer(token(symbols=fewer, sub=f"user{turn}"))
            ) as stream:
                if stream.status == 200:
                    await publish(client)
                    await view.read(stream)
                else:
                    assert stream.status == 403


async def test_the_welcome_says_what_is_in_force() -> None:
    """What was asked for and is not allowed is left out there, and so is not missed silently."""
    async with run_server(**TOKENS) as server:
        for claims, asked, told in (
            ({"symbols": ["A*", "B"]}, {}, {"symbols": ["A*", "B"]}),
            ({"symbols": ["A*", "B"]}, {"symbols": "AA,B,C"}, {"symbols": ["AA", "B"]}),
            ({"symbols": ["*A"]}, {"symbols": "B*"}, {"symbols": ["B*"], "allowed": ["*A"]}),
            ({"events": ["quote"]}, {"events": "quote,message"}, {"events": ["quote"]}),
            ({"events": ["quote"]}, {"candles": "5m"}, {"events": ["quote"], "candles": None}),
            ({"symbols": ["A*"]}, {"candles": "5m"}, {"events": ["quote", "candle"], "candles": "5m"}),
            ({"interval": "1s"}, {"interval": "20ms"}, {"interval": 1000}),
        ):
            async with open_stream(server.url, asked, headers=bearer(token(**claims))) as stream:
                said = (await stream.event()).data["subscription"]
                assert said | told == said, said


async def test_what_leaves_nothing_is_refused() -> None:
    """403 and the name of the parameter; a stream without anything in it would look like a silent market."""
    async with run_server(**TOKENS) as server:
        for claims, asked, field in (
            ({"symbols": ["A*"]}, {"symbols": "B,C"}, "symbols"),
            ({"symbols": []}, {}, "symbols"),
            ({"events": ["message"]}, {"events": "quote"}, "events"),
            ({"events": ["quote"]}, {"events": "candle"}, "events"),
            ({"symbols": ["A*"]}, {"symbols": "B", "events": "candle"}, "symbols"),
            ({"interval": "1s"}, {"delivery": "all"}, "delivery"),
        ):
            async with open_stream(server.url, asked, headers=bearer(token(**claims))) as stream:
                assert (stream.status, (await stream.body())["field"]) == (403, field)


async def test_rest_is_narrowed_likewise() -> None:
    """Quotes, instruments, candles and screens know only allowed symbols; asking for another is 403, known or not."""
    async with (
        run_server(**TOKENS, feed="simulator") as server,
        httpx2.AsyncClient(base_url=server.url, headers=bearer(token(symbols=["A*", "MSFT"]))) as client,
    ):
        await client.post("/v1/quotes", json=[{"symbol": "AB", "last": 5}, {"symbol": "B", "last": 5}], headers=ALL)
        quotes = [quote["symbol"] for quote in (await client.get("/v1/quotes")).json()]
        assert "AB" in quotes
        found = [*quotes, *(each["symbol"] for each in (await client.get("/v1/instruments")).json())]
        checked = (await client.post("/v1/screens/check", json={"filter": "last > 0"})).json()
        assert all(name.startswith("A") or name == "MSFT" for name in [*found, *checked["symbols"]])
        for call in ("/v1/quotes/B", "/v1/quotes/NONE", "/v1/candles/B", "/v1/quotes?symbols=B,C"):
            assert (await client.get(call)).status_code == 403, call
        why = await client.post("/v1/screens/check", json={"filter": "last > 0", "symbol": "B"})
        assert why.status_code == 403
        assert (await client.get("/v1/candles/AB")).status_code == 200
        only = bearer(token(events=["message"]))
        assert (await client.get("/v1/quotes", headers=only)).json()["field"] == "events"
