"""The feed of Kraken, over version 2 of its WebSocket protocol.

The channel `trade` sends every trade, and the channel `ticker` sends the best bid and ask after each change. Kraken
sends one heartbeat a second when it has nothing else to send. https://docs.kraken.com/api/docs/websocket-v2/ticker
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from tickwire.core.codec import encode_json
from tickwire.feeds.vendors.vendor import Credentials, SessionOutput, Vendor, VendorError, to_nanoseconds


class _Trade(msgspec.Struct):
    symbol: str
    price: float
    qty: float
    trade_id: int
    timestamp: datetime


class _Book(msgspec.Struct):
    """The data of the channel `ticker`. Kraken added the timestamp to the channel later, so it may be missing."""

    symbol: str
    bid: float
    bid_qty: float
    ask: float
    ask_qty: float
    timestamp: datetime | None = None


class _TradeMessage(msgspec.Struct, tag_field="channel", tag="trade"):
    type: Literal["snapshot", "update"]
    data: list[_Trade]


class _TickerMessage(msgspec.Struct, tag_field="channel", tag="ticker"):
    data: list[_Book]


class _Heartbeat(msgspec.Struct, tag_field="channel", tag="heartbeat"):
    pass


class _Status(msgspec.Struct, tag_field="channel", tag="status"):
    pass


class _Response(msgspec.Struct):
    """The answer to a request of the client. Unlike all other messages, it has a method and no channel."""

    method: str
    success: bool = True
    error: str = ""
    symbol: str | None = None


_CHANNEL_DECODER = msgspec.json.Decoder(_TradeMessage | _TickerMessage | _Heartbeat | _Status)
_RESPONSE_DECODER = msgspec.json.Decoder(_Response)


_CHANNELS = ({"channel": "trade"}, {"channel": "ticker", "event_trigger": "bbo"})


class KrakenSession:
    """The protocol of one connection to Kraken."""

    def __init__(self, _credentials: Credentials, output: SessionOutput) -> None:
        self._output = output

    def open(self) -> Sequence[str]:
        return ()

    def subscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        return [_encode_request("subscribe", channel, symbols, snapshot=True) for channel in _CHANNELS]

    def unsubscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        return [_encode_request("unsubscribe", channel, symbols) for channel in _CHANNELS]

    def receive(self, message: bytes, now: int) -> None:
        if b'"method"' in message[:64]:
            self._receive_response(_RESPONSE_DECODER.decode(message))
            return
        decoded = _CHANNEL_DECODER.decode(message)
        if isinstance(decoded, _TradeMessage):
            for trade in decoded.data:
                self._output.add_trade(
                    trade.symbol,
                    to_nanoseconds(trade.timestamp),
                    trade.price,
                    trade.qty,
                    trade.trade_id,
                    is_history=decoded.type == "snapshot",
                )
        elif isinstance(decoded, _TickerMessage):
            for book in decoded.data:
                ts = now if book.timestamp is None else to_nanoseconds(book.timestamp)
                self._output.add_book(book.symbol, ts, (book.bid, book.bid_qty), (book.ask, book.ask_qty))

    def _receive_response(self, response: _Response) -> None:
        if response.success:
            self._output.is_subscribed = True
        elif response.symbol is None:
            raise VendorError(f"kraken reports an error: {response.error}")
        else:
            self._output.warnings.append(f"kraken rejects {response.symbol}: {response.error}")
            self._output.rejected.add(response.symbol)


def _encode_request(method: str, channel: Mapping[str, str], symbols: Sequence[str], **options: bool) -> str:
    return encode_json({"method": method, "params": {**channel, "symbol": list(symbols), **options}}).decode()


VENDOR = Vendor("kraken", "wss://ws.kraken.com/v2", 10.0, 1_000, KrakenSession, is_always_open=True)
