"""The feed of Binance, over the public streams of its spot market.

The stream `aggTrade` sends every trade, and the stream `bookTicker` sends the best bid and ask after each change.
Symbols are in capitals, such as BTCUSDT. https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tickwire.core.codec import decode_json, encode_json
from tickwire.feeds.vendors.vendor import Credentials, SessionOutput, Vendor, VendorError

_STREAMS = ("aggTrade", "bookTicker")


class _Trade(msgspec.Struct):
    symbol: str = msgspec.field(name="s")
    number: int = msgspec.field(name="a")
    price: float = msgspec.field(name="p")
    quantity: float = msgspec.field(name="q")
    time_ms: int = msgspec.field(name="T")


class _Book(msgspec.Struct):
    """The best bid and ask. Binance sends no time with these prices."""

    symbol: str = msgspec.field(name="s")
    bid: float = msgspec.field(name="b")
    bid_size: float = msgspec.field(name="B")
    ask: float = msgspec.field(name="a")
    ask_size: float = msgspec.field(name="A")


class _Message(msgspec.Struct):
    """A message of a combined stream, or the answer to a request. An answer has an id and no stream."""

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw | None = None
    id: int | None = None


_MESSAGE_DECODER = msgspec.json.Decoder(_Message)
_TRADE_DECODER = msgspec.json.Decoder(_Trade, strict=False)
_BOOK_DECODER = msgspec.json.Decoder(_Book, strict=False)


class BinanceSession:
    """The protocol of one connection to Binance."""

    def __init__(self, _credentials: Credentials, output: SessionOutput) -> None:
        self._output = output
        self._request_count = 0

    def open(self) -> Sequence[str]:
        return ()

    def subscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        return [self._encode_request("SUBSCRIBE", symbols)]

    def unsubscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        return [self._encode_request("UNSUBSCRIBE", symbols)]

    def receive(self, message: bytes, now: int) -> None:
        decoded = _MESSAGE_DECODER.decode(message)
        if decoded.error is not None:
            raise VendorError(f"binance reports an error: {decode_json(bytes(decoded.error), object)}")
        if decoded.stream.endswith("@aggTrade"):
            trade = _TRADE_DECODER.decode(decoded.data)
            self._output.add_trade(trade.symbol, trade.time_ms * 1_000_000, trade.price, trade.quantity, trade.number)
        elif decoded.stream.endswith("@bookTicker"):
            book = _BOOK_DECODER.decode(decoded.data)
            self._output.add_book(book.symbol, now, (book.bid, book.bid_size), (book.ask, book.ask_size))
        elif decoded.id is not None:
            self._output.is_subscribed = True

    def _encode_request(self, method: str, symbols: Sequence[str]) -> str:
        self._request_count += 1
        streams = [f"{symbol.lower()}@{stream}" for symbol in symbols for stream in _STREAMS]
        return encode_json({"method": method, "params": streams, "id": self._request_count}).decode()


# A connection may have 1,024 streams. The silence limit is long (300 s), because Binance sends no messages while no
# symbol changes.
VENDOR = Vendor(
    "binance",
    "wss://stream.binance.com:9443/stream",
    300.0,
    1_024 // len(_STREAMS),
    BinanceSession,
    is_always_open=True,
)
