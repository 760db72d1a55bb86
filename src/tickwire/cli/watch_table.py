"""The output of `tickwire watch` for people: a table that a person sorts, filters and scrolls with keys."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from datetime import datetime
from fnmatch import fnmatchcase

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from tickwire.cli.terminal_keys import BACKSPACE, ENTER, ESCAPE
from tickwire.cli.watch_rows import COLUMNS, Row, TableColumn, WatchRows
from tickwire.client.events import Enter, Event, Leave, Matches, Welcome
from tickwire.core.quote import Quote

# The window over which the table counts the updates per second.
_RATE_WINDOW_S = 5.0
# The distance between two columns.
_COLUMN_GAP = 2
_BARS = "▁▂▃▄▅▆▇█"
_DIRECTION_STYLES = {1: "green", 0: "", -1: "red"}
_FLASH_STYLES = {1: "bold black on green", 0: "", -1: "bold white on red"}
HELP = (
    ("left, right or < >", "choose the column by which the rows are sorted"),
    ("r", "reverse the order"),
    ("up, down, page up, page down, home, end", "scroll"),
    ("/", "show only symbols that contain a text or match a pattern such as BTC-*; escape shows all"),
    ("p or space", "pause the display; the prices continue to arrive"),
    ("? or h", "show or hide these keys"),
    ("q", "quit"),
)
"""The keys of the table, and their effects."""


class WatchTable:
    """The table, and the state that the keys change.

    The table sets the event `changed` to request a new drawing, and `key_pressed` to request a drawing without delay.
    """

    def __init__(self, url: str, rows: WatchRows) -> None:
        self.rows = rows
        self.changed = asyncio.Event()
        self.key_pressed = asyncio.Event()
        self.quit_requested = asyncio.Event()
        self.silence_s: float | None = None
        self.round_trip_s: float | None = None
        self._url = url
        self._mode = ""
        self._state, self._state_reason = "connecting", ""
        self._connections = 0
        # The notice about each symbol or pattern without a quote.
        self._notices: dict[str, str] = {}
        self._update_times_s: deque[float] = deque(maxlen=100_000)
        self._first_row = 0
        self._page_rows = 1
        self._shows_help = self._is_typing = False

    def add_event(self, event: Event) -> None:
        value, now_s = event.value, time.monotonic()
        match value:
            case Quote():
                self.rows.add_quote(value, now_s)
                self._update_times_s.append(now_s)
                for pattern in [each for each in self._notices if fnmatchcase(value.symbol, each)]:
                    del self._notices[pattern]
            case Welcome():
                self._mode = value.mode
                self._connections += 1
            case Matches():
                self.rows.keep_only(value.symbols)
            case Enter() if value.quote is not None:
                self.rows.add_quote(value.quote, now_s)
            case Leave():
                self.rows.remove([value.symbol])
        self.changed.set()

    def add_notice(self, symbol: str, text: str) -> None:
        if symbol not in self.rows:
            self._notices[symbol] = text
            self.changed.set()

    def show_state(self, state: str, reason: str) -> None:
        self._state, self._state_reason = state, reason
        self.changed.set()

    def press(self, key: str) -> None:
        """Handle a pressed key."""
        if self._is_typing:
            self._type(key)
        else:
            self._apply(key)
        self.changed.set()
        self.key_pressed.set()

    def _apply(self, key: str) -> None:
        match key:
            case "q":
                self.quit_requested.set()
            case "left" | "<" | "right" | ">":
                self.rows.move_sort_column(-1 if key in ("left", "<") else 1)
            case "r":
                self.rows.is_descending = not self.rows.is_descending
            case "/":
                self._is_typing, self.rows.pattern = True, ""
            case "p" | " ":
                self.rows.toggle_pause()
            case "?" | "h":
                self._shows_help = not self._shows_help
            case _ if key == ESCAPE:
                self.rows.pattern, self._shows_help = "", False
            case _:
                self._scroll(key)

    def _scroll(self, key: str) -> None:
        """Change the first visible row. The row may be out of range, which `render` corrects."""
        end = len(self.rows)
        steps = {
            "up": -1,
            "down": 1,
            "page up": -self._page_rows,
            "page down": self._page_rows,
            "home": -end,
            "end": end,
        }
        self._first_row += steps.get(key, 0)

    def _type(self, key: str) -> None:
        """Edit the search text, which selects the visible symbols."""
        match key:
            case _ if key in (ENTER, ESCAPE):
                self._is_typing = False
                self.rows.pattern = "" if key == ESCAPE else self.rows.pattern
            case _ if key == BACKSPACE:
                self.rows.pattern = self.rows.pattern[:-1]
            case _ if len(key) == 1 and key.isprintable():
                self.rows.pattern += key
                self._first_row = 0

    def render(self, console: Console) -> Group:
        """Return the table, drawn for the size of the console."""
        width, height = console.size
        lines = [self._connection_line(), self._measurement_line()]
        lines += [Text(text, "yellow", no_wrap=True, overflow="ellipsis") for text in self._notices.values()]
        if self._shows_help:
            lines += [Text.assemble("  ", (keys, "bold"), f"  {effect}") for keys, effect in HELP]
        rows = self.rows.selected()
        self._page_rows = max(1, height - len(lines) - 1)
        self._first_row = min(max(0, self._first_row), max(0, len(rows) - self._page_rows))
        shown = rows[self._first_row : self._first_row + self._page_rows]
        has_unicode = console.encoding.lower().startswith("utf")
        return Group(
            *lines, self._table(shown, _visible_columns(width, has_unicode=has_unicode), "▲▼" if has_unicode else "^v")
        )

    def _connection_line(self) -> Text:
        # Omit the mode `live`, because the line also contains the state of the connection, and one state is called
        # `live`, too.
        parts = [self._url, self._mode.replace("live", ""), f"{len(self.rows)} symbols"]
        line = Text(" · ".join(part for part in parts if part) + "  ", no_wrap=True, overflow="ellipsis")
        style = "bold green" if self._state == "live" else "bold white on red"
        line.append(self._state + (f": {self._state_reason}" if self._state_reason else ""), style)
        return line.append("  paused", "bold yellow") if self.rows.is_paused else line

    def _measurement_line(self) -> Text:
        now_s = time.monotonic()
        while self._update_times_s and now_s - self._update_times_s[0] > _RATE_WINDOW_S:
            self._update_times_s.popleft()
        parts = [f"{len(self._update_times_s) / _RATE_WINDOW_S:.0f} updates/s"]
        if self.round_trip_s is not None:
            parts.append(f"round trip {self.round_trip_s * 1000:.1f} ms")
        if self.silence_s is not None:
            parts.append(f"last data {self.silence_s:.1f} s ago")
        if self._connections > 1:
            parts.append(f"{self._connections - 1} reconnect{'s' * (self._connections > 2)}")
        if self._is_typing or self.rows.pattern:
            parts.append(f"symbols: {self.rows.pattern}{'_' if self._is_typing else ''}")
        return Text(" · ".join([*parts, "? shows the keys"]), "dim", no_wrap=True, overflow="ellipsis")

    def _table(self, rows: list[Row], columns: list[TableColumn], arrows: str) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _COLUMN_GAP, 0, 0))
        for column in columns:
            is_text = column.field in ("symbol", "trend")
            heading = Text(column.heading)
            if column.field == self.rows.sort_field:
                heading = Text(f"{column.heading}{arrows[self.rows.is_descending]}", "reverse")
            table.add_column(
                heading, justify="left" if is_text else "right", min_width=column.width, max_width=column.width
            )
        now_s, is_live = time.monotonic(), self._state == "live"
        for row in rows:
            # Old prices must not look like current prices.
            table.add_row(*(_cell(row, column.field, now_s) for column in columns), style="" if is_live else "dim")
        return table


def _visible_columns(width: int, *, has_unicode: bool) -> list[TableColumn]:
    """Return the columns that fit into `width` characters. A trend needs a terminal with Unicode."""
    columns = [column for column in COLUMNS if column.field != "trend" or has_unicode]
    while max(column.rank for column in columns) > 0 and sum(column.width + _COLUMN_GAP for column in columns) > width:
        highest_rank = max(column.rank for column in columns)
        columns = [column for column in columns if column.rank < highest_rank]
    return columns


def _cell(row: Row, field: str, now_s: float) -> Text:
    quote = row.quote
    match field:
        case "symbol":
            return Text(quote.symbol, "bold", no_wrap=True, overflow="ellipsis")
        case "last":
            styles = _FLASH_STYLES if row.is_flashing(now_s) else _DIRECTION_STYLES
            return Text(_format_price(quote.last), styles[row.direction])
        case "change":
            return Text(_format_price(quote.change), _sign_style(quote.change))
        case "change_rate":
            text = "–" if quote.change_rate is None else f"{quote.change_rate:+.2f}"
            return Text(text, _sign_style(quote.change_rate))
        case "trend":
            prices = [*row.trend]
            return Text(_sparkline(prices), _sign_style(prices[-1] - prices[0] if prices else None))
        case "volume":
            return Text("–" if quote.volume is None else f"{quote.volume:,.10g}")
        case "ts":
            return Text("–" if quote.ts is None else f"{datetime.fromtimestamp(quote.ts / 1e6).astimezone():%H:%M:%S}")
    return Text(_format_price(getattr(quote, field)))


def _sparkline(prices: list[float]) -> str:
    """Return a bar for each price. The lowest price has the lowest bar, and the highest price has the highest bar."""
    if not prices:
        return ""
    low, high = min(prices), max(prices)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((price - low) * scale)] for price in prices)


def _sign_style(value: float | None) -> str:
    return _DIRECTION_STYLES[((value or 0) > 0) - ((value or 0) < 0)]


def _format_price(value: float | None) -> str:
    """Return a price as text with all its decimal places, at least two. Return a dash if the price is None."""
    if value is None:
        return "–"
    text = f"{value:,.9f}".rstrip("0")
    return text + "0" * max(0, 2 - len(text.rpartition(".")[2]))
