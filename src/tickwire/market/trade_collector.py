"""Trades that wait until one operation adds many of them to the stored prices of a table.

A table contains the stored prices of a fixed number of symbols. Adding trades to a table takes a few milliseconds, even
if there are only a few trades. So only one table changes after every `MAX_COLLECTED_TRADES` trades: the table with the
most collected trades.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

MAX_COLLECTED_TRADES = 16_384

Trades = TypeVar("Trades", bound=tuple[NDArray[Any], ...])
"""A named tuple of columns of equal length. The first column contains the row of each trade's symbol."""
_Collected_contra = TypeVar("_Collected_contra", contravariant=True)


class TradeTable(Protocol[_Collected_contra]):
    """A table that collects the trades of its symbols.

    In the collected trades, row 0 is the first symbol of the table.
    """

    collected_count: int

    def collect(self, trades: _Collected_contra, /) -> None: ...


class TradeCollector(Generic[Trades]):
    """The trades that are not distributed to the tables yet, in the order of their arrival.

    `uncompacted_count` is the number of trades that were collected since the last call of `select_fullest`.
    """

    def __init__(self, build: Callable[..., Trades], dtypes: Sequence[DTypeLike], symbols_per_table: int) -> None:
        self._build = build
        self._dtypes = dtypes
        self._symbols_per_table = symbols_per_table
        self._waiting: list[Trades] = []
        self._singles: list[tuple[float, ...]] = []
        self.uncompacted_count = 0

    @property
    def is_full(self) -> bool:
        """Whether enough trades are collected to change a table."""
        return self.uncompacted_count >= MAX_COLLECTED_TRADES

    def collect(self, trades: Trades) -> None:
        """Collect trades. The collector stores the arrays, which must not change."""
        self._join_singles()
        self._waiting.append(trades)
        self.uncompacted_count += len(trades[0])

    def collect_single(self, *columns: float) -> None:
        """Collect one trade, with one number for each column."""
        self._singles.append(columns)
        self.uncompacted_count += 1

    def read_waiting(self) -> list[Trades]:
        """Return the collected trades that are not distributed to the tables yet."""
        self._join_singles()
        return list(self._waiting)

    def restore(self, waiting: Sequence[Trades], uncompacted_count: int) -> None:
        """Replace the collected trades."""
        self._waiting, self._singles, self.uncompacted_count = list(waiting), [], uncompacted_count

    def distribute(self, tables: Sequence[TradeTable[Trades]]) -> None:
        """Distribute the waiting trades: pass to each table the trades of its symbols."""
        self._join_singles()
        waiting, self._waiting = self._waiting, []
        if not any(len(trades[0]) for trades in waiting):
            return
        rows, *others = map(np.concatenate, zip(*waiting, strict=True))
        numbers, table_rows = np.divmod(rows, self._symbols_per_table)
        columns = [table_rows, *others]
        if len(tables) > 1:
            # NumPy sorts numbers of 16 bits in linear time.
            order = np.argsort(numbers.astype(np.uint16), kind="stable")
            numbers, columns = numbers[order], [column[order] for column in columns]
        begins = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1])).tolist()
        for begin, end in zip(begins, [*begins[1:], len(numbers)], strict=True):
            tables[int(numbers[begin])].collect(self._build(*(column[begin:end] for column in columns)))

    def select_fullest(self, tables: Sequence[TradeTable[Trades]]) -> list[int]:
        """Distribute the trades, and return the numbers of the tables that should add their collected trades now."""
        table_count, self.uncompacted_count = divmod(self.uncompacted_count, MAX_COLLECTED_TRADES)
        self.distribute(tables)
        return heapq.nlargest(table_count, range(len(tables)), key=lambda number: tables[number].collected_count)

    def _join_singles(self) -> None:
        if self._singles:
            columns = zip(zip(*self._singles, strict=True), self._dtypes, strict=True)
            self._waiting.append(self._build(*(np.array(numbers, dtype) for numbers, dtype in columns)))
            self._singles = []
