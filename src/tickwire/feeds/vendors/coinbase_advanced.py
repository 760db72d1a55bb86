"""The feed of Coinbase, over the protocol of the Advanced Trade WebSocket.

The channel `market_trades` sends every trade, `ticker` sends the best bid and ask after each trade, and `heartbeats`
sends one message a second. https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from tickwire.core.codec import encode_json
from tickwire.core.tick import NOT_REPORTED
from tickwire.feeds.vendors.vendor import Credentials, SessionOutput, Vendor, to_nanoseconds

_CHANNELS = ("market_trades", "ticker")
_WORD = re.compile(r"[A-Z0-9.-]+")


class _Trade(msgspec.Struct):
    trade_id: str
    product_id: str
    price: float
    size: float
    time: datetime


class _TradesEvent(msgspec.Struct):
    """The newest trades of a product at the time of the subscription, or new trades. The newest trade is first."""

    type: Literal["snapshot", "update"]
    trades: list[_Trade]


class _TradesMessage(msgspec.Struct, tag_field="channel", tag="market_trades"):
    events: list[_TradesEvent]


class _Book(msgspec.Struct):
    """The best bid and ask. Coinbase sends no time with these prices."""

    product_id: str
    best_bid: float
    best_ask: float
    best_bid_quantity: float = NOT_REPORTED
    best_ask_quantity: float = NOT_REPORTED


class _TickerEvent(msgspec.Struct):
    tickers: list[_Book]


class _TickerMessage(msgspec.Struct, tag_field="channel", tag="ticker"):
    timestamp: datetime
    events: list[_TickerEvent]


class _Heartbeat(msgspec.Struct, tag_field="channel", tag="heartbeats"):
    pass


class _Subscriptions(msgspec.Struct, tag_field="channel", tag="subscriptions"):
    pass


class _Error(msgspec.Struct, tag_field="type", tag="error"):
    """An error. Unlike all other messages, it has a type and no channel."""

    message: str = ""


_Message: TypeAlias = _TradesMessage | _TickerMessage | _Heartbeat | _Subscriptions
_DECODER = msgspec.json.Decoder(_Message, strict=False)
_ERROR_DECODER = msgspec.json.Decoder(_Error)


class CoinbaseAdvancedSession:
    """The protocol of one connection to Coinbase Advanced Trade."""

    def __init__(self, _credentials: Credentials, output: SessionOutput) -> None:
        self._output = output
        self._requested: set[str] = set()

    def open(self) -> Sequence[str]:
        return [encode_json({"type": "subscribe", "channel": "heartbeats"}).decode()]

    def subscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        self._requested.update(symbols)
        return _encode_requests("subscribe", symbols)

    def unsubscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        self._requested.difference_update(symbols)
        return _encode_requests("unsubscribe", symbols)

    def receive(self, message: bytes, now: int) -> None:
        try:
            decoded = _DECODER.decode(message)
        except msgspec.ValidationError:
            self._receive_error(_ERROR_DECODER.decode(message).message)
            return
        if isinstance(decoded, _TradesMessage):
            for event in decoded.events:
                self._receive_trades(event)
        elif isinstance(decoded, _TickerMessage):
            ts = to_nanoseconds(decoded.timestamp)
            for tickers in decoded.events:
                for book in tickers.tickers:
                    self._output.add_book(
                        book.product_id,
                        ts,
                        (book.best_bid, book.best_bid_quantity),
                        (book.best_ask, book.best_ask_quantity),
                    )
        elif isinstance(decoded, _Subscriptions):
            self._output.is_subscribed = True

    def _receive_trades(self, event: _TradesEvent) -> None:
        for trade in reversed(event.trades):
            self._output.add_trade(
                trade.product_id,
                to_nanoseconds(trade.time),
                trade.price,
                trade.size,
                trade.trade_id,
                is_history=event.type == "snapshot",
            )

    def _receive_error(self, message: str) -> None:
        """Drop the products that an error message names. Keep the connection.

        If the vendor has accepted no subscription, no messages arrive. The feed then opens a new connection after some
        time.
        """
        self._output.warnings.append(f"coinbase-advanced reports an error: {message}")
        self._output.rejected |= self._requested.intersection(_WORD.findall(message))


def _encode_requests(kind: str, symbols: Sequence[str]) -> list[str]:
    return [
        encode_json({"type": kind, "product_ids": list(symbols), "channel": channel}).decode() for channel in _CHANNELS
    ]


# Coinbase accepts 8 messages a second. A subscription request consists of two messages, one for each channel, so the
# feed waits for 0.3 s after each request.
VENDOR = Vendor(
    "coinbase-advanced",
    "wss://advanced-trade-ws.coinbase.com",
    10.0,
    1_000,
    CoinbaseAdvancedSession,
    is_always_open=True,
    request_interval_s=0.3,
)
