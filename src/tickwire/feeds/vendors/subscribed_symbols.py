"""The symbols to which a feed subscribes at its vendor: a fixed list, or the symbols that readers want."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence, Set

from tickwire.core.instrument import check_symbol, is_symbol
from tickwire.errors import InputError
from tickwire.feeds.symbol_demand import SymbolDemand
from tickwire.feeds.vendors.vendor import Vendor, VendorSession

# The maximum number of unknown symbols that a feed remembers, so that the feed does not request them again.
_MAX_REJECTED = 10_000


class SubscribedSymbols:
    """The symbols of one vendor, and the requests that subscribe a connection to exactly these symbols.

    If the constructor receives no symbols, `update_demand` determines the symbols. `names` maps each symbol of the
    vendor to the symbol on the board. With `is_distinct`, BTC/USD of the vendor kraken is KRAKEN:BTC/USD on the board.
    `changed` is set when requests are due.
    """

    def __init__(self, vendor: Vendor, symbols: Sequence[str], *, is_distinct: bool) -> None:
        self.follows_demand = vendor.lists_symbols and not symbols
        self.changed = asyncio.Event()
        self._prefix = f"{vendor.name.upper()}:" if is_distinct else ""
        self._demand = SymbolDemand(vendor.max_symbols)
        self._names: dict[str, str] = {}
        # The symbols to which the present connection has subscribed, and the symbols that the vendor does not know.
        self._subscribed: set[str] = set()
        self._rejected: dict[str, None] = {}
        self._max_per_request = vendor.max_symbols_per_request
        if vendor.lists_symbols:
            self._set_symbols(symbols)
        else:
            self._names["*"] = "*"

    def __len__(self) -> int:
        return len(self._names)

    @property
    def names(self) -> Mapping[str, str]:
        return self._names

    def update_demand(self, wanted: Set[str], now_s: float) -> None:
        """Subscribe to the symbols that readers want, if the feed follows the demand.

        `wanted` contains symbols of the board, and `now_s` is in monotonic seconds.
        """
        if self.follows_demand:
            prefix = self._prefix
            symbols = {name.removeprefix(prefix) for name in wanted if name.startswith(prefix)}
            subscribed = self._demand.update({*filter(is_symbol, symbols)} - self._rejected.keys(), now_s)
            # Remove rejected symbols from the list, because a symbol stays in the demand for some time after its
            # rejection.
            self._set_symbols([symbol for symbol in subscribed if symbol not in self._rejected])

    def reject(self, symbols: Set[str]) -> None:
        """Record symbols that the vendor does not know. The feed does not subscribe to these symbols again."""
        for symbol in symbols:
            self._rejected[symbol] = None
            self._names.pop(symbol, None)
        self._subscribed -= symbols
        while len(self._rejected) > _MAX_REJECTED:
            del self._rejected[next(iter(self._rejected))]

    def begin_connection(self) -> None:
        """Record that the present connection has no subscriptions yet."""
        self._subscribed.clear()
        self.changed.set()

    def next_requests(self, session: VendorSession) -> Iterator[Sequence[str]]:
        """Yield the due requests, each for a limited number of symbols. Record all symbols as subscribed."""
        self.changed.clear()
        added = [symbol for symbol in self._names if symbol not in self._subscribed]
        removed = sorted(self._subscribed - self._names.keys())
        self._subscribed = {*self._names}
        step = self._max_per_request
        for begin in range(0, len(removed), step):
            yield session.unsubscribe(removed[begin : begin + step])
        for begin in range(0, len(added), step):
            yield session.subscribe(added[begin : begin + step])

    def _set_symbols(self, symbols: Sequence[str]) -> None:
        if [*self._names] != [*symbols]:
            self._names.clear()
            self._names.update((symbol, board_symbol(self._prefix, symbol)) for symbol in symbols)
            self.changed.set()


def board_symbol(prefix: str, symbol: str) -> str:
    """Return the symbol on the board, which is `prefix` plus `symbol`. Raise InputError if the result is too long."""
    return check_symbol(prefix + symbol, field="feed")


def parse_symbols(vendor: Vendor, argument: str) -> list[str]:
    """Return the symbols in the argument of a feed, without repetitions. An empty argument results in an empty list."""
    names = [name.strip() for name in argument.split(",")]
    symbols = [*dict.fromkeys(check_symbol(name, field="feed") for name in names if name)]
    if argument and not symbols:
        raise InputError(f"the feed {vendor.name} names no symbol: write {vendor.name}:SYMBOL,...", field="feed")
    if len(symbols) > vendor.max_symbols:
        raise InputError(
            f"the feed {vendor.name} names {len(symbols)} symbols: a connection to {vendor.name} may have at most "
            f"{vendor.max_symbols}",
            field="feed",
        )
    return symbols
