"""The symbols of a server that match a filter, or the top N symbols of a ranking."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Literal, NamedTuple, Self

from tickwire.client.events import Enter, EventValue, Leave, Matches
from tickwire.client.stream import Stream
from tickwire.core.quote import Quote


class ScreenChange(NamedTuple):
    """A change of a screen, or a new quote of a symbol in the screen.

    `kind` is `enter` if the symbol began to match the filter, `leave` if it no longer matches, and `quote` if it has a
    new quote and still matches. `quote` is the newest quote of the symbol. `quote` can be None only if `kind` is
    `leave`.
    """

    kind: Literal["enter", "leave", "quote"]
    symbol: str
    quote: Quote | None


class Screen:
    """The symbols that match a filter, or the top N symbols of a ranking.

    Open the screen with `async with`, and read its changes with `async for`.

    `symbols` is the set of these symbols, and `quotes` contains their newest quotes. Both change only while the
    program waits for the next change. At the start, the iteration yields an `enter` change for each symbol that is
    already in the set. After a lost connection, the iteration yields only the differences. `stream` is the stream that
    receives the changes.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._symbols: set[str] = set()
        self._quotes: dict[str, Quote] = {}
        # The symbols whose first quote has not arrived. The iteration has not yet reported them to the program.
        self._without_quote: set[str] = set()
        self._changes: deque[ScreenChange] = deque()

    @property
    def symbols(self) -> Set[str]:
        return self._symbols

    @property
    def quotes(self) -> Mapping[str, Quote]:
        return MappingProxyType(self._quotes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self.stream.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ScreenChange:
        """Return the next change. Several changes can arrive in one event."""
        while not self._changes:
            self._apply((await self.stream.next_event()).value)
        return self._changes.popleft()

    def _apply(self, value: EventValue) -> None:
        match value:
            case Matches():
                self._replace_symbols({*value.symbols})
            case Enter():
                self._add(value.symbol, value.quote)
            case Leave():
                self._remove(value.symbol, value.quote)
            case Quote():
                self._update(value)

    def _replace_symbols(self, matching: set[str]) -> None:
        for symbol in sorted(self._symbols - matching):
            self._remove(symbol, None)
        for symbol in sorted(matching - self._symbols):
            self._add(symbol, None)

    def _add(self, symbol: str, quote: Quote | None) -> None:
        self._symbols.add(symbol)
        if quote is None:
            self._without_quote.add(symbol)
        else:
            self._update(quote)

    def _remove(self, symbol: str, quote: Quote | None) -> None:
        newest = quote or self._quotes.get(symbol)
        self._quotes.pop(symbol, None)
        was_reported = symbol in self._symbols and symbol not in self._without_quote
        self._symbols.discard(symbol)
        self._without_quote.discard(symbol)
        if was_reported:
            self._changes.append(ScreenChange("leave", symbol, newest))

    def _update(self, quote: Quote) -> None:
        symbol = quote.symbol
        # Ignore two kinds of quotes: a quote that arrives between the events `leave` and `enter` of its symbol, and a
        # quote that the event `enter` already contained.
        if symbol not in self._symbols or self._quotes.get(symbol) == quote:
            return
        is_new = symbol not in self._quotes
        self._without_quote.discard(symbol)
        self._quotes[symbol] = quote
        self._changes.append(ScreenChange("enter" if is_new else "quote", symbol, quote))
