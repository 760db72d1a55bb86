"""No reader receives a symbol outside its rights, after any kind of request."""

from __future__ import annotations

import contextlib
import random
from fnmatch import fnmatchcase
from itertools import count
from time import time_ns

import httpx2
import pytest

from tickwire.runtime.status import JOURNAL_FAULT
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TOKEN_AUTH, bearer_header, sign_token
from tickwire.testing.wire import WireStream, open_stream

SYMBOLS = [first + second for first in "ABC" for second in "ABC"]
PATTERNS = ["*", "A*", "*A", "B*", "*C", "?B", *SYMBOLS]
ALL = bearer_header(sign_token("publish messages admin", sub="root"))
_TURNS = count(1)


def event_symbols(event) -> list[str]:
    """Return the symbols in an event."""
    if event.name in ("quote", "candle"):
        return [event.data["symbol"]]
    if event.name in ("enter", "leave"):
        return [event.data["symbol"], event.data["quote"]["symbol"]]
    if event.name == "status":
        return [*filter(None, [event.data["symbol"]]), *event.data["halted"]]
    return event.data["symbols"] if event.name == "matches" else []


class RightsCheckingReader:
    """A reader that checks its events: every symbol must be both requested and allowed."""

    def __init__(self, requested: list[str], allowed: list[str]) -> None:
        self.permitted = {
            symbol
            for symbol in SYMBOLS
            if any(fnmatchcase(symbol, name) for name in requested)
            and any(fnmatchcase(symbol, name) for name in allowed)
        }
        # A token for all symbols may read the status of symbols that were not requested.
        self.reads_all_statuses = "*" in allowed
        self.last: str | None = None
        self.seen: set[str] = set()

    async def read(self, stream: WireStream) -> None:
        """Read up to the marker message, which the server sends after all other events."""
        while True:
            event = await stream.next_event()
            assert event is not None
            is_unrestricted = event.name == "status" and self.reads_all_statuses
            assert is_unrestricted or set(event_symbols(event)) <= self.permitted, event
            self.seen.update(event_symbols(event))
            self.last = event.id or self.last
            if event.name == "mark":
                return


async def publish(server, client) -> None:
    """Halt or resume some symbols, publish a tick of every symbol, then a marker message for all readers."""
    trading_changes = {symbol: random.random() < 0.5 for symbol in random.sample(SYMBOLS, 3)}
    await server.runtime._status_publisher.publish_trading_changes(trading_changes)
    # Use a later second in every call, so that the open candles close.
    ts = time_ns() // 1000 + 2_000_000 * next(_TURNS)
    symbols = random.sample(SYMBOLS, len(SYMBOLS))
    ticks = [{"symbol": symbol, "last": random.randint(1, 20), "ts": ts} for symbol in symbols]
    assert (await client.post("/v1/quotes", json=ticks, headers=ALL)).status_code == 201
    await publish_marker(client)


