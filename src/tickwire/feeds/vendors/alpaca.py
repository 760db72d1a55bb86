"""The feed of Alpaca for US stocks, over version 2 of Alpaca's real-time market data protocol.

The feed subscribes to trades, quotes and statuses. After the login, Alpaca also sends the corrections and cancellations
of trades. https://docs.alpaca.markets/docs/real-time-stock-pricing-data
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

import msgspec

from tickwire.core.codec import encode_json
from tickwire.feeds.vendors.vendor import (
    Credentials,
    RememberedTrade,
    SessionOutput,
    Vendor,
    VendorError,
    to_nanoseconds,
)
from tickwire.market.sale_conditions import FULL_EFFECT, SaleEffect, sale_effect

# The status codes of the two US data feeds. CTA sends 2 (halt) and 3 (resumption). UTP sends H (halt), P (volatility
# pause) and T (resumption of trading).
_HALTED = frozenset({"2", "H", "P"})
_RESUMED = frozenset({"3", "T"})


class _Trade(msgspec.Struct):
    number: int = msgspec.field(name="i")
    symbol: str = msgspec.field(name="S")
    exchange: str = msgspec.field(name="x")
    price: float = msgspec.field(name="p")
    size: float = msgspec.field(name="s")
    time: datetime = msgspec.field(name="t")
    conditions: list[str] = msgspec.field(name="c", default_factory=list)
    tape: str = msgspec.field(name="z", default="")


class _Quote(msgspec.Struct):
    """The best bid and ask. A price of 0 means that this side of the order book is empty."""

    symbol: str = msgspec.field(name="S")
    bid: float = msgspec.field(name="bp")
    bid_size: float = msgspec.field(name="bs")
    ask: float = msgspec.field(name="ap")
    ask_size: float = msgspec.field(name="as")
    time: datetime = msgspec.field(name="t")


class _Status(msgspec.Struct):
    symbol: str = msgspec.field(name="S")
    code: str = msgspec.field(name="sc")


class _Correction(msgspec.Struct):
    """The correction of a trade: the number, price and size, each with the original and the corrected value."""

    symbol: str = msgspec.field(name="S")
    exchange: str = msgspec.field(name="x")
    number: int = msgspec.field(name="oi")
    price: float = msgspec.field(name="op")
    size: float = msgspec.field(name="os")
    corrected_number: int = msgspec.field(name="ci")
    corrected_price: float = msgspec.field(name="cp")
    corrected_size: float = msgspec.field(name="cs")
    time: datetime = msgspec.field(name="t")
    corrected_conditions: list[str] = msgspec.field(name="cc", default_factory=list)
    tape: str = msgspec.field(name="z", default="")


class _Cancel(_Trade):
    """A message that cancels a trade, or reports that the trade was an error."""


class _Success(msgspec.Struct):
    message: str = msgspec.field(name="msg")


class _Error(msgspec.Struct):
    code: int
    message: str = msgspec.field(name="msg")


class _Item(msgspec.Struct):
    """One item of a message. The kind of the item determines its other keys."""

    kind: str = msgspec.field(name="T")


# The kinds of items that the session reads. Other kinds, such as bars and volatility limits, contain no data for a
# quote.
_Content: TypeAlias = _Trade | _Cancel | _Correction | _Quote | _Status | _Success | _Error
_MESSAGE_DECODER = msgspec.json.Decoder(list[msgspec.Raw])
_ITEM_DECODER = msgspec.json.Decoder(_Item)
_DECODERS: dict[str, msgspec.json.Decoder[_Content]] = {
    "t": msgspec.json.Decoder(_Trade),
    "q": msgspec.json.Decoder(_Quote),
    "c": msgspec.json.Decoder(_Correction),
    "x": msgspec.json.Decoder(_Cancel),
    "s": msgspec.json.Decoder(_Status),
    "success": msgspec.json.Decoder(_Success),
    "error": msgspec.json.Decoder(_Error),
}


class AlpacaSession:
    """The protocol of one connection to Alpaca: login, subscription, and then prices."""

    def __init__(self, credentials: Credentials, output: SessionOutput) -> None:
        self._credentials = credentials
        self._output = output
        output.can_subscribe = False

    def open(self) -> Sequence[str]:
        # Send nothing, because Alpaca sends the first message.
        return ()

    def subscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        return [_encode_request("subscribe", symbols)]

    def unsubscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        return [_encode_request("unsubscribe", symbols)]

    def receive(self, message: bytes, now: int) -> None:
        del now
        for raw in _MESSAGE_DECODER.decode(message):
            kind = _ITEM_DECODER.decode(raw).kind
            if kind == "subscription":
                self._output.is_subscribed = True
            elif kind in _DECODERS:
                self._receive_item(_DECODERS[kind].decode(raw))

    def _receive_item(self, item: _Content) -> None:
        output = self._output
        if isinstance(item, _Cancel):
            trade = RememberedTrade(to_nanoseconds(item.time), item.price, item.size)
            output.correct_trade(item.symbol, (item.exchange, item.number), trade)
        elif isinstance(item, _Correction):
            ts, corrected_number = to_nanoseconds(item.time), (item.exchange, item.corrected_number)
            output.correct_trade(
                item.symbol,
                (item.exchange, item.number),
                RememberedTrade(ts, item.price, item.size),
                (corrected_number, RememberedTrade(ts, item.corrected_price, item.corrected_size)),
                effect=self._effect(item.tape, item.corrected_conditions),
            )
        elif isinstance(item, _Trade):
            number = (item.exchange, item.number)
            effect = self._effect(item.tape, item.conditions)
            output.add_trade(item.symbol, to_nanoseconds(item.time), item.price, item.size, number, effect=effect)
        elif isinstance(item, _Quote):
            output.add_book(
                item.symbol, to_nanoseconds(item.time), (item.bid, item.bid_size), (item.ask, item.ask_size)
            )
        elif isinstance(item, _Status):
            if item.code in _HALTED | _RESUMED:
                output.set_trading(item.symbol, is_trading=item.code in _RESUMED)
        elif isinstance(item, _Error):
            raise VendorError(f"alpaca reports an error: {item.code} {item.message}")
        elif item.message == "connected":
            key, secret = self._credentials
            output.replies.append(encode_json({"action": "auth", "key": key, "secret": secret}).decode())
        elif item.message == "authenticated":
            output.can_subscribe = True

    def _effect(self, tape: str, conditions: Sequence[str]) -> SaleEffect:
        return sale_effect(tape, conditions) if self._output.applies_conditions else FULL_EFFECT


def _encode_request(action: str, symbols: Sequence[str]) -> str:
    names = list(symbols)
    return encode_json({"action": action, "trades": names, "quotes": names, "statuses": names}).decode()


# Alpaca never sends heartbeats, and it sends no prices at night. The feed's own pings detect a dead connection. The
# silence limit of 900 s detects a connection that answers pings but sends no prices.
VENDOR = Vendor(
    "alpaca",
    "wss://stream.data.alpaca.markets/v2/iex",
    900.0,
    1_000,
    AlpacaSession,
    needs_credentials=True,
)
