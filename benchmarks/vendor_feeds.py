"""Measure the CPU time of a vendor's feed for each message, from the socket to packed ticks."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import NamedTuple

import uvloop

from benchmarks.report import Row
from tickwire.clock import SystemClock
from tickwire.feeds.feed_kind import FeedOptions
from tickwire.feeds.vendors import binance, coinbase, coinbase_advanced, kraken
from tickwire.feeds.vendors.vendor import Vendor
from tickwire.feeds.vendors.websocket_feed import WebSocketFeed
from tickwire.testing.vendor_server import run_vendor_server, send_all

COLUMNS = {"messages": "messages", "us": "CPU us/message", "share": "of a core at 20,000/s"}
# The number of trades. Each trade comes with a bid and an ask.
_TRADES = 40_000
_START_S = 1_767_362_400
_ORDER_ID = "2a0da34e-61f7-4c36-88e5-c9dd15927b16"

Messages = Callable[[int], Iterator[str]]


class _Case(NamedTuple):
    """The messages in which a vendor reports one trade, its bid and its ask. They have the same keys as real
    messages."""

    vendor: Vendor
    symbol: str
    greeting: str
    # The vendor begins to send messages after it has received this number of requests.
    requests: int
    messages: Messages


def measure_vendor_feeds(_seconds: float) -> list[Row]:
    """Measure how fast a feed receives messages. On the other core, a server takes the place of the vendor."""
    return [_measure(name) for name in _CASES]


def _measure(name: str) -> Row:
    with _run_vendor(name) as url:
        return {"name": name, **uvloop.run(_receive_all(_CASES[name], url))}


async def _receive_all(case: _Case, url: str) -> Row:
    options = FeedOptions(urls={case.vendor.name: url})
    feed = WebSocketFeed(case.vendor, [case.symbol], options, SystemClock())
    ticks, started_cpu = 0, time.process_time()
    async for batch in feed.batches():
        ticks += len(batch.ticks)
        if ticks >= 2 * _TRADES:
            break
    cpu_s = time.process_time() - started_cpu
    messages = _TRADES * len([*case.messages(0)])
    microseconds = 1e6 * cpu_s / messages
    return {"messages": messages, "us": round(microseconds, 2), "share": round(microseconds * 20_000 / 1e6, 3)}


@contextmanager
def _run_vendor(name: str) -> Iterator[str]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(name, sender), daemon=True)
    process.start()
    try:
        yield receiver.recv()
    finally:
        process.kill()
        process.join()


def _serve(name: str, sender: Connection) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    case = _CASES[name]
    messages = [case.greeting, *(message for step in range(_TRADES) for message in case.messages(step))]

    async def run() -> None:
        async with run_vendor_server(send_all(messages, case.requests)) as server:
            sender.send(server.url)
            await asyncio.Event().wait()

    uvloop.run(run())


def _iso_time(step: int) -> str:
    return datetime.fromtimestamp(_START_S + step / 1000 + 1e-4, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _coinbase(step: int) -> Iterator[str]:
    common = {"product_id": "BTC-USD", "price": f"{100 + step}.25", "side": "sell", "time": _iso_time(step)}
    orders = {"maker_order_id": _ORDER_ID, "taker_order_id": _ORDER_ID, "size": "0.985", "sequence": 177_100_030 + step}
    yield _dump({"type": "match", "trade_id": step, **orders, **common})
    day = {"open_24h": "14.6647", "volume_24h": "94381.28", "low_24h": "14.3691", "high_24h": "16.55"}
    book = {"best_bid": "14.7550", "best_ask": "14.8060", "volume_30d": "2295579.57", "trade_id": step}
    sizes = {"best_bid_size": "0.4", "best_ask_size": "1.2", "last_size": "0.985", "sequence": 177_100_030 + step}
    yield _dump({"type": "ticker", **day, **book, **sizes, **common})


def _coinbase_advanced(step: int) -> Iterator[str]:
    head = {"client_id": "", "timestamp": _iso_time(step), "sequence_num": step}
    trade = {"product_id": "BTC-USD", "trade_id": str(step), "price": f"{100 + step}.25", "size": "0.985"}
    trades = {"type": "update", "trades": [{**trade, "time": _iso_time(step), "side": "SELL"}]}
    yield _dump({"channel": "market_trades", **head, "events": [trades]})
    day = {"volume_24_h": "94381.28", "low_24_h": "14.3691", "high_24_h": "16.55", "price_percent_chg_24_h": "0.7"}
    sizes = {"best_bid_quantity": "0.4", "best_ask_quantity": "1.2"}
    book = {"type": "ticker", "product_id": "BTC-USD", "price": "14.8", "best_bid": "14.755", "best_ask": "14.806"}
    yield _dump({"channel": "ticker", **head, "events": [{"type": "update", "tickers": [{**book, **day, **sizes}]}]})


def _binance(step: int) -> Iterator[str]:
    ts = _START_S * 1000 + step
    ids = {"a": step, "f": step, "l": step, "T": ts, "E": ts, "m": False, "M": True}
    trade = {"e": "aggTrade", "s": "BTCUSDT", "p": f"{100 + step}.25", "q": "58.00000000", **ids}
    yield _dump({"stream": "btcusdt@aggTrade", "data": trade})
    book = {"u": step, "s": "BTCUSDT", "b": "0.35210000", "B": "672.00000000", "a": "0.35250000", "A": "1123.00000000"}
    yield _dump({"stream": "btcusdt@bookTicker", "data": book})


def _kraken(step: int) -> Iterator[str]:
    trade = {"symbol": "BTC/USD", "side": "buy", "price": 100.25 + step, "qty": 0.985, "ord_type": "limit"}
    data = {**trade, "trade_id": step, "timestamp": _iso_time(step)}
    yield _dump({"channel": "trade", "type": "update", "data": [data]})
    book = {"symbol": "BTC/USD", "bid": 100.25, "bid_qty": 0.4, "ask": 100.5, "ask_qty": 1.2, "last": 100.25}
    day = {"volume": 94381.28, "vwap": 100.1, "low": 90.5, "high": 110.25, "change": 0.7, "change_pct": 0.7}
    yield _dump({"channel": "ticker", "type": "update", "data": [{**book, **day, "timestamp": _iso_time(step)}]})


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


_SUBSCRIBED = '{"method":"subscribe","success":true,"result":{}}'
_CASES = {
    case.vendor.name: case
    for case in (
        _Case(coinbase.VENDOR, "BTC-USD", '{"type":"subscriptions"}', 1, _coinbase),
        _Case(coinbase_advanced.VENDOR, "BTC-USD", '{"channel":"subscriptions"}', 3, _coinbase_advanced),
        _Case(binance.VENDOR, "BTCUSDT", '{"result":null,"id":1}', 1, _binance),
        _Case(kraken.VENDOR, "BTC/USD", _SUBSCRIBED, 2, _kraken),
    )
}
