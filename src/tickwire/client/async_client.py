"""The asynchronous client of a server."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Literal, Protocol

from tickwire.client.candle_history import CandleHistory, Time, read_history
from tickwire.client.candle_stream import CandleStream
from tickwire.client.frame_ticks import DataFrame, FrameTicks
from tickwire.client.http import HttpConnection
from tickwire.client.live_board import LiveBoard
from tickwire.client.publisher import Publisher, Ticks
from tickwire.client.screen import Screen
from tickwire.client.simulator import Simulator
from tickwire.client.stream import Stream, StreamState, connect
from tickwire.client.token import AsyncTokenSource
from tickwire.core.codec import decode_json
from tickwire.core.event import PublishReceipt, UploadReceipt
from tickwire.core.quote import Quote

# The longest list of symbols in the URL of one request. All common proxies forward a URL of this length.
_MAX_SYMBOLS_BYTES = 4_000
_ALL_SYMBOLS = ("*",)

Symbols = Iterable[str] | str
StateCallback = Callable[[StreamState, str], None]


class _Closable(Protocol):
    async def close(self) -> None: ...


class AsyncClient:
    """A client of the server at `url`, such as http://127.0.0.1:8000. Open the client with `async with`.

    `token` is a token, or a function or a coroutine function that returns a valid token. The client calls the function
    before each request and each connection. Each stream reconnects by itself after a lost connection. `attempts` limits
    the failures in a row of each stream; None sets no limit. The streams call `on_state` with each new state
    (`connecting`, `live` or `closed`) and the reason, which may be empty.

    All methods raise InputError if an argument is invalid, and ClientError if the server does not answer or rejects the
    request for another reason.

    The streams, screens and boards of the client end with `close`. To end a single stream, screen or board earlier,
    open it with `async with`, or call its method `close`.
    """

    def __init__(
        self,
        url: str,
        *,
        token: AsyncTokenSource = None,
        headers: Mapping[str, str] | None = None,
        attempts: int | None = None,
        on_state: StateCallback | None = None,
    ) -> None:
        self._connection = HttpConnection(url, headers=headers, token=token)
        self._stream_options: dict[str, Any] = {
            "token": token,
            "headers": headers,
            "attempts": attempts,
            "on_state": on_state,
        }
        # All streams that may be open, each with the object that closes it. This object is the stream itself, or the
        # board that reads the stream.
        self._opened: list[tuple[Stream, _Closable]] = []

    @property
    def url(self) -> str:
        return self._connection.url

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. A second call does nothing."""
        for _, closable in self._opened:
            await closable.close()
        self._opened.clear()
        await self._connection.close()
        if "_publisher" in self.__dict__:
            await self._publisher.close()

    def quotes(
        self,
        symbols: Symbols = _ALL_SYMBOLS,
        *,
        filter: str | None = None,  # noqa: A002  # the name of the query parameter
        order: str | None = None,
        top: int | None = None,
        fields: Symbols | None = None,
        interval: str | float | None = None,
        delivery: Literal["latest", "all"] = "latest",
        since: str | None = None,
        last_event_id: str | None = None,
    ) -> Stream:
        """Return a stream of quotes. The documentation of `connect` and of `GET /v1/stream` explains the parameters."""
        return self._connect(
            symbols,
            events="quote",
            filter=filter,
            order=order,
            top=top,
            fields=fields,
            interval=interval,
            delivery=delivery,
            since=since,
            last_event_id=last_event_id,
        )

    def candles(
        self, symbols: Symbols = _ALL_SYMBOLS, interval: str = "1m", *, closed_only: bool = False
    ) -> CandleStream:
        """Return a stream of candles. If `closed_only` is true, the stream yields only closed candles."""
        stream = self._connect(symbols, events="candle", candles=interval)
        return CandleStream(stream, closed_only=closed_only)

    def screen(
        self,
        filter: str | None = None,  # noqa: A002  # the name of the query parameter
        symbols: Symbols = _ALL_SYMBOLS,
        *,
        order: str | None = None,
        top: int | None = None,
        interval: str | float | None = None,
    ) -> Screen:
        """Return the set of symbols that match `filter`, such as "change_rate > 5% and volume > 1M".

        With `order` and `top`, the set contains the first `top` of these symbols in an order such as "volume desc".
        """
        stream = self._connect(
            symbols, filter=filter, order=order, top=top, events=("quote", "screen"), interval=interval
        )
        return Screen(stream)

    def board(self, symbols: Symbols = _ALL_SYMBOLS, *, interval: str | float | None = None) -> LiveBoard:
        """Return a mapping from symbols to their newest quotes. A task of the mapping keeps the quotes current."""
        names = _split(symbols)
        stream = self._connect(names, events="quote", interval=interval)
        board = LiveBoard(stream, lambda: self.read_quotes(names))
        self._opened[-1] = (stream, board)
        return board

    async def read_quotes(self, symbols: Symbols = _ALL_SYMBOLS) -> dict[str, Quote]:
        """Return the newest quote of each symbol. A symbol without a quote is missing."""
        quotes: dict[str, Quote] = {}
        for names in _split_requests(_split(symbols)):
            response = await self._connection.request("GET", "/v1/quotes", params={"symbols": names})
            quotes |= {quote.symbol: quote for quote in decode_json(response.content, list[Quote])}
        return quotes

    async def history(
        self,
        symbol: str,
        interval: str = "1m",
        *,
        start: Time | None = None,
        end: Time | None = None,
        limit: int | None = 500,
    ) -> CandleHistory:
        """Return the candles of `symbol` that start in `[start, end)`, at most `limit` candles (None: all candles).

        If more than `limit` candles match, the result contains the oldest candles if `start` is set, and the newest
        candles otherwise. For a long history, the method sends several requests.
        """
        return await read_history(self._connection, symbol, interval, start=start, end=end, limit=limit)

    async def publish(self, ticks: Ticks, *, key: str | None = None) -> PublishReceipt:
        """Publish one tick or one batch of ticks. Return when the server has stored the batch durably.

        The server stores a batch with the same `key` only once. Without `key`, each call uses a new key.
        """
        return await self._publisher.publish(ticks, key=key)

    async def publish_frame(self, frame: DataFrame, *, key: str | None = None) -> UploadReceipt:
        """Publish the rows of a pandas or Polars data frame as ticks. Return when the server has stored all rows.

        The columns have the names of the fields of a tick: `symbol`, `ts`, `last`, `bid` and so on. Missing values
        (NaN, NaT, None) are omitted. The times in `ts`, or in the index of a pandas frame, may have any unit and zone.

        The server stores each row only once, even if a killed program publishes the same frame again with the same
        `key`. A key has up to 64 letters, digits or `._~-`. If a row is invalid, the server has stored the rows before
        it.
        """
        ticks = FrameTicks(frame)
        return await self._publisher.upload(ticks.batches, name=key or uuid.uuid4().hex)

    @property
    def simulator(self) -> Simulator:
        """The object that controls the server's feed, which is a simulator or a replay."""
        return Simulator(self._connection)

    async def measure_round_trip(self) -> float:
        """Send a request to the server, and return the seconds until its answer arrives."""
        begin = time.perf_counter()
        await self._connection.request("GET", "/healthz")
        return time.perf_counter() - begin

    def _connect(self, symbols: Symbols, **parameters: Any) -> Stream:
        stream = connect(self.url, symbols, **parameters, **self._stream_options)
        self._opened = [opened for opened in self._opened if opened[0].state != "closed"]
        self._opened.append((stream, stream))
        return stream

    @cached_property
    def _publisher(self) -> Publisher:
        options = self._stream_options
        return Publisher(self.url, headers=options["headers"], token=options["token"])


def _split(symbols: Symbols) -> list[str]:
    return symbols.split(",") if isinstance(symbols, str) else [*symbols]


def _split_requests(names: list[str]) -> list[str]:
    """Return comma-separated lists of `names`. Each list is short enough for a URL."""
    lists: list[str] = []
    for name in names:
        if lists and len(lists[-1]) + len(name) < _MAX_SYMBOLS_BYTES:
            lists[-1] += f",{name}"
        else:
            lists.append(name)
    return lists
