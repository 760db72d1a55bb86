"""`tickwire watch`: a live table of quotes in the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from datetime import datetime

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tickwire.cli.options import given_token, url_option
from tickwire.client.stream import Event, Stream, connect
from tickwire.core.codec import decode
from tickwire.core.quote import Quote

_REFRESH = 8  # a second: more is not readable
_STYLES = {1: "green", 0: "", -1: "red"}


@click.command()
@click.argument("symbols", nargs=-1)
@url_option
@click.option(
    "--filter", "condition", metavar="EXPR", help="only what matches, such as 'volume > 1M and change_rate > 5%'"
)
@click.option("--count", type=click.IntRange(1), help="end after so many quotes")
def watch(symbols: tuple[str, ...], url: str, condition: str | None, count: int | None) -> None:
    """Show the quotes of SYMBOLS as they move (all, if none is named; patterns such as 'BTC-*' work).

    In a terminal a table, else a line of JSON for each quote. Ctrl-C ends.
    """
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watch(symbols or ("*",), url, condition, count))


async def _watch(symbols: tuple[str, ...], url: str, condition: str | None, count: int | None) -> None:
    screen = _Screen(url) if sys.stdout.isatty() else _Lines()
    kinds = ("quote", "status") if condition is None else ("quote", "screen", "status")
    async with connect(
        url, symbols, filter=condition, events=kinds, on_state=screen.state, token=given_token()
    ) as stream:
        with screen.shown(stream):
            seen = 0
            async for event in stream.events():
                if event.name == "quote":
                    screen.take(event.text)
                    seen += 1
                elif event.name in ("matches", "leave"):
                    screen.keep(event)
                if seen == count:
                    return


class _Lines:
    """For programs: each quote as a line of JSON, states to standard error."""

    def shown(self, stream: Stream) -> contextlib.AbstractContextManager[object]:
        del stream
        return contextlib.nullcontext()

    def take(self, text: str) -> None:
        print(text, flush=True)

    def keep(self, event: Event) -> None:
        """Only the symbols in the filter's set are shown."""

    def state(self, state: str, why: str) -> None:
        if why:
            print(f"{state}: {why}", file=sys.stderr)


class _Screen(_Lines):
    """For people: a table that is drawn anew a few times a second."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._state, self._why = "connecting", ""
        self._quotes: dict[str, tuple[Quote, int]] = {}  # with the way the last price moved
        self._stream: Stream | None = None

    def shown(self, stream: Stream) -> contextlib.AbstractContextManager[object]:
        self._stream = stream
        return Live(get_renderable=self._draw, refresh_per_second=_REFRESH, screen=True, console=Console())

    def take(self, text: str) -> None:
        quote = decode(text, Quote)
        before = self._quotes.get(quote.symbol)
        moved = 0
        if before is not None:
            old, new = before[0].last or 0.0, quote.last or 0.0
            moved = (new > old) - (new < old) or before[1]
        self._quotes[quote.symbol] = (quote, moved)

    def keep(self, event: Event) -> None:
        gone = {event.data["symbol"]} if event.name == "leave" else {*self._quotes} - {*event.data["symbols"]}
        for symbol in gone:
            self._quotes.pop(symbol, None)

    def state(self, state: str, why: str) -> None:
        self._state, self._why = state, why

    def _draw(self) -> Group:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("Symbol")
        for name in ("Last", "Change", "%", "Bid", "Ask", "Volume", "Time"):
            table.add_column(name, justify="right")
        room = Console().height - 3
        for symbol in sorted(self._quotes)[:room]:
            table.add_row(*_cells(*self._quotes[symbol]))
        return Group(self._headline(room), table)

    def _headline(self, room: int) -> Text:
        mode = self._stream.welcome.get("mode", "") if self._stream else ""
        hidden = len(self._quotes) - room
        parts = [self._url, mode, f"{len(self._quotes)} symbols", f"{hidden} do not fit" if hidden > 0 else ""]
        headline = Text(" · ".join(part for part in parts if part) + "  ")
        style = "green" if self._state == "live" else "red"
        return headline.append(self._state + (f": {self._why}" if self._why else ""), style)


def _cells(quote: Quote, moved: int) -> list[Text]:
    change = quote.change or 0.0
    way = _STYLES[(change > 0) - (change < 0)]
    time = datetime.fromtimestamp((quote.ts or 0) / 1e6).astimezone().strftime("%H:%M:%S")
    return [
        Text(quote.symbol, "bold"),
        Text(_price(quote.last), _STYLES[moved]),
        Text(_price(quote.change), way),
        Text("–" if quote.change_rate is None else f"{quote.change_rate:+.2f}", way),
        Text(_price(quote.bid)),
        Text(_price(quote.ask)),
        Text("–" if quote.volume is None else f"{quote.volume:,.10g}"),
        Text(time, "dim"),
    ]


def _price(value: float | None) -> str:
    """With two decimals at least, and with as many as it has."""
    if value is None:
        return "–"
    text = f"{value:,.9f}".rstrip("0")
    return text + "0" * max(0, 2 - len(text.rpartition(".")[2]))
