"""The newest quotes of a server, as a mapping that stays current."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Self

from tickwire.client.events import Gap
from tickwire.client.stream import Stream
from tickwire.core.quote import Quote

log = logging.getLogger(__name__)


class LiveBoard(Mapping[str, Quote]):
    """A mapping from each symbol to its newest quote. Open the board with `async with`.

    A task of the board reads the stream, so that the quotes stay current while the program does something else. After a
    lost connection, the task reconnects. If the stream fails permanently, the quotes keep their newest values, and
    `error` contains the reason.
    """

    def __init__(self, stream: Stream, read_quotes: Callable[[], Awaitable[Mapping[str, Quote]]]) -> None:
        """`read_quotes` returns the quotes that the board contains at the start."""
        self.stream = stream
        self.error: BaseException | None = None
        self._read_quotes = read_quotes
        self._quotes: dict[str, Quote] = {}
        self._changed_symbols: set[str] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Read the present quotes, and start the task."""
        try:
            self._quotes.update(await self._read_quotes())
        except BaseException:
            await self.stream.close()
            raise
        self._task = asyncio.create_task(self._follow())
        self._task.add_done_callback(self._report_end)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop the task and close the stream. The quotes keep their newest values."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.stream.close()

    @property
    def is_current(self) -> bool:
        """Whether the board is connected, so that its quotes are current."""
        return self.stream.state == "live"

    async def wait_for_changes(self) -> frozenset[str]:
        """Wait until a quote changes, and return all symbols whose quotes have changed since the previous call.

        Raise `error` if the stream has ended.
        """
        await self._changed.wait()
        if self.error is not None and not self._changed_symbols:
            raise self.error
        changed = frozenset(self._changed_symbols)
        self._changed_symbols.clear()
        if self.error is None:
            self._changed.clear()
        return changed

    def __getitem__(self, symbol: str) -> Quote:
        return self._quotes[symbol]

    def __iter__(self) -> Iterator[str]:
        # Iterate over a copy, because the task may add a symbol during the iteration.
        return iter(tuple(self._quotes))

    def __len__(self) -> int:
        return len(self._quotes)

    async def _follow(self) -> None:
        while True:
            self._apply((await self.stream.next_event()).value)

    def _report_end(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.warning("the board no longer changes, because its stream has failed: %s", error)
            self.error = error
            self._changed.set()

    def _apply(self, value: object) -> None:
        if isinstance(value, Quote):
            self._quotes[value.symbol] = value
            self._changed_symbols.add(value.symbol)
            self._changed.set()
        elif isinstance(value, Gap) and value.reason == "epoch":
            # Forget all quotes. The server has lost its history, and now sends all quotes that it still has.
            self._quotes.clear()
