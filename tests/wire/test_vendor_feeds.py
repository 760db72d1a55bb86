"""Servers whose prices come from a vendor.

A local server replaces the vendor. It closes connections, stalls and sends invalid data.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.contract import vendor_messages
from websockets.asyncio.server import ServerConnection

from tickwire.errors import InputError
from tickwire.feeds.vendors import coinbase
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.vendor_server import Play, VendorServer, read_recorded_messages, run_vendor_server, send_all
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import WireStream, open_stream

RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "r2_permissive_repo" / "wire_frames" / "cryptofeed"
realdata = pytest.mark.skipif(not RECORDINGS.exists(), reason=f"there are no recorded messages in {RECORDINGS}")
KEY, SECRET = "PK0123456789", "s3cret-of-the-account"


class Market:
    """A server, the vendor of its prices, and their common clock."""

    def __init__(self, server: RunningServer, vendor: VendorServer, clock: ManualClock) -> None:
        self.server = server
        self.vendor = vendor
        self.clock = clock
        self._client = httpx2.AsyncClient(base_url=server.url)

    async def close(self) -> None:
        await self._client.aclose()

    async def readiness(self) -> dict[str, Any]:
        answer = await self._client.get("/readyz")
        return {"code": answer.status_code, **answer.json()}

    async def metric(self, name: str) -> float:
        lines = (await self._client.get("/metrics")).text.splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"tickwire_{name}{{"))

    async def dirty_ticks(self) -> dict[str, int]:
        """Return the counts of dirty ticks that are not 0."""
        return {kind: count for kind, count in self.server.runtime.dirty_ticks().items() if count}

    async def wait_for_events(self, count: int) -> None:
        """Advance the clock until the journal has `count` ticks."""
        while self.server.runtime.hub.stats().ticks < count:
            await self.clock.advance(0.1)

    async def events(self, count: int, **parameters: str) -> list[dict[str, Any]]:
        """Return the first `count` quotes of the journal."""
        query = {"since": "earliest", "delivery": "all", **parameters}
        async with open_stream(self.server.url, query) as stream:
            return [event.data for event in await stream.next_events(count, name="quote")]


@contextlib.asynccontextmanager
async def run_market(play: Play, feed: str, **settings: Any) -> AsyncIterator[Market]:
    clock = ManualClock()
    async with (
        run_vendor_server(play) as vendor,
        run_server(clock=clock, feed=feed, feed_url=vendor.url, **settings) as server,
    ):
        market = Market(server, vendor, clock)
        try:
            yield market
        finally:
            await market.close()


def match(number: int, price: float, *, second: int, kind: str = "match", product: str = "BTC-USD") -> str:
    moment = vendor_messages.iso_time(1000 * second)
    values = {"type": kind, "trade_id": number, "product_id": product, "size": "1", "price": str(price), "time": moment}
    return json.dumps(values)


SUBSCRIBED = json.dumps({"type": "subscriptions", "channels": []})


async def next_status(stream: WireStream, **expected: object) -> dict[str, Any]:
    """Return the next status with the expected values."""
    while True:
        (event,) = await stream.next_events(1, name="status")
        if expected.items() <= event.data.items():
            return event.data


async def test_readers_receive_the_prices_of_the_vendor() -> None:
    requests: list[str | bytes] = []

    async def play(connection: ServerConnection, number: int) -> None:
        requests.append(await connection.recv())
        await send_all(vendor_messages.coinbase(20))(connection, number)

    async with run_market(play, "coinbase:BTC-USD") as market:
        await market.wait_for_events(40)
        events = await market.events(40, fields="last,bid,ask,volume")
        assert [event["last"] for event in events[::2]] == [100.25 + step for step in range(20)]
        assert [(event["bid"], event["ask"]) for event in events[1::2]] == [(100 + n, 101 + n) for n in range(20)]
        assert events[-1]["volume"] == 10
        assert [json.loads(request)["product_ids"] for request in requests] == [["BTC-USD"]]
        ready = await market.readiness()
        assert (ready["code"], ready["feed"], ready["mode"], ready["connection"]) == (
            200,
            "coinbase",
            "live",
            "connected",
        )
        assert ready["last_message_age"] < 10
        assert await market.metric("feed_connected") == 1
        assert await market.metric("feed_holes_total") == 0


async def test_after_a_cut_every_trade_arrives_once_and_the_hole_is_marked() -> None:
    """The vendor repeats its newest trade after a reconnect."""

    async def play(connection: ServerConnection, number: int) -> None:
        await connection.recv()
        await connection.send(SUBSCRIBED)
        if number == 0:
            await connection.send(match(1, 10.0, second=0))
            await connection.send(match(2, 11.0, second=1))
            connection.transport.abort()
        else:
            await connection.send(match(2, 11.0, second=1, kind="last_match"))
            await connection.send(match(3, 12.0, second=2))

    async with (
        run_market(play, "coinbase:BTC-USD") as market,
        open_stream(market.server.url, {"events": "status"}) as stream,
    ):
        await next_status(stream, connection="disconnected")
        await market.wait_for_events(3)
        assert [event["last"] for event in await market.events(3)] == [10.0, 11.0, 12.0]
        while not (status := await next_status(stream, connection="connected"))["notice"]:
            pass
        assert status["notice"].startswith("the feed coinbase was disconnected: prices between 2026-01-02T15:00:0")
        assert await market.metric("feed_holes_total") == 1
        assert await market.dirty_ticks() == {}


async def test_a_connection_without_heartbeats_is_replaced() -> None:
    async def play(connection: ServerConnection, number: int) -> None:
        await connection.send(SUBSCRIBED)
        await connection.send(match(number, 10.0 + number, second=number))

    async with run_market(play, "coinbase:BTC-USD") as market:
        await market.wait_for_events(1)
        await market.clock.advance(coinbase.VENDOR.max_silence_s - 2)
        assert (await market.readiness())["connection"] == "connected"
        await market.wait_for_events(2)
        assert market.vendor.connections == 2
        assert await market.metric("feed_holes_total") == 1


async def test_heartbeats_are_another_fact_than_prices() -> None:
    """If the vendor sends heartbeats but no prices, the connection is alive, and the prices are stale."""
    play = send_all([SUBSCRIBED, match(1, 10.0, second=0), *['{"type":"heartbeat"}'] * 3])
    async with run_market(play, "coinbase:BTC-USD", stale_after=3.0) as market:
        await market.wait_for_events(1)
        await market.clock.advance(5)
        ready = await market.readiness()
        assert (ready["code"], ready["state"], ready["connection"]) == (503, "stale", "connected")


async def test_garbage_is_dropped_and_counted() -> None:
    garbage = [
        "not JSON", "", "[]", "null", '{"type":"match"}', '{"type":"news"}', b"\xff\xfe", match(7, 1.0, second=0)[:-3],
    ]  # fmt: skip
    strange = [
        match(1, float("nan"), second=0),
        match(2, 9.0, second=0, product="OTHER"),
        match(3, 1e15, second=0),
        match(4, 9.0, second=-1_767_362_399),
    ]

    async def play(connection: ServerConnection, _number: int) -> None:
        await connection.send(SUBSCRIBED)
        for message in [*garbage, *strange, match(5, 10.0, second=0)]:
            await connection.send(message)

    async with run_market(play, "coinbase:BTC-USD") as market:
        await market.wait_for_events(2)
        events = await market.events(2)
        # The server drops the price of trade 3, which is too large, but counts the size of the trade.
        assert [(event["last"], event["volume"]) for event in events] == [(None, 1), (10.0, 2)]
        assert await market.dirty_ticks() == {
            "unreadable": len(garbage), "not_a_number": 2, "wrong_symbol": 1, "wrong_time": 1,
        }  # fmt: skip


async def test_reordered_and_repeated_trades() -> None:
    play = send_all(
        [SUBSCRIBED, *(match(number, 10.0 + number, second=number) for number in (1, 3, 2, 3, 5, 4))], requests=1
    )
    async with run_market(play, "coinbase:BTC-USD") as market:
        await market.wait_for_events(5)
        events = await market.events(5)
        assert [event["last"] for event in events] == [11.0, 13.0, 13.0, 15.0, 15.0]
        assert (events[-1]["volume"], events[-1]["high"]) == (5, 15.0)
        assert await market.dirty_ticks() == {"duplicate": 1, "late_trade": 2}


async def test_an_unreachable_vendor_is_named() -> None:
    async def play(connection: ServerConnection, number: int) -> None:
        if number < 2:
            await connection.close(1013, "overloaded")
        else:
            await connection.send(SUBSCRIBED)
            await connection.send(match(1, 10.0, second=0))

    async with run_market(play, "coinbase:BTC-USD") as market:
        while (ready := await market.readiness())["connection"] != "disconnected":
            await market.clock.advance(0)
        assert ready["code"] == 200
        assert "overloaded" in ready["connection_reason"]
        await market.wait_for_events(1)
        assert market.vendor.connections == 3
        # Nothing is missing, because no prices had arrived before.
        assert await market.metric("feed_holes_total") == 0


class Alpaca:
    """Plays the login of Alpaca. The first `refusals` logins fail."""

    def __init__(self, messages: list[str], refusals: int = 0) -> None:
        self.messages = messages
        self.refusals = refusals

    async def __call__(self, connection: ServerConnection, number: int) -> None:
        await connection.send('[{"T":"success","msg":"connected"}]')
        assert json.loads(await connection.recv()) == {"action": "auth", "key": KEY, "secret": SECRET}
        if number < self.refusals:
            await connection.send('[{"T":"error","code":402,"msg":"auth failed"}]')
            return
        await connection.send('[{"T":"success","msg":"authenticated"}]')
        await connection.recv()
        for message in self.messages:
            await connection.send(message)


def halt(code: str, second: int) -> str:
    return json.dumps([{"T": "s", "S": "AAPL", "sc": code, "sm": "", "t": vendor_messages.iso_time(1000 * second)}])


async def test_refused_logins_are_named_and_secrets_stay_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="tickwire")
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n{SECRET}\n")
    play = Alpaca([*vendor_messages.alpaca(3)], refusals=2)
    async with run_market(play, "alpaca:AAPL", feed_key_file=str(keys)) as market:
        while (ready := await market.readiness())["connection"] != "disconnected":
            await market.clock.advance(0)
        assert ready["connection_reason"] == "alpaca reports an error: 402 auth failed"
        await market.wait_for_events(6)
        async with open_stream(market.server.url, {"events": "status"}) as stream:
            status = await next_status(stream)
        shown = json.dumps([ready, status, await market.readiness()]) + caplog.text + repr(market.server.app.settings)
        assert SECRET not in shown
        assert KEY not in shown


async def test_halts_of_the_vendor_reach_readers() -> None:
    messages = [*vendor_messages.alpaca(1), halt("H", 1), halt("Q", 2), halt("T", 3)]
    async with (
        run_market(Alpaca(messages), "alpaca:AAPL", feed_key=KEY, feed_secret=SECRET) as market,
        open_stream(market.server.url, {"events": "status"}) as stream,
    ):
        assert (await next_status(stream, symbol="AAPL"))["state"] == "halted"
        assert (await next_status(stream, symbol=None, halted=["AAPL"]))["state"] == "running"
        assert (await next_status(stream, symbol="AAPL"))["state"] == "running"
        await next_status(stream, symbol=None, halted=[])


async def test_corrections_and_cancels_of_the_vendor_reach_readers() -> None:
    """After a cancel of the newest trade, the previous price is the last price again."""

    def item(kind: str, second: int, **fields: object) -> str:
        moment = vendor_messages.iso_time(1000 * second)
        return json.dumps([{"T": kind, "S": "AAPL", "x": "V", "t": moment, "z": "C", **fields}])

    messages = [
        *vendor_messages.alpaca(0),
        item("t", 0, i=1, p=10.0, s=5),
        item("t", 1, i=2, p=11.0, s=5),
        item("c", 9, oi=1, op=10.0, os=5, ci=3, cp=10.5, cs=6),
        item("x", 9, i=2, p=11.0, s=5, a="C"),
    ]
    async with run_market(Alpaca(messages), "alpaca:AAPL", feed_key=KEY, feed_secret=SECRET) as market:
        await market.wait_for_events(6)
        async with open_stream(
            market.server.url, {"events": "correction", "since": "earliest", "delivery": "all"}
        ) as stream:
            corrected, cancelled = [event.data for event in await stream.next_events(2, name="correction")]
        start_us = vendor_messages.START_S * 1_000_000
        assert corrected == {
            "symbol": "AAPL", "ts": start_us, "last": 10.0, "size": 5.0, "corrected_last": 10.5, "corrected_size": 6.0,
        }  # fmt: skip
        assert (cancelled["ts"], cancelled["corrected_last"]) == (start_us + 1_000_000, None)
        (quote,) = (await market.events(6))[-1:]
        assert (quote["last"], quote["volume"], quote["turnover"]) == (10.5, 6, 63)
        # The corrected and the cancelled prices are neither the high nor the low.
        assert (quote["high"], quote["low"]) == (10.5, 10.5)


@pytest.mark.parametrize(("conditions", "last", "high"), [("sip", 10.0, 10.5), ("", 10.5, 90.0)])
async def test_the_sale_conditions_of_trades(conditions: str, last: float, high: float) -> None:
    trades = [(10.0, "@"), (90.0, "I"), (10.5, "Z")]
    items = [
        {"T": "t", "S": "AAPL", "x": "V", "z": "C", "i": number, "p": price, "s": 5, "c": [condition],
         "t": vendor_messages.iso_time(10_000 * number)}
        for number, (price, condition) in enumerate(trades)
    ]  # fmt: skip
    settings = {"feed_key": KEY, "feed_secret": SECRET, "conditions": conditions}
    play = Alpaca([*vendor_messages.alpaca(0), json.dumps(items)])
    async with run_market(play, "alpaca:AAPL", **settings) as market:
        (quote,) = (await market.events(3))[-1:]
        assert (quote["last"], quote["high"], quote["low"], quote["volume"]) == (last, high, 10.0, 15)
        assert (await market.dirty_ticks()).get("condition", 0) == (2 if conditions else 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"feed": "alpaca:AAPL"}, "requires the key and the secret"),
        ({"feed": "coinbase:BTC|USD"}, "cannot be a symbol"),
        ({"feed": "coinbase:,"}, "names no symbol"),
        ({"feed": "binance:" + ",".join(f"S{number}" for number in range(513))}, "at most 512"),
        ({"feed": "coinbase:BTC-USD", "feed_key": "x"}, "applies only to"),
        ({"feed": "http", "feed_url": "wss://user:pass@host"}, "applies only to"),
        ({"feed": "alpaca:AAPL", "feed_key_file": "/does/not/exist"}, "cannot be read"),
    ],
)
async def test_invalid_settings_of_a_vendor(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        async with run_server(**settings):
            pass
    assert "pass@" not in str(caught.value)


async def test_two_lists_of_symbols_have_two_journals(tmp_path: Path) -> None:
    async with run_vendor_server(send_all(vendor_messages.coinbase(2), requests=1)) as vendor:
        for feed in ("coinbase:BTC-USD", "coinbase:ETH-USD,BTC-USD", "coinbase:BTC-USD,ETH-USD"):
            async with run_server(feed=feed, feed_url=vendor.url, journal="", data=tmp_path):
                pass
    assert len([*tmp_path.glob("coinbase-*.journal")]) == 2


async def test_several_feeds_run_at_once() -> None:
    """Instruments always name their vendor. Symbols have the prefix of their vendor if the settings request prefixes.

    The status shows the loss of one vendor.
    """

    async def cut(connection: ServerConnection, number: int) -> None:
        if number == 0:
            for message in vendor_messages.kraken(2):
                await connection.send(message)
        connection.transport.abort()

    clock = ManualClock()
    async with (
        run_vendor_server(send_all(vendor_messages.coinbase(2), requests=1)) as first,
        run_vendor_server(cut) as second,
        run_server(
            clock=clock,
            feed="coinbase:BTC-USD;kraken:BTC/USD",
            feed_url=f"coinbase={first.url},kraken={second.url}",
            distinct_symbols=True,
        ) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"events": "status"}) as stream,
    ):
        await wait_until(lambda: server.runtime.hub.stats().ticks == 8)
        quotes = {quote["symbol"]: quote["last"] for quote in (await client.get("/v1/quotes")).json()}
        assert quotes == {"COINBASE:BTC-USD": 101.25, "KRAKEN:BTC/USD": 101.25}
        instruments = (await client.get("/v1/instruments")).json()
        assert {each["symbol"]: each["source"] for each in instruments} == {
            "COINBASE:BTC-USD": "coinbase", "KRAKEN:BTC/USD": "kraken",
        }  # fmt: skip
        await wait_until(lambda: server.runtime.feed_runner.parts[1].connection.state.value == "disconnected")
        await clock.advance(1)
        while (await next_status(stream))["sources"] != {"coinbase": "running", "kraken": "disconnected"}:
            pass
        ready = (await client.get("/readyz")).json()
        assert (ready["feed"], ready["connection"]) == ("coinbase+kraken", "connected")
        assert [each["connection"] for each in ready["sources"]] == ["connected", "disconnected"]


@pytest.mark.parametrize(
    "feed", ["coinbase:A;http", "coinbase:A;coinbase:B", "coinbase:A;unknown:B", "http;coinbase:A"]
)
async def test_feeds_that_cannot_be_combined(feed: str) -> None:
    with pytest.raises(InputError):
        async with run_server(feed=feed):
            pass


@realdata
@pytest.mark.realdata
async def test_the_recorded_session_of_coinbase() -> None:
    """Readers receive the recorded prices in order."""
    kinds = ("match", "last_match", "ticker", "subscriptions")
    messages = [
        message for message in read_recorded_messages(RECORDINGS / "COINBASE.ws.28.0.gz")
        if json.loads(message)["type"] in kinds
    ]  # fmt: skip
    decoded = [json.loads(message) for message in messages]
    prices = [message for message in decoded if message["type"] != "subscriptions"]
    symbols = ",".join(sorted({message["product_id"] for message in prices}))
    async with run_market(send_all(messages, requests=1), f"coinbase:{symbols}") as market:
        await market.wait_for_events(len(prices))
        events = await market.events(len(prices), fields="last,bid,ask,ts")
        dirty = await market.dirty_ticks()
        print(f"{len(prices)} messages, {dirty}")
        assert set(dirty) <= {"late_trade", "late_quote", "jump"}
        late = dirty.get("late_trade", 0) + dirty.get("late_quote", 0)
        for event, message in zip(events, prices, strict=True):
            assert event["symbol"] == message["product_id"]
            if not late and message["type"] == "ticker":
                assert (event["bid"], event["ask"]) == (float(message["best_bid"]), float(message["best_ask"]))
            elif not late:
                assert event["last"] == float(message["price"])


@realdata
@pytest.mark.realdata
async def test_the_recorded_session_of_binance() -> None:
    messages = [
        message for message in read_recorded_messages(RECORDINGS / "BINANCE.ws.1.0.gz")
        if json.loads(message).get("stream", "").endswith(("@aggTrade", "@bookTicker"))
    ]  # fmt: skip
    decoded = [json.loads(message) for message in messages]
    symbols = ",".join(sorted({message["data"]["s"] for message in decoded}))
    messages.insert(0, '{"result":null,"id":1}')
    async with run_market(send_all(messages, requests=1), f"binance:{symbols}") as market:
        await market.wait_for_events(len(decoded))
        assert await market.dirty_ticks() == {}
        events = await market.events(len(decoded), fields="last,bid,ask,bid_size,ask_size")
        for event, message in zip(events, decoded, strict=True):
            data = message["data"]
            assert event["symbol"] == data["s"]
            if message["stream"].endswith("@aggTrade"):
                assert event["last"] == float(data["p"])
            else:
                assert [event["bid"], event["bid_size"], event["ask"], event["ask_size"]] == [
                    float(data[name]) for name in "bBaA"
                ]
