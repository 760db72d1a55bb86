"""Tokens with a filter on a real server: streams and REST answers contain only symbols that match now."""

from __future__ import annotations

import json
import random
from typing import Any

import httpx2
import pytest

from tickwire.hub.fanout import screen_shares
from tickwire.testing.clock import ManualClock
from tickwire.testing.command_line import invoke_command
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.wire import open_stream

TOKENS = {"auth": "secret", "auth_secret": TEST_SECRET}
ALL = bearer_header(sign_token("publish messages admin", sub="root"))
CHEAP = bearer_header(sign_token(sub="ann", filter="last < 10"))


@pytest.fixture
def instruments(tmp_path) -> str:
    file = tmp_path / "instruments.json"
    rows = [{"symbol": symbol, "exchange": "NYSE" if symbol < "C" else "LSE"} for symbol in "ABCD"]
    file.write_text(json.dumps(rows))
    return str(file)


@pytest.fixture(params=[True, False], ids=["socket sink", "ASGI sink"])
async def server(request, instruments):
    async with run_server(bypass_asgi=request.param, instruments=instruments, **TOKENS) as running:
        yield running


@pytest.fixture
async def client(server):
    async with httpx2.AsyncClient(base_url=server.url) as opened:
        yield opened


async def publish(client, **prices: float) -> str:
    ticks = [{"symbol": symbol, "last": last} for symbol, last in prices.items()]
    answer = await client.post("/v1/quotes", json=ticks, headers=ALL)
    assert answer.status_code == 201
    return answer.json()["last_id"]


async def get(client, path: str, headers=CHEAP, **parameters: Any) -> Any:
    return (await client.get(path, params=parameters, headers=headers)).json()


@pytest.mark.parametrize("value", ["", "last <", "5", "unknown > 1", 5, ["last > 1"], {"a": 1}, "last > 5 or"])
async def test_a_token_with_an_invalid_filter_is_rejected(server, client, value) -> None:
    headers = bearer_header(sign_token("publish admin", filter=value))
    for path in ("/v1/quotes", "/v1/stream"):
        answer = await client.get(path, headers=headers)
        assert (answer.status_code, answer.json()["field"]) == (401, "filter")
        assert "invalid claim in the token: invalid filter" in answer.json()["detail"]


async def test_rest_answers_contain_only_symbols_that_match_now(server, client) -> None:
    await publish(client, A=5, B=50, C=7, X=3)
    await client.post("/v1/halts", json={"halt": ["A", "B", "C"]}, headers=ALL)
    assert [quote["symbol"] for quote in await get(client, "/v1/quotes")] == ["A", "C", "X"]
    assert [quote["symbol"] for quote in await get(client, "/v1/quotes", symbols="B,C")] == ["C"]
    assert [each["symbol"] for each in await get(client, "/v1/instruments")] == ["A", "C"]
    assert (await get(client, "/v1/whoami"))["filter"] == "last < 10"
    check = await client.post("/v1/screens/check", json={"filter": "last > 4"}, headers=CHEAP)
    assert (check.json()["symbols"], check.json()["filter"]) == (["A", "C"], "last > 4")
    for symbol, status in (("A", 200), ("B", 403), ("UNKNOWN", 403)):
        assert (await client.get(f"/v1/quotes/{symbol}", headers=CHEAP)).status_code == status
        body = {"filter": "last > 4", "symbol": symbol}
        assert (await client.post("/v1/screens/check", json=body, headers=CHEAP)).status_code == status
    await publish(client, A=11, B=9)
    assert [quote["symbol"] for quote in await get(client, "/v1/quotes")] == ["B", "C", "X"]
    assert (await client.get("/v1/quotes/A", headers=CHEAP)).status_code == 403
    halting = bearer_header(sign_token("publish", filter="last < 10"))
    assert (await client.post("/v1/halts", json={"resume": ["C"]}, headers=halting)).json() == {"halted": ["B"]}


async def test_the_state_of_the_feed_lists_only_halted_symbols_that_match() -> None:
    async with (
        run_server(feed="simulator", **TOKENS) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=30) as client,
        open_stream(server.url, {"symbols": "AAPL,MSFT", "events": "quote,status"}, headers=ALL) as stream,
    ):
        waiting = {"AAPL", "MSFT"}
        while waiting:
            event = await stream.next_event()
            waiting -= {event.data["symbol"]} if event.name == "quote" else set()
        answer = await client.post("/v1/halts", json={"halt": ["AAPL", "MSFT"]}, headers=ALL)
        assert answer.json() == {"halted": ["AAPL", "MSFT"]}
        while (event := await stream.next_event()).name != "status" or event.data["halted"] != ["AAPL", "MSFT"]:
            pass
        headers = bearer_header(sign_token(filter='symbol = "MSFT"'))
        assert (await get(client, "/v1/simulator", headers))["halted"] == ["MSFT"]


async def test_candles_need_a_filter_of_reference_data(server, client) -> None:
    await publish(client, A=5, C=5)
    assert (await client.get("/v1/candles/A", headers=CHEAP)).status_code == 403
    assert (await client.get("/v1/stream?events=candle", headers=CHEAP)).status_code == 403
    assert (await get(client, "/v1/whoami"))["events"] == ["quote", "screen", "status", "message"]
    nyse = bearer_header(sign_token(filter='exchange = "NYSE"'))
    for symbol, status in (("A", 200), ("C", 403), ("B", 403)):
        assert (await client.get(f"/v1/candles/{symbol}", headers=nyse)).status_code == status
    async with open_stream(server.url, {"events": "candle,correction"}, headers=nyse) as stream:
        await publish(client, A=6, C=6)
        for symbol in "CA":
            body = [{"symbol": symbol, "ts": 1, "last": 5, "size": 1}]
            assert (await client.post("/v1/corrections", json=body, headers=ALL)).status_code == 201
        seen = set[str]()
        while (event := await stream.next_event()).name != "correction":
            seen |= {event.data["symbol"]} if event.name == "candle" else set()
        assert (seen, event.data["symbol"]) == ({"A"}, "A")