async def publish_marker(client) -> None:
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
async def test_readers_receive_only_allowed_symbols(shape) -> None:
    """Readers with random lists and rights receive live events, snapshots and the history since a time.

    Some readers change or store their subscriptions, and some resume with fewer rights.
    """
    rng = random.Random(str(shape))
    async with run_server(**TOKEN_AUTH) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await publish(server, client)
        for turn in range(6):
            requested, allowed = rng.sample(PATTERNS, rng.randint(1, 3)), rng.sample(PATTERNS, rng.randint(1, 3))
            reader = RightsCheckingReader(requested, allowed)
            if not reader.permitted:
                continue
            headers = bearer_header(sign_token(symbols=allowed, sub=f"user{turn}"))
            events = [
                "quote",
                "message",
                "status",
                *["screen"] * ("filter" in shape),
                *["candle"] * ("candles" in shape),
            ]
            params = {**shape, "symbols": ",".join(requested), "events": ",".join(events)}
            if turn % 2:
                body = {name: value for name, value in params.items() if name != "since"}
                answer = await client.post("/v1/subscriptions", json=body, headers=headers)
                params = {"subscription": answer.json()["id"]} | ({"since": shape["since"]} if "since" in shape else {})
            params["client_id"] = f"reader{turn}"
            async with open_stream(server.url, params, headers=headers) as stream:
                assert stream.status == 200
                await publish(server, client)
                await reader.read(stream)
                change = rng.sample(PATTERNS[1:], 3)
                answer = await client.patch(f"/v1/clients/reader{turn}", json={"symbols": change}, headers=ALL)
                assert answer.status_code == 200
                # Until the change is in force, symbols of both lists may arrive.
                reader.permitted |= RightsCheckingReader(change, allowed).permitted
                await stream.next_events(1, name="subscription")
                reader.permitted = RightsCheckingReader(change, allowed).permitted
                await publish(server, client)
                await reader.read(stream)
            fewer = rng.sample(PATTERNS, 2)
            # The result is the changed subscription, restricted by the rights of the new token.
            reader.permitted, reader.reads_all_statuses = RightsCheckingReader(change, fewer).permitted, "*" in fewer
            again = {name: value for name, value in params.items() if name != "since"} | {
                "last_event_id": reader.last or ""
            }
            async with open_stream(
                server.url, again, headers=bearer_header(sign_token(symbols=fewer, sub=f"user{turn}"))
            ) as stream:
                if stream.status == 200:
                    await publish(server, client)
                    await reader.read(stream)
                else:
                    assert stream.status == 403


async def test_the_welcome_has_the_restricted_subscription() -> None:
    """The welcome shows the reader which parts of its request are not allowed."""
    async with run_server(**TOKEN_AUTH) as server:
        for claims, params, expected in (
            ({"symbols": ["A*", "B"]}, {}, {"symbols": ["A*", "B"]}),
            ({"symbols": ["A*", "B"]}, {"symbols": "AA,B,C"}, {"symbols": ["AA", "B"]}),
            ({"symbols": ["*A"]}, {"symbols": "B*"}, {"symbols": ["B*"], "allowed": ["*A"]}),
            ({"events": ["quote"]}, {"events": "quote,message"}, {"events": ["quote"]}),
            ({"events": ["quote"]}, {"candles": "5m"}, {"events": ["quote"], "candles": None}),
            ({"symbols": ["A*"]}, {"candles": "5m"}, {"events": ["quote", "candle"], "candles": "5m"}),
            ({"interval": "1s"}, {"interval": "20ms"}, {"interval": 1000}),
        ):
            async with open_stream(server.url, params, headers=bearer_header(sign_token(**claims))) as stream:
                subscription = (await stream.next_event()).data["subscription"]
                assert subscription | expected == subscription, subscription


async def test_a_request_without_allowed_parts_is_refused() -> None:
    """The answer is 403 with the name of the parameter. An empty stream would look like a market without trades."""
    async with run_server(**TOKEN_AUTH) as server:
        for claims, params, field in (
            ({"symbols": ["A*"]}, {"symbols": "B,C"}, "symbols"),
            ({"symbols": []}, {}, "symbols"),
            ({"events": ["message"]}, {"events": "quote"}, "events"),
            ({"events": ["quote"]}, {"events": "candle"}, "events"),
            ({"symbols": ["A*"]}, {"symbols": "B", "events": "candle"}, "symbols"),
            ({"interval": "1s"}, {"delivery": "all"}, "delivery"),
        ):
            async with open_stream(server.url, params, headers=bearer_header(sign_token(**claims))) as stream:
                assert (stream.status, (await stream.read_json())["field"]) == (403, field)


