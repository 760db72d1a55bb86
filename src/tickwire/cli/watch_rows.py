"""The rows of `tickwire watch`: the newest quotes, their order, and the rows that a person has selected."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from tickwire.core.quote import Quote
from tickwire.screens.ranking import Ranking

TREND_LENGTH = 16
"""The number of prices in the trend of a row."""
TREND_STEP_S = 2.0
"""The shortest time between two prices of a trend.

If the trend contained every trade, it would mostly show prices that alternate between bid and ask.
"""
# A changed price is highlighted for this time.
FLASH_S = 0.7


class TableColumn(NamedTuple):
    """A column of the table. `field` is a field of a quote, or `trend`. `width` is the number of characters.

    A narrow terminal hides the columns with the largest `rank` first. A column with the rank 0 is always visible.
    """

    field: str
    heading: str
    width: int
    rank: int


COLUMNS = (
    TableColumn("symbol", "Symbol", 10, 0),
    TableColumn("last", "Last", 12, 0),
    TableColumn("change", "Change", 10, 3),
    TableColumn("change_rate", "%", 8, 1),
    TableColumn("trend", "Trend", TREND_LENGTH, 2),
    TableColumn("bid", "Bid", 12, 5),
    TableColumn("ask", "Ask", 12, 5),
    TableColumn("volume", "Volume", 16, 4),
    TableColumn("ts", "Time", 8, 6),
)
SORT_FIELDS = tuple(column.field for column in COLUMNS if column.field != "trend")


class Row:
    """The newest quote of a symbol, its recent prices, and the direction of the newest price change (1, 0 or -1).

    `changed_at_s` is the monotonic time of this change, or None before the first change.
    """

    def __init__(self, quote: Quote, now_s: float) -> None:
        self.quote = quote
        self.direction = 0
        self.changed_at_s: float | None = None
        self.trend: deque[float] = deque(maxlen=TREND_LENGTH)
        self._trend_point_at_s = now_s
        self._add_to_trend(quote, now_s)

    def update(self, quote: Quote, now_s: float) -> None:
        old, new = self.quote.last, quote.last
        if old is not None and new is not None and old != new:
            self.direction = 1 if new > old else -1
            self.changed_at_s = now_s
            self._add_to_trend(quote, now_s)
        self.quote = quote

    def is_flashing(self, now_s: float) -> bool:
        """Whether the price changed a moment ago."""
        return self.changed_at_s is not None and now_s - self.changed_at_s < FLASH_S

    def _add_to_trend(self, quote: Quote, now_s: float) -> None:
        if quote.last is None:
            return
        if self.trend and now_s - self._trend_point_at_s < TREND_STEP_S:
            self.trend[-1] = quote.last
        else:
            self.trend.append(quote.last)
            self._trend_point_at_s = now_s


class WatchRows:
    """The rows of all symbols. A person chooses their order (`sort_field`, `is_descending`) and a `pattern`.

    If `sort_field` is None, the rows have the order of `ranking`.
    """

    def __init__(
        self, sort_field: str | None = "symbol", *, is_descending: bool = False, ranking: Ranking | None = None
    ) -> None:
        self.sort_field = sort_field
        self.is_descending = is_descending
        self._ranking = ranking
        self.pattern = ""
        self._rows: dict[str, Row] = {}
        # A copy of the rows from the moment when a person paused the display. None while the display is not paused.
        self._paused_rows: dict[str, Row] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, pattern: str) -> bool:
        """Return whether a symbol matches `pattern`."""
        return any(fnmatchcase(symbol, pattern) for symbol in self._rows)

    def add_quote(self, quote: Quote, now_s: float) -> None:
        row = self._rows.get(quote.symbol)
        if row is None:
            self._rows[quote.symbol] = Row(quote, now_s)
        else:
            row.update(quote, now_s)

    def remove(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self._rows.pop(symbol, None)

    def keep_only(self, symbols: Iterable[str]) -> None:
        self.remove(self._rows.keys() - {*symbols})

    @property
    def is_paused(self) -> bool:
        return self._paused_rows is not None

    def toggle_pause(self) -> None:
        """Pause or resume updates.

        While updates are paused, `selected` returns the quotes from the beginning of the pause.
        """
        self._paused_rows = None if self.is_paused else deepcopy(self._rows)

    def move_sort_column(self, steps: int) -> None:
        """Sort by another column, which is `steps` columns to the right of the present one.

        Numbers are in descending order, and texts are in alphabetical order.
        """
        position = (0 if self.sort_field is None else SORT_FIELDS.index(self.sort_field)) + steps
        self.sort_field = SORT_FIELDS[min(max(position, 0), len(SORT_FIELDS) - 1)]
        self.is_descending = self.sort_field != "symbol"

    def selected(self) -> list[Row]:
        """Return the rows whose symbol matches `pattern`, in the order of the table. Rows without a value come last.

        A pattern without wildcards matches each symbol that contains the pattern, in upper or lower case.
        """
        pattern = self.pattern.upper()
        glob = pattern if {"*", "?"} & {*pattern} else f"*{pattern}*"
        present = self._rows if self._paused_rows is None else self._paused_rows
        rows = [row for symbol, row in sorted(present.items()) if fnmatchcase(symbol.upper(), glob)]
        with_value = [row for row in rows if self._value(row) is not None]
        with_value.sort(key=self._value, reverse=self.is_descending)
        return with_value + [row for row in rows if self._value(row) is None]

    def _value(self, row: Row) -> Any:
        if self.sort_field is not None:
            return getattr(row.quote, self.sort_field)
        return None if self._ranking is None else self._ranking.value(row.quote)
