"""Corrections and cancels reach readers, and change quotes and candles."""

from __future__ import annotations

import httpx2
import pytest

from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.wire import open_stream

T0_US = ManualClock().now() // 1000


def wrong_trade(**corrected: float) -> dict:
    return {"symbol": "A", "ts": T0_US, "last": 10.0, "size": 5.0, **corrected}


async def publish_trade(client: httpx2.AsyncClient, symbol: str = "A") -> None:
    tick = {"symbol": symbol, "ts": T0_US, "last": 10.0, "size": 5}
    assert (await client.post("/v1/quotes", json=[tick])).status_code == 201


async def test_a_correction_reaches_its_readers_once() -> None:
    async with (
        run_server(clock=ManualClock()) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"symbols": "A", "events": "quote,correction"}) as stream,
        open_stream(server.url, {"symbols": "B", "events": "quote,correction"}) as other,
    ):
        await publish_trade(client)
        await publish_trade(client, "B")
        change = wrong_trade(corrected_last=9.0, corrected_size=4.0)
        headers = {"Idempotency-Key": "c1"}
        answer = await client.post("/v1/corrections", json=[change], headers=headers)
        assert (answer.status_code, answer.json()["accepted"], answer.json()["repeated"]) == (201, 1, False)
        repeated = await client.post("/v1/corrections", json=[change], headers=headers)
        assert (repeated.status_code, repeated.json()["repeated"]) == (200, True)
        (event,) = await stream.next_events(1, name="correction")
        assert event.data == change
        assert event.id is not None
        quote = (await client.get("/v1/quotes/A")).json()
        assert (quote["last"], quote["volume"], quote["turnover"]) == (9.0, 4, 36)
        await publish_trade(client)
        await publish_trade(client, "B")
        # The reader of B receives no correction. The reader of A receives one.
        past = {"symbols": "A", "events": "correction,quote", "since": "earliest", "delivery": "all"}
        async with open_stream(server.url, past) as replay:
            names = []
            while names.count("quote") < 4:
                names.append((await replay.next_event()).name)
        assert names == ["welcome", "quote", "correction", "quote", "quote", "quote"]
        assert [event.name for event in await other.next_events(2, name="quote")] == ["quote", "quote"]


async def test_an_unknown_field_of_a_correction_is_named() -> None:
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        answer = await client.post("/v1/corrections", json=[{"symbl": "A"}])
        assert (answer.status_code, answer.json()["field"]) == (400, "symbl")
        assert "did you mean symbol?" in answer.text


async def test_a_corrected_closed_candle_is_sent_again() -> None:
    clock = ManualClock()
    async with (
        run_server(clock=clock) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"symbols": "A", "events": "candle", "candles": "1s"}) as stream,
    ):

        async def next_closed() -> dict:
            while not (event := (await stream.next_events(1, name="candle"))[0]).data["closed"]:
                pass
            return event.data

        await publish_trade(client)
        tick = {"symbol": "A", "ts": T0_US + 5_000_000, "last": 10.0, "size": 5}
        assert (await client.post("/v1/quotes", json=[tick])).status_code == 201
        first = await next_closed()
        assert (first["start"], first["volume"], first["close"]) == (T0_US, 5, 10.0)
        # The next candle closes too, and is then the newest closed candle.
        newest = {**wrong_trade(corrected_last=9.0, corrected_size=4.0), "ts": T0_US + 5_000_000}
        await clock.advance(20)
        closed = await next_closed()
        assert closed["start"] == T0_US + 5_000_000
        assert (await client.post("/v1/corrections", json=[newest])).status_code == 201
        # End the pause after the append of the closed candle, which may have begun after the last advance.
        await clock.advance(1)
        revised = await next_closed()
        assert (revised["start"], revised["volume"], revised["close"]) == (T0_US + 5_000_000, 4, 9.0)
        listed = (await client.get("/v1/candles/A", params={"interval": "1s"})).json()
        assert listed[-1]["volume"] == 4


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "0 corrections"),
        ([wrong_trade()] * 101, "101 corrections"),
        ([{**wrong_trade(), "symbol": "NEW"}], "no trades to correct"),
        ([wrong_trade(corrected_last=1.0)], "send corrected_last and corrected_size"),
        ([{"symbol": "A"}], "missing required field"),
        ([{**wrong_trade(), "size": -1}], "size"),
    ],
)
async def test_an_invalid_correction_changes_nothing(body: list, message: str) -> None:
    async with run_server(clock=ManualClock()) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await publish_trade(client)
        answer = await client.post("/v1/corrections", json=body)
        assert answer.status_code == 400
        assert message in str(answer.json())
        assert (await client.get("/v1/quotes/A")).json()["volume"] == 5


async def test_a_correction_needs_the_right_to_publish_its_symbol() -> None:
    async with (
        run_server(auth="secret", auth_secret=TEST_SECRET) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        for scope, claims in (("", {}), ("publish", {"symbols": ["B"]})):
            headers = bearer_header(sign_token(scope, user="ann", **claims))
            assert (await client.post("/v1/corrections", json=[wrong_trade()], headers=headers)).status_code == 403