async def test_rest_is_restricted_too() -> None:
    """Quotes, instruments, candles and screens have only allowed symbols.

    The server answers 403 to a request for any other symbol, known or unknown.
    """
    async with (
        run_server(**TOKEN_AUTH, feed="simulator") as server,
        httpx2.AsyncClient(base_url=server.url, headers=bearer_header(sign_token(symbols=["A*", "MSFT"]))) as client,
    ):
        await client.post("/v1/quotes", json=[{"symbol": "AB", "last": 5}, {"symbol": "B", "last": 5}], headers=ALL)
        quotes = [quote["symbol"] for quote in (await client.get("/v1/quotes")).json()]
        assert "AB" in quotes
        symbols = [*quotes, *(each["symbol"] for each in (await client.get("/v1/instruments")).json())]
        checked = (await client.post("/v1/screens/check", json={"filter": "last > 0"})).json()
        assert all(name.startswith("A") or name == "MSFT" for name in [*symbols, *checked["symbols"]])
        for call in ("/v1/quotes/B", "/v1/quotes/NONE", "/v1/candles/B", "/v1/quotes?symbols=B,C"):
            assert (await client.get(call)).status_code == 403, call
        refused = await client.post("/v1/screens/check", json={"filter": "last > 0", "symbol": "B"})
        assert refused.status_code == 403
        assert (await client.get("/v1/candles/AB")).status_code == 200
        messages_only = bearer_header(sign_token(events=["message"]))
        assert (await client.get("/v1/quotes", headers=messages_only)).json()["field"] == "events"


HALT_SCENARIO = 'name = "halt"\n[[event]]\nat = "0s"\ndo = "halt"\nsymbols = ["AAPL", "MSFT"]\n'


async def test_a_token_sees_the_halts_of_its_symbols_only(monkeypatch) -> None:
    """The test checks live events, the snapshot of a new stream, REST, and a status that is not in the journal."""
    admin = bearer_header(sign_token("admin", sub="root"))
    narrow = bearer_header(sign_token(symbols=["AA*", "TSLA"]))
    async with (
        run_server(feed="simulator", **TOKEN_AUTH) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"events": "status"}, headers=admin) as complete,
        open_stream(server.url, {"events": "status"}, headers=narrow) as live,
        open_stream(server.url, {"events": "status", "delivery": "all"}, headers=narrow) as lossless,
    ):
        await client.put("/v1/simulator/scenario", content=HALT_SCENARIO, headers=admin)
        while (await complete.next_events(1, name="status"))[0].data["halted"] != ["AAPL", "MSFT"]:
            pass
        async with open_stream(server.url, {"events": "status"}, headers=narrow) as late:
            monkeypatch.setattr(server.runtime.journal, "unavailable_reason", lambda: "out of order")
            for stream in (live, lossless, late):
                statuses = []
                while not statuses or statuses[-1]["notice"] != JOURNAL_FAULT:
                    statuses.append((await stream.next_events(1, name="status"))[0].data)
                assert statuses[-1]["halted"] == ["AAPL"]
                assert {symbol for status in statuses for symbol in status["halted"]} == {"AAPL"}
                assert {status["symbol"] for status in statuses} <= {"AAPL", None}
        for headers, halted in ((admin, ["AAPL", "MSFT"]), (narrow, ["AAPL"])):
            assert (await client.get("/v1/simulator", headers=headers)).json()["halted"] == halted
        without_status = bearer_header(sign_token(events=["quote"]))
        assert (await client.get("/v1/simulator", headers=without_status)).status_code == 403


async def test_changes_give_no_quotes_before_the_interval_of_the_token() -> None:
    """A reader that changes its fields all the time receives one quote of each symbol."""
    headers = bearer_header(sign_token(interval="10s"))
    async with run_server(**TOKEN_AUTH) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await publish(server, client)
        async with open_stream(server.url, {"symbols": "AA,AB", "client_id": "me"}, headers=headers) as stream:
            for turn in range(20):
                fields = ["last"] if turn % 2 else None
                assert (await client.patch("/v1/clients/me", json={"fields": fields}, headers=headers)).is_success
                await publish(server, client)
            symbols = []
            with contextlib.suppress(TimeoutError):
                while True:
                    symbols += event_symbols(await stream.next_event(0.2))
            assert sorted(symbols) == ["AA", "AB"]
