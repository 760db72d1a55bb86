"""`tickwire watch`: show live quotes in the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence

import click
from rich.console import Console
from rich.live import Live

from tickwire.cli.client_options import server_url_option, token_from_environment
from tickwire.cli.terminal_keys import KeyReader
from tickwire.cli.watch_lines import CsvLines, JsonLines, WatchOutput
from tickwire.cli.watch_rows import SORT_FIELDS, WatchRows
from tickwire.cli.watch_table import WatchTable
from tickwire.client.async_client import AsyncClient
from tickwire.client.quotes import find_missing_symbols
from tickwire.client.stream import Stream, connect
from tickwire.core.timestamps import format_duration
from tickwire.errors import ClientError, InputError, TickwireError
from tickwire.screens.ranking import MAX_TOP, Ranking, parse_ranking

# The table changes at most once in this time. A person cannot read faster changes, and a slow connection cannot
# transmit them.
_MIN_REDRAW_INTERVAL_S = 0.2
# Redraw the table at least once in this time, even if no event arrives: it shows elapsed times and short highlights.
_MAX_REDRAW_INTERVAL_S = 1.0
_ROUND_TRIP_INTERVAL_S = 2.0


@click.command()
@click.argument("symbols", nargs=-1)
@server_url_option
@click.option(
    "--filter",
    "condition",
    metavar="EXPR",
    help="Show only symbols that match this filter, such as 'volume > 1M and change_rate > 5%'.",
)
@click.option(
    "--order",
    metavar="EXPR",
    help="With --top, show only the first symbols in this order, such as 'change_rate desc' or 'last * volume desc'.",
)
@click.option("--top", type=click.IntRange(1, MAX_TOP), help="With --order, show this many symbols.")
@click.option("--count", type=click.IntRange(1), help="Stop after this number of quotes.")
@click.option(
    "--sort",
    metavar="FIELD",
    help="Sort the table by this field; -FIELD begins with the largest value.  [default: --order, or symbol]  "
    f"Fields: {', '.join(SORT_FIELDS)}.",
)
@click.option("--json", "line_format", flag_value="json", help="Print one line of JSON for each quote.")
@click.option("--csv", "line_format", flag_value="csv", help="Print one line of CSV for each quote.")
def watch(
    *,
    symbols: tuple[str, ...],
    url: str,
    condition: str | None,
    order: str | None,
    top: int | None,
    count: int | None,
    sort: str | None,
    line_format: str | None,
) -> None:
    """Show the live quotes of SYMBOLS and patterns such as 'BTC-*' (default: all symbols).

    In a terminal, the command shows a table. The key ? lists the keys that sort, filter and scroll the table, and q
    quits. If the output is not a terminal, the command prints one line of JSON for each quote. Ctrl-C stops the
    command. If the command could not connect to the server, the exit code is 1.

    Example: tickwire watch --order 'change_rate desc' --top 10
    """
    # Suppress the log of the client. The output already shows the states of the connection, and the log would repeat
    # them in the middle of a table.
    logging.getLogger("tickwire.client").addHandler(logging.NullHandler())
    patterns = symbols or ("*",)
    ranking = _parse_ranking(order, top)
    rows = _sorted_rows(sort, ranking)
    has_screen = condition is not None or ranking is not None
    kinds = ("quote", "screen", "status") if has_screen else ("quote", "status")
    output: WatchOutput
    if line_format is None and sys.stdout.isatty() and not Console().is_dumb_terminal:
        output = WatchTable(url, rows)
    else:
        output = CsvLines() if line_format == "csv" else JsonLines()
    stream = connect(
        url,
        patterns,
        filter=condition,
        order=order,
        top=top,
        events=kinds,
        on_state=output.show_state,
        token=token_from_environment(),
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_display_quotes(stream, output, patterns, url, count=count))
    if not stream.connections:
        raise ClientError(f"could not connect to {url}")


def _parse_ranking(order: str | None, top: int | None) -> Ranking | None:
    if order is None and top is None:
        return None
    if order is None:
        raise InputError(
            "--top requires an order: add --order", field="top", hint="example: --order 'change_rate desc'"
        )
    if top is None:
        raise InputError("--order requires the number of symbols: add --top", field="order", hint="example: --top 10")
    return parse_ranking(order, top)


def _sorted_rows(sort: str | None, ranking: Ranking | None) -> WatchRows:
    if sort is None and ranking is not None:
        # If `--order` names a column of the table, the heading of this column shows an arrow.
        field = ranking.order.rpartition(" ")[0]
        return WatchRows(field if field in SORT_FIELDS else None, is_descending=ranking.is_descending, ranking=ranking)
    sort = sort or "symbol"
    field = sort.removeprefix("-")
    if field not in SORT_FIELDS:
        raise InputError(f"cannot sort by {field!r}: choose one of {', '.join(SORT_FIELDS)}", field="sort")
    return WatchRows(field, is_descending=sort.startswith("-"))


async def _display_quotes(
    stream: Stream, output: WatchOutput, patterns: Sequence[str], url: str, *, count: int | None
) -> None:
    async with stream, contextlib.AsyncExitStack() as stack:
        reading = asyncio.create_task(_read_events(stream, output, patterns, url, count=count))
        stack.callback(reading.cancel)
        if isinstance(output, WatchTable):
            await stack.enter_async_context(_drawing(output, stream, url))
            quitting = asyncio.create_task(output.quit_requested.wait())
            stack.callback(quitting.cancel)
            await asyncio.wait({reading, quitting}, return_when=asyncio.FIRST_COMPLETED)
        if not isinstance(output, WatchTable) or reading.done():
            await reading


async def _read_events(
    stream: Stream, output: WatchOutput, patterns: Sequence[str], url: str, *, count: int | None
) -> None:
    quote_count, lookup = 0, None
    try:
        async for event in stream.events():
            output.add_event(event)
            quote_count += event.name == "quote"
            if event.name == "welcome" and lookup is None:
                lookup = asyncio.create_task(_report_missing_symbols(url, patterns, stream.welcome["delay"], output))
            if quote_count == count:
                return
    finally:
        if lookup is not None:
            lookup.cancel()


async def _report_missing_symbols(url: str, patterns: Sequence[str], delay_s: float, output: WatchOutput) -> None:
    """Show a notice if the server delays quotes. Show a notice for each pattern in `patterns` that has no quote."""
    if delay_s:
        output.add_notice("", f"quotes are delayed by {format_duration(delay_s)}")
    try:
        missing = await find_missing_symbols(url, patterns, token=token_from_environment())
    except TickwireError:
        # Show nothing, because the stream itself reports an unreachable server.
        return
    for pattern, near in missing.items():
        hint = f" (did you mean {near}?)" if near else ""
        output.add_notice(pattern, f"no quote of {pattern} yet{hint}" if pattern != "*" else "no quotes yet")


@contextlib.asynccontextmanager
async def _drawing(table: WatchTable, stream: Stream, url: str) -> AsyncIterator[None]:
    """Draw the table in the alternate screen of the terminal, and read keys, until the block ends."""
    console = Console()
    with (
        Live(console=console, screen=True, auto_refresh=False) as live,
        KeyReader(sys.stdin.fileno(), table.press) as keys,
        _handling_signals(table, live, keys),
    ):
        tasks = [
            asyncio.create_task(_redraw(table, stream, live, console)),
            asyncio.create_task(_measure_round_trips(table, url)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def _handling_signals(table: WatchTable, live: Live, keys: KeyReader) -> Iterator[None]:
    """Redraw the table when the terminal changes its size. Restore the terminal before Ctrl-Z or an exit."""

    def suspend() -> None:
        keys.stop()
        live.stop()
        # This call returns when the shell continues the program.
        os.kill(os.getpid(), signal.SIGSTOP)
        live.start()
        keys.start()
        table.changed.set()

    loop = asyncio.get_running_loop()
    handlers = {
        signal.SIGWINCH: table.changed.set,
        signal.SIGTSTP: suspend,
        signal.SIGTERM: table.quit_requested.set,
        signal.SIGHUP: table.quit_requested.set,
    }
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)


async def _redraw(table: WatchTable, stream: Stream, live: Live, console: Console) -> None:
    while True:
        table.changed.clear()
        table.key_pressed.clear()
        table.silence_s = stream.silence_s
        live.update(table.render(console), refresh=True)
        await _wait(table.key_pressed, _MIN_REDRAW_INTERVAL_S)
        await _wait(table.changed, _MAX_REDRAW_INTERVAL_S)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    """Wait until `event` is set, at most `timeout_s` seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


async def _measure_round_trips(table: WatchTable, url: str) -> None:
    async with AsyncClient(url, token=token_from_environment()) as client:
        while True:
            table.round_trip_s = None
            with contextlib.suppress(ClientError):
                table.round_trip_s = await client.measure_round_trip()
            await asyncio.sleep(_ROUND_TRIP_INTERVAL_S)