async def test_a_symbol_stops_being_readable_at_the_tick_that_leaves_the_filter(server, client) -> None:
    await publish(client, A=5, B=50)
    async with open_stream(server.url, {"filter": "last > 1", "delivery": "all"}, headers=CHEAP) as stream:
        subscription = (await stream.next_event()).data["subscription"]
        assert subscription["filter"] == "last < 10 and last > 1"
        assert [(await stream.next_event()).name for _ in range(2)] == ["matches", "quote"]
        await publish(client, A=10, B=9)
        leave, enter, quote = [await stream.next_event() for _ in range(3)]
        assert (leave.name, leave.data["symbol"], leave.data["quote"]) == ("leave", "A", {"symbol": "A"})
        assert (enter.data["quote"]["last"], quote.data["last"]) == (9, 9)


@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_a_resumed_stream_has_no_ticks_that_did_not_match_then(server, client, delivery) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, prices, log = random.Random(seed), {"A": 5.0}, list[tuple[str, float]]()
    first_id = await publish(client, **prices)
    for _ in range(30):
        symbol, last = rng.choice("ABC"), float(rng.randint(1, 20))
        prices[symbol] = last
        log += [(symbol, last)] if last < 10 else []
        await publish(client, **{symbol: last})
    # The last price matches, and ends the test.
    log.append(("END", 1.0))
    await publish(client, END=1)
    parameters = {"delivery": delivery, "last_event_id": first_id}
    async with open_stream(server.url, parameters, headers=CHEAP) as stream:
        received = list[tuple[str, float]]()
        while not received or received[-1][0] != "END":
            event = await stream.next_event()
            received += [(event.data["symbol"], event.data["last"])] if event.name == "quote" else []
    newest = {symbol: last for symbol, last in {**dict(log), **prices}.items() if last < 10 and symbol in dict(log)}
    assert received == log if delivery == "all" else dict(received) == newest


async def test_changed_stored_and_ticket_streams_keep_the_filter(server, client) -> None:
    await publish(client, A=5, B=50)
    stored = await client.post("/v1/subscriptions", json={"symbols": "A,B"}, headers=CHEAP)
    assert stored.json()["subscription"]["filter"] == "last < 10"
    ticket = (await client.post("/v1/tickets", headers=CHEAP)).json()["ticket"]
    parameters = {"subscription": stored.json()["id"], "ticket": ticket, "client_id": "c"}
    async with open_stream(server.url, parameters) as stream:
        await stream.next_event()
        assert (await stream.next_event()).data["symbol"] == "A"
        for patch in ({"filter": None}, {"filter": "last > 0"}, {"symbols": ["B", "D"]}, {"order": "last", "top": 5}):
            changed = (await client.patch("/v1/clients/c", json=patch, headers=CHEAP)).json()[0]["subscription"]
            assert "last < 10" in changed["filter"]
        await publish(client, B=60, D=6)
        symbols = set[str]()
        while "D" not in symbols:
            event = await stream.next_event()
            symbols |= {event.data["symbol"]} if event.name in ("quote", "enter") else set()
        assert "B" not in symbols


async def test_filters_in_tokens_count_toward_the_limits(monkeypatch) -> None:
    monkeypatch.setattr(screen_shares, "MAX_FILTER_PARTS_PER_BEARER", 1)
    async with run_server(**TOKENS) as server, httpx2.AsyncClient(base_url=server.url) as client:
        first, second = (bearer_header(sign_token(sub="ann", filter=f"last * {factor} > bid")) for factor in (2, 3))
        async with open_stream(server.url, headers=first) as stream:
            await stream.next_event()
            assert (await client.get("/v1/stream", headers=second)).status_code == 429


async def test_a_delayed_token_evaluates_the_filter_on_delayed_quotes() -> None:
    clock = ManualClock()
    now = clock.now() / 1e9
    delayed = bearer_header(sign_token(iat=now, exp=now + 100_000, filter="last < 10", delay="1m"))
    publisher = bearer_header(sign_token("publish", iat=now, exp=now + 100_000))
    async with (
        run_server(**TOKENS, clock=clock, heartbeat=300) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        await client.post(
            "/v1/quotes", json=[{"symbol": "A", "last": 5}, {"symbol": "B", "last": 50}], headers=publisher
        )
        await client.get("/v1/quotes", headers=delayed)
        await clock.advance(61)
        await client.post(
            "/v1/quotes", json=[{"symbol": "A", "last": 50}, {"symbol": "B", "last": 5}], headers=publisher
        )
        async with open_stream(server.url, headers=delayed) as stream:
            await stream.next_event()
            assert (await stream.next_event()).data["last"] == 5
        assert [(each["symbol"], each["last"]) for each in await get(client, "/v1/quotes", delayed)] == [("A", 5)]
        assert (await client.get("/v1/quotes/B", headers=delayed)).status_code == 403


def test_the_command_line_mints_and_checks_filters() -> None:
    environment = {"TICKWIRE_AUTH_SECRET": TEST_SECRET}
    minted = invoke_command("token", "mint", "--filter", 'exchange = "NYSE"', env=environment)
    assert minted.exit_code == 0
    inspected = invoke_command("token", "inspect", minted.output.strip(), env=environment).output
    assert '"filter": "exchange = \\"NYSE\\""' in inspected
    wrong = invoke_command("token", "mint", "--filter", "lsat > 5", env=environment)
    assert wrong.exit_code != 0
    assert "unknown field 'lsat'" in wrong.errors
