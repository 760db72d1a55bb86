"""Streams and boards for programs without asyncio."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping, Set
from concurrent.futures import Future, wait
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

from tickwire.client.events import Event
from tickwire.client.live_board import LiveBoard
from tickwire.client.loop_thread import LoopThread
from tickwire.client.screen import Screen, ScreenChange
from tickwire.client.stream import Stream
from tickwire.core.quote import Quote

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class AsyncSource(Protocol[T_co]):
    """A stream of the asynchronous client."""

    def __anext__(self) -> Coroutine[Any, Any, T_co]: ...

    def close(self) -> Coroutine[Any, Any, None]: ...


class _Received(NamedTuple, Generic[T]):
    """An item of a stream, and the id of the newest event that contributed to the item."""

    item: T
    last_event_id: str | None


class BlockingStream(Generic[T]):
    """The items of a stream. Open the object with `with`, and read it with `for` or with `next_item`.

    `source` yields the items that it builds from the events of `stream`.
    """

    def __init__(self, thread: LoopThread, source: AsyncSource[T], stream: Stream) -> None:
        self._thread = thread
        self._source = source
        self._stream = stream
        self._last_event_id = stream.last_event_id
        # If the last call of `next_item` reached its timeout or was interrupted, this is the pending result of the
        # call. Otherwise None.
        self._next: Future[_Received[T]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def last_event_id(self) -> str | None:
        """The id of the newest event in the items that you have received. A new stream can continue after this id."""
        return self._last_event_id

    @property
    def gaps(self) -> int:
        """The number of `gap` events. A `gap` event reports that the server no longer has the events that the stream
        missed."""
        return self._stream.gaps

    def close(self) -> None:
        """Close the stream. A second call does nothing."""
        if self._next is not None:
            self._next.cancel()
        self._thread.call(self._source.close)

    def __iter__(self) -> Iterator[T]:
        while True:
            yield self.next_item()

    def next_item(self, timeout_s: float | None = None) -> T:
        """Wait for the next item. Raise TimeoutError after `timeout_s` seconds; a later call continues the wait."""
        if self._next is None:
            self._next = self._thread.start(self._receive())
        _wait_until_done(self._next, timeout_s)
        done, self._next = self._next, None
        received = done.result()
        self._last_event_id = received.last_event_id
        return received.item

    def events(self) -> BlockingStream[Event]:
        """Return all events of this stream, such as `gap` and `bye`, instead of its items.

        A program must not read both the items and the events of one stream.
        """
        return BlockingStream(self._thread, _Events(self._stream), self._stream)

    async def _receive(self) -> _Received[T]:
        item = await self._source.__anext__()
        # After a timeout, the thread continues to wait for the item. The program may store `last_event_id`. So
        # `last_event_id` must not include the item before `next_item` returns the item.
        return _Received(item, self._stream.last_event_id)


class _Events:
    """The events of a stream, as a source of a BlockingStream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def __anext__(self) -> Event:
        return await self._stream.next_event()

    async def close(self) -> None:
        await self._stream.close()


class BlockingScreen(BlockingStream[ScreenChange]):
    """The symbols that match a filter. Open the screen with `with`, and read its changes with `for` (see `Screen`)."""

    def __init__(self, thread: LoopThread, screen: Screen) -> None:
        super().__init__(thread, screen, screen.stream)
        self._screen = screen
        # After a call of `next_item` has reached its timeout, this is a copy of the symbols and the quotes, because the
        # thread may change the originals. Otherwise None.
        self._copy: tuple[Set[str], Mapping[str, Quote]] | None = None

    @property
    def symbols(self) -> Set[str]:
        return self._screen.symbols if self._copy is None else self._copy[0]

    @property
    def quotes(self) -> Mapping[str, Quote]:
        return self._screen.quotes if self._copy is None else self._copy[1]

    def next_item(self, timeout_s: float | None = None) -> ScreenChange:
        """Wait for the next change. Raise TimeoutError after `timeout_s` seconds; a later call continues the wait."""
        try:
            return super().next_item(timeout_s)
        finally:
            # After a timeout, the thread continues to wait, and may change the screen while the program reads it. So
            # the program reads a copy.
            self._copy = None if self._next is None else self._thread.call(self._copy_screen)

    async def _copy_screen(self) -> tuple[Set[str], Mapping[str, Quote]]:
        return self._copy or (frozenset(self._screen.symbols), dict(self._screen.quotes))


class BlockingBoard(Mapping[str, Quote]):
    """A mapping from each symbol to its newest quote, which a thread keeps current. Open the board with `with`."""

    def __init__(self, thread: LoopThread, board: LiveBoard) -> None:
        self._thread = thread
        self._board = board
        # If the last call of `wait_for_changes` reached its timeout or was interrupted, this is the pending result of
        # the call. Otherwise None.
        self._changes: Future[frozenset[str]] | None = None

    def __enter__(self) -> Self:
        self._thread.call(self._board.__aenter__)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop updating the quotes. The quotes keep their newest values."""
        if self._changes is not None:
            self._changes.cancel()
        self._thread.call(self._board.close)

    @property
    def is_current(self) -> bool:
        """Whether the board is connected, so that its quotes are current."""
        return self._board.is_current

    def wait_for_changes(self, timeout_s: float | None = None) -> frozenset[str]:
        """Wait until a quote changes, and return all symbols whose quotes have changed since the previous call.

        Raise TimeoutError after `timeout_s` seconds.
        """
        if self._changes is None:
            self._changes = self._thread.start(self._board.wait_for_changes())
        _wait_until_done(self._changes, timeout_s)
        done, self._changes = self._changes, None
        return done.result()

    def __getitem__(self, symbol: str) -> Quote:
        return self._board[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._board)

    def __len__(self) -> int:
        return len(self._board)


def _wait_until_done(future: Future[Any], timeout_s: float | None) -> None:
    """Wait until a future has ended. Raise TimeoutError if it has not ended after `timeout_s` seconds."""
    # Do not use the timeout of `Future.result`, because its error could not be distinguished from a TimeoutError of the
    # coroutine.
    if not wait([future], timeout_s).done:
        raise TimeoutError(f"no event or change arrived within {timeout_s:g} s")
