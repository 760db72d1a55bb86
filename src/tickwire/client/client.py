"""The client for programs without asyncio. The client runs an AsyncClient in a thread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from tickwire.client.async_client import AsyncClient, StateCallback, Symbols
from tickwire.client.blocking_stream import BlockingBoard, BlockingScreen, BlockingStream
from tickwire.client.candle_history import CandleHistory, Time
from tickwire.client.frame_ticks import DataFrame
from tickwire.client.loop_thread import LoopThread
from tickwire.client.publisher import Ticks
from tickwire.client.simulator import Simulator
from tickwire.client.token import AsyncTokenSource
from tickwire.core.candle import Candle
from tickwire.core.event import PublishReceipt, UploadReceipt
from tickwire.core.quote import Quote


class Client:
    """A client of the server at `url`, such as http://127.0.0.1:8000. Open the client with `with`.

    Client has the same parameters, methods and errors as AsyncClient. A thread runs an AsyncClient, and each method
    waits for its result. The thread also calls `token` and `on_state`.
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
        self._client = AsyncClient(url, token=token, headers=headers, attempts=attempts, on_state=on_state)
        self._thread = LoopThread()
        self._is_closed = False

    @property
    def url(self) -> str:
        return self._client.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the client, and end its thread. A second call does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._thread.call(self._client.close)
            self._thread.close()

    def quotes(
        self,
        symbols: Symbols = "*",
        *,
        filter: str | None = None,  # noqa: A002  # the name of the query parameter
        order: str | None = None,
        top: int | None = None,
        fields: Symbols | None = None,
        interval: str | float | None = None,
        delivery: Literal["latest", "all"] = "latest",
        since: str | None = None,
        last_event_id: str | None = None,
    ) -> BlockingStream[Quote]:
        stream = self._client.quotes(
            symbols,
            filter=filter,
            order=order,
            top=top,
            fields=fields,
            interval=interval,
            delivery=delivery,
            since=since,
            last_event_id=last_event_id,
        )
        return BlockingStream(self._thread, stream, stream)

    def candles(
        self, symbols: Symbols = "*", interval: str = "1m", *, closed_only: bool = False
    ) -> BlockingStream[Candle]:
        candles = self._client.candles(symbols, interval, closed_only=closed_only)
        return BlockingStream(self._thread, candles, candles.stream)

    def screen(
        self,
        filter: str | None = None,  # noqa: A002  # the name of the query parameter
        symbols: Symbols = "*",
        *,
        order: str | None = None,
        top: int | None = None,
        interval: str | float | None = None,
    ) -> BlockingScreen:
        screen = self._client.screen(filter, symbols, order=order, top=top, interval=interval)
        return BlockingScreen(self._thread, screen)

    def board(self, symbols: Symbols = "*", *, interval: str | float | None = None) -> BlockingBoard:
        return BlockingBoard(self._thread, self._client.board(symbols, interval=interval))

    def read_quotes(self, symbols: Symbols = "*") -> dict[str, Quote]:
        return self._thread.call(self._client.read_quotes, symbols)

    def history(
        self,
        symbol: str,
        interval: str = "1m",
        *,
        start: Time | None = None,
        end: Time | None = None,
        limit: int | None = 500,
    ) -> CandleHistory:
        return self._thread.call(lambda: self._client.history(symbol, interval, start=start, end=end, limit=limit))

    def publish(self, ticks: Ticks, *, key: str | None = None) -> PublishReceipt:
        return self._thread.call(lambda: self._client.publish(ticks, key=key))

    def publish_frame(self, frame: DataFrame, *, key: str | None = None) -> UploadReceipt:
        return self._thread.call(lambda: self._client.publish_frame(frame, key=key))

    def measure_round_trip(self) -> float:
        return self._thread.call(self._client.measure_round_trip)

    @property
    def simulator(self) -> BlockingSimulator:
        """The object that controls the server's feed, which is a simulator or a replay."""
        return BlockingSimulator(self._thread, self._client.simulator)


class BlockingSimulator:
    """Controls the feed of a server. The class has the same methods as the asynchronous class `Simulator`."""

    def __init__(self, thread: LoopThread, simulator: Simulator) -> None:
        self._thread = thread
        self._simulator = simulator

    def status(self) -> dict[str, Any]:
        return self._thread.call(self._simulator.status)

    def send_command(self, text: str) -> dict[str, Any]:
        return self._thread.call(self._simulator.send_command, text)

    def set_model(self, path: Path) -> dict[str, Any]:
        return self._thread.call(self._simulator.set_model, path)

    def set_scenario(self, path: Path | None) -> dict[str, Any]:
        return self._thread.call(self._simulator.set_scenario, path)
