"""Made-up messages in the format of each vendor. The prices and times of a symbol ascend."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

START_S = 1_767_362_400  # 2026-01-02 14:00 UTC, an hour before the start of a manual clock


def iso_time(step: int) -> str:
    """Return a time `step` milliseconds after START_S."""
    return datetime.fromtimestamp(START_S + step / 1000, UTC).isoformat().replace("+00:00", "Z")


def coinbase(count: int) -> Iterator[str]:
    """Yield the answer to a subscription, and `count` trades, each with a ticker."""
    yield json.dumps({"type": "subscriptions", "channels": []})
    for step in range(count):
        common = {"product_id": "BTC-USD", "time": iso_time(step), "price": f"{100 + step}.25"}
        yield json.dumps({"type": "match", "trade_id": step, "side": "buy", "size": "0.5", **common})
        yield json.dumps({"type": "ticker", "best_bid": f"{100 + step}", "best_ask": f"{101 + step}", **common})


def coinbase_advanced(count: int) -> Iterator[str]:
    yield json.dumps({"channel": "subscriptions", "events": [{"subscriptions": {"ticker": ["BTC-USD"]}}]})
    for step in range(count):
        moment = iso_time(step)
        trade = {
            "trade_id": str(step),
            "product_id": "BTC-USD",
            "side": "BUY",
            "price": f"{100 + step}.25",
            "size": "0.5",
        }
        book = {"type": "ticker", "product_id": "BTC-USD", "best_bid": f"{100 + step}", "best_ask": f"{101 + step}"}
        common = {"client_id": "", "timestamp": moment, "sequence_num": step}
        trades = [{"type": "update", "trades": [{**trade, "time": moment}]}]
        yield json.dumps({"channel": "market_trades", **common, "events": trades})
        yield json.dumps({"channel": "ticker", **common, "events": [{"type": "update", "tickers": [book]}]})
        yield json.dumps({"channel": "heartbeats", **common, "events": [{"heartbeat_counter": step}]})


def kraken(count: int) -> Iterator[str]:
    yield json.dumps({"channel": "status", "type": "update", "data": [{"system": "online"}]})
    yield json.dumps({"method": "subscribe", "success": True, "result": {"channel": "trade"}})
    for step in range(count):
        trade = {"symbol": "BTC/USD", "side": "buy", "qty": 0.5, "price": 100.25 + step, "trade_id": step}
        book = {"symbol": "BTC/USD", "bid": 100 + step, "bid_qty": 1.5, "ask": 101 + step, "ask_qty": 2}
        moment = {"timestamp": iso_time(step)}
        yield json.dumps({"channel": "trade", "type": "update", "data": [{**trade, **moment}]})
        yield json.dumps({"channel": "ticker", "type": "update", "data": [{**book, **moment}]})
        yield json.dumps({"channel": "heartbeat"})


def binance(count: int) -> Iterator[str]:
    """Yield trades only, because the bids and asks of Binance have no times of their own."""
    yield json.dumps({"result": None, "id": 1})
    for step in range(2 * count):
        trade = {"e": "aggTrade", "s": "BTCUSDT", "a": step, "p": f"{100 + step}.25", "q": "0.5"}
        data = {**trade, "T": START_S * 1000 + step}
        yield json.dumps({"stream": "btcusdt@aggTrade", "data": data})


def alpaca(count: int) -> Iterator[str]:
    """Yield the messages after the login."""
    yield json.dumps([{"T": "subscription", "trades": ["AAPL"], "quotes": ["AAPL"]}])
    for step in range(count):
        common = {"S": "AAPL", "t": iso_time(step), "z": "C"}
        trade = {"T": "t", "i": step, "x": "V", "p": 100.25 + step, "s": 50, "c": ["@"], **common}
        quote = {"T": "q", "bx": "V", "bp": 100 + step, "bs": 1, "ax": "V", "ap": 101 + step, "as": 2, **common}
        yield json.dumps([trade, quote])
