"""A server with a seeded market, in a thread of the test process."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import cached_property
from typing import Any, Self

from tickwire.client.client import Client
from tickwire.client.loop_thread import LoopThread
from tickwire.client.publisher import Ticks
from tickwire.core.event import PublishReceipt
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server

# The default settings. With these settings, all markets are equal. A low rate of ticks keeps `advance` fast.
_DEFAULT_SETTINGS = {"feed": "simulator", "seed": 1, "start": "2026-01-05T14:30:00Z", "rate": 0.1}
# The number of event loop turns that the feed, the journal and the hub need after the last sleeping task has woken.
_SETTLING_TURNS = 50


class RunningMarket:
    """A server on a free port. Its time changes only in `advance`. Open the market with `with`.

    By default, the server simulates about a hundred symbols. Each symbol has a price from the start. The same seed and
    the same calls of `advance` produce the same ticks. `settings` are settings of the server, such as `feed="http"` or
    `auth="secret"`. With `real_time=True`, the market runs in real time, and `advance` raises RuntimeError.
    """

    def __init__(self, *, real_time: bool = False, **settings: Any) -> None:
        self.url = ""
        self._settings = {**_DEFAULT_SETTINGS, **settings}
        if self._settings["feed"] != "simulator":
            # Only the simulator has these settings, and a server rejects settings without an effect.
            self._settings = {"feed": "http", **settings}
        # Begin at the real time, because a program under test may publish ticks with the real time, and the server
        # rejects ticks from its future.
        self._manual_clock = None if real_time else ManualClock(time.time_ns())
        self._thread = LoopThread()
        self._stop = asyncio.Event()
        self._is_ready = threading.Event()
        self._server = self._thread.start(self._serve())

    def __enter__(self) -> Self:
        """Wait until the server is ready. Raise the error of the server if it cannot start."""
        self._server.add_done_callback(lambda _: self._is_ready.set())
        self._is_ready.wait()
        if self._server.done():
            self._thread.close()
            self._server.result()
        return self

    def __exit__(self, *_: object) -> None:
        if "client" in self.__dict__:
            self.client.close()
        self._thread.call(self._request_stop)
        self._server.result()
        self._thread.close()

    @cached_property
    def client(self) -> Client:
        """A client of the market. The client closes when the market closes."""
        return Client(self.url)

    def publish(self, ticks: Ticks, *, key: str | None = None) -> PublishReceipt:
        """Publish one tick or one batch of ticks. Return when the quotes contain the ticks."""
        return self.client.publish(ticks, key=key)

    def advance(self, seconds: float) -> None:
        """Move the time of the market forward. Wait until the quotes contain all ticks up to the new time."""
        if self._manual_clock is None:
            raise RuntimeError("the market runs in real time: remove real_time=True to advance the time in the test")
        self._thread.call(self._advance, self._manual_clock, seconds)

    async def _serve(self) -> None:
        async with run_server(clock=self._manual_clock, **self._settings) as server:
            self.url = server.url
            self._is_ready.set()
            await self._stop.wait()

    async def _request_stop(self) -> None:
        self._stop.set()

    @staticmethod
    async def _advance(clock: ManualClock, seconds: float) -> None:
        await clock.advance(seconds)
        for _ in range(_SETTLING_TURNS):
            await asyncio.sleep(0)
