"""The feed of Coinbase, over the protocol of the Coinbase Exchange WebSocket feed.

The channel `matches` sends every trade, `ticker` sends the best bid and ask after each trade, and `heartbeat` sends one
message a second for each product. https://docs.cdp.coinbase.com/exchange/websocket-feed/channels
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

import msgspec

from tickwire.core.codec import encode_json
from tickwire.core.tick import NOT_REPORTED
from tickwire.feeds.vendors.vendor import Credentials, SessionOutput, Vendor, VendorError, to_nanoseconds

_CHANNELS = ("matches", "ticker", "heartbeat")
# The reason in an error about an unknown product, such as "XYZ-USD is not a valid product".
_UNKNOWN_PRODUCT = re.compile(r"(\S+) is not a valid product")


class _Match(msgspec.Struct, tag_field="type", tag="match"):
    """A trade."""

    trade_id: int
    product_id: str
    price: float
    size: float
    time: datetime


class _LastMatch(_Match, tag_field="type", tag="last_match"):
    """The newest trade of a product at the time of the subscription."""


class _Ticker(msgspec.Struct, tag_field="type", tag="ticker"):
    """The best bid and ask. The first message of a product has no time if the product has never traded."""

    product_id: str
    best_bid: float
    best_ask: float
    time: datetime | None = None
    best_bid_size: float = NOT_REPORTED
    best_ask_size: float = NOT_REPORTED


class _Error(msgspec.Struct, tag_field="type", tag="error"):
    message: str
    reason: str = ""


class _Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat"):
    pass


class _Subscriptions(msgspec.Struct, tag_field="type", tag="subscriptions"):
    pass


_Message: TypeAlias = _Match | _LastMatch | _Ticker | _Error | _Heartbeat | _Subscriptions
_DECODER = msgspec.json.Decoder(_Message, strict=False)


class CoinbaseSession:
    """The protocol of one connection to Coinbase."""

    def __init__(self, _credentials: Credentials, output: SessionOutput) -> None:
        self._output = output

    def open(self) -> Sequence[str]:
        return ()

    def subscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        return [_encode_request("subscribe", symbols)]

    def unsubscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        return [_encode_request("unsubscribe", symbols)]

    def receive(self, message: bytes, now: int) -> None:
        decoded = _DECODER.decode(message)
        output = self._output
        if isinstance(decoded, _Match):
            output.add_trade(
                decoded.product_id,
                to_nanoseconds(decoded.time),
                decoded.price,
                decoded.size,
                decoded.trade_id,
                is_history=isinstance(decoded, _LastMatch),
            )
        elif isinstance(decoded, _Ticker):
            output.add_book(
                decoded.product_id,
                now if decoded.time is None else to_nanoseconds(decoded.time),
                (decoded.best_bid, decoded.best_bid_size),
                (decoded.best_ask, decoded.best_ask_size),
            )
        elif isinstance(decoded, _Error):
            self._receive_error(
                f"coinbase reports an error: {decoded.message} {decoded.reason}".rstrip(), decoded.reason
            )
        elif isinstance(decoded, _Subscriptions):
            output.is_subscribed = True

    def _receive_error(self, text: str, reason: str) -> None:
        """If an error reports an unknown product, reject the product. Any other error ends the connection."""
        unknown = _UNKNOWN_PRODUCT.match(reason)
        if unknown is None:
            raise VendorError(text)
        self._output.warnings.append(text)
        self._output.rejected.add(unknown[1])


def _encode_request(kind: str, symbols: Sequence[str]) -> str:
    return encode_json({"type": kind, "product_ids": list(symbols), "channels": list(_CHANNELS)}).decode()


# Each product has its own request, because Coinbase rejects a whole request if one of its products is unknown.
VENDOR = Vendor(
    "coinbase",
    "wss://ws-feed.exchange.coinbase.com",
    10.0,
    1_000,
    CoinbaseSession,
    max_symbols_per_request=1,
    is_always_open=True,
)
