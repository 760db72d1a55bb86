"""The command line of the benchmarks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks import (
    attack,
    capacity_report,
    compression,
    fanout,
    filters,
    in_process,
    ingest,
    journal_codecs,
    load_report,
    load_test,
    many_readers,
    nats_journal,
    publish,
    reconnect,
    reconnect_strategies,
    slow_reader,
    soak,
    stalled_readers,
    top_screens,
    vendor_feeds,
    workers,
)
from benchmarks.peer_servers import Peer, tickwire_variant
from benchmarks.report import Row, markdown_table, print_table, replace_tables, save_json
from benchmarks.rounds import select_peers
from tickwire.errors import ClientError, InputError, TickwireError

_json_option = click.option(
    "--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures to this JSON file."
)
_readers_option = click.option(
    "--readers", type=click.IntRange(1, 20_000), default=1_000, show_default=True, help="Number of readers."
)
_seconds_option_with = partial(
    click.option,
    "--seconds",
    type=click.FloatRange(0.2, 600),
    show_default=True,
    help="Duration of each measurement in seconds.",
)
_rounds_option_with = partial(
    click.option,
    "--rounds",
    type=click.IntRange(1, 50),
    show_default=True,
    help="Number of rounds. The report shows the median of the rounds.",
)
_seconds_option, _rounds_option = _seconds_option_with(default=3.0), _rounds_option_with(default=3)
_only_option = click.option(
    "--only", default="", help="Measure the C send loop and only these peers, such as tickwire,nchan.  [default: all]"
)
_variant_option = click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="NAME=OPTIONS",
    callback=lambda _context, _option, texts: [_parse_variant(text) for text in texts],
    help="Add a row for Tickwire with these options of `tickwire serve`, such as 'plain=--compress off'. Repeatable.",
)
# One round of the following benchmarks takes minutes. So their parameters are not called `readers` and `rounds`, and
# keep their defaults: the benchmark `all` passes its own `readers` and `rounds` to each benchmark with parameters of
# these names.
_many_readers_option = click.option(
    "--readers",
    "many",
    type=click.IntRange(1, 19_000),
    default=10_000,
    show_default=True,
    help="Number of readers.",
)
_single_round_option = click.option(
    "--rounds",
    "repeats",
    type=click.IntRange(1, 50),
    default=1,
    show_default=True,
    help="Number of rounds. The report shows the median of the rounds.",
)
_symbols_option = click.option(
    "--symbols", type=click.IntRange(1, 4_000), default=500, show_default=True, help="Number of symbols in the market."
)
_watch_option = click.option(
    "--watch", type=click.IntRange(1, 500), default=20, show_default=True, help="Number of symbols per reader."
)
_ticks_option = click.option(
    "--ticks", type=click.IntRange(50, 200_000), default=20_000, show_default=True, help="Ticks per second."
)


def _parse_variant(text: str) -> Peer:
    name, equals, options = text.partition("=")
    if not name or not equals:
        raise InputError(f"--variant {text!r} is not a name with options: write NAME=OPTIONS", field="variant")
    return tickwire_variant(name, options)


class _BenchmarkGroup(click.Group):
    """A command group that prints an expected error as one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Exit with code 2 for wrong input, and with code 1 for other errors."""
        try:
            return super().invoke(ctx)
        except TickwireError as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            sys.exit(2 if isinstance(error, InputError) else 1)


def _peer_benchmark_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a benchmark that compares peers."""
    return _readers_option(_seconds_option(_rounds_option(_only_option(_variant_option(_json_option(command))))))


def _market_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a busy market."""
    return _symbols_option(_watch_option(_ticks_option(command)))


@click.group(cls=_BenchmarkGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def bench() -> None:
    """Measure Tickwire and its peers on this machine.

    The server and the load generator run on different cores. Compare figures only within one run: other runs and other
    machines give different figures.
    """


def _report(title: str, rows: list[Row], columns: dict[str, str], file: Path | None) -> list[Row]:
    print_table(title, rows, columns)
    if file is not None:
        save_json(file, title, rows, columns)
    return rows


@bench.command("fanout")
@_peer_benchmark_options
def run_fanout(
    readers: int, seconds: float, rounds: int, only: str, variants: list[Peer], file: Path | None
) -> list[Row]:
    """Send events to all readers as fast as possible. Compare Tickwire with a raw send loop and the peers."""
    rows = fanout.measure_fanout(select_peers(only, variants), readers, seconds, rounds)
    return _report(f"fanout: one event to {readers:,} readers, saturated", rows, fanout.COLUMNS, file)


@bench.command("latency")
@_peer_benchmark_options
def run_latency(
    readers: int, seconds: float, rounds: int, only: str, variants: list[Peer], file: Path | None
) -> list[Row]:
    """Measure the time from publish to receipt at 100,000 deliveries per second."""
    rows = fanout.measure_latency(select_peers(only, variants), readers, seconds, rounds)
    columns = {**fanout.COLUMNS, "ratio": "p99 to limit"}
    return _report(f"latency: 100,000 deliveries/s to {readers:,} readers", rows, columns, file)


@bench.command("publish")
@_seconds_option
@_rounds_option
@_only_option
@_variant_option
@_json_option
@_symbols_option
def run_publish(
    seconds: float, rounds: int, only: str, variants: list[Peer], file: Path | None, symbols: int
) -> list[Row]:
    """Measure the CPU time of a single event: one request, and one reader."""
    rows = publish.measure_publish(select_peers(only, variants), seconds, rounds, symbols=symbols)
    return _report(f"publish: one event per request, {symbols} symbols, one reader", rows, publish.COLUMNS, file)


@bench.command("watchlists")
@_peer_benchmark_options
@_market_options
def run_watchlists(only: str, variants: list[Peer], file: Path | None, **options: Any) -> list[Row]:
    """Send a busy market to readers that each have a watchlist."""
    rows = fanout.measure_watchlists(select_peers(only, variants), **options)
    columns = {name: heading for name, heading in fanout.COLUMNS.items() if name != "ratio"}
    title = "watchlists: {readers:,} readers x {watch} of {symbols} symbols, {ticks:,} ticks/s".format(**options)
    return _report(title, rows, columns, file)


@bench.command("workers")
@_readers_option
@_seconds_option
@_rounds_option
@_json_option
@_market_options
def run_workers(file: Path | None, **options: Any) -> list[Row]:
    """Send watchlists from two workers, and from one and two edges on NATS. Compare them with one process."""
    rows = workers.measure_workers(**options)
    title = "workers: {readers:,} readers x {watch} of {symbols} symbols, {ticks:,} ticks/s"
    return _report(title.format(**options), rows, workers.COLUMNS, file)


@bench.command("paced")
@_peer_benchmark_options
@_market_options
@click.option(
    "--interval",
    type=click.IntRange(100, 10_000),
    default=250,
    show_default=True,
    help="Shortest time between two updates of a symbol, in milliseconds.",
)
def run_paced(only: str, variants: list[Peer], file: Path | None, **options: Any) -> list[Row]:
    """Send watchlists with an interval: each symbol at most once per interval, with its newest value."""
    rows = fanout.measure_paced(select_peers(only, variants), **options)
    title = "paced: every {interval} ms, {readers:,} readers x {watch} of {symbols} symbols, {ticks:,} ticks/s"
    return _report(title.format(**options), rows, fanout.PACED_COLUMNS, file)


@bench.command("stalled")
@_readers_option
@_seconds_option
@_rounds_option
@_only_option
@_json_option
@click.option(
    "--silent", type=click.IntRange(1, 1_000), default=50, show_default=True, help="Number of stalled readers."
)
def run_stalled(readers: int, seconds: float, rounds: int, only: str, file: Path | None, silent: int) -> list[Row]:
    """Measure the readers of a server first alone, and then beside stalled readers, which never read."""
    if silent >= readers:
        raise InputError(f"--silent {silent} must be less than the number of readers, {readers}", field="silent")
    rows = stalled_readers.measure_stalled_readers(select_peers(only), readers, seconds, rounds, silent=silent)
    title = f"stalled: {silent} of {readers:,} readers never read"
    return _report(title, rows, stalled_readers.COLUMNS, file)


@bench.command("crowd")
@_many_readers_option
@_seconds_option
@_single_round_option
@_only_option
@_variant_option
@_json_option
def run_crowd(many: int, seconds: float, repeats: int, only: str, variants: list[Peer], file: Path | None) -> list[Row]:
    """Connect many readers. Measure connections per second, memory per reader, and events to all readers."""
    rows = many_readers.measure_many_readers(select_peers(only, variants), many, seconds, repeats)
    return _report(f"crowd: {many:,} readers", rows, many_readers.COLUMNS, file)


@bench.command("reconnect")
@_many_readers_option
@_single_round_option
@_only_option
@_json_option
@click.option(
    "--behind",
    type=click.IntRange(1, 5_000),
    default=1_000,
    show_default=True,
    help="Number of events that each reader has missed.",
)
def run_reconnect(many: int, repeats: int, only: str, file: Path | None, behind: int) -> list[Row]:
    """Reconnect all readers at once, each with the id of an old event."""
    rows = reconnect.measure_reconnect(select_peers(only), many, repeats, behind=behind)
    return _report(f"reconnect: {many:,} readers, {behind:,} events behind", rows, reconnect.COLUMNS, file)


@bench.command("reconnect-strategies")
@_readers_option
@_rounds_option
@_json_option
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the jitter.")
def run_reconnect_strategies(readers: int, rounds: int, file: Path | None, seed: int) -> list[Row]:
    """Compare the reconnect strategies of readers after the server was killed and started again."""
    rows = reconnect_strategies.measure_strategies(readers, rounds, seed=seed)
    return _report(f"reconnect-strategies: {readers:,} readers", rows, reconnect_strategies.COLUMNS, file)


@bench.command("compress")
@_readers_option
@_seconds_option
@_rounds_option
@_only_option
@_json_option
def run_compress(readers: int, seconds: float, rounds: int, only: str, file: Path | None) -> list[Row]:
    """Measure the bytes that compression saves and its CPU time, with shared and with separate encoding."""
    rows = compression.measure_compression(select_peers(only), readers, seconds, rounds)
    return _report(f"compress: 200 events/s to {readers:,} readers", rows, compression.COLUMNS, file)


@bench.command("attack")
@_seconds_option
@_json_option
def run_attack(seconds: float, file: Path | None) -> list[Row]:
    """Measure readers during an attack of slow request heads, stalled readers and forged tokens."""
    return _report("attack: 500 good readers of 20 symbols", attack.measure_attack(seconds), attack.COLUMNS, file)


def _measure_codecs(seconds: float) -> list[Row]:
    return [*in_process.measure_encoding(seconds), *journal_codecs.measure_journal_codecs(seconds)]


def _add_simple_benchmark(
    name: str, help_text: str, measure: Callable[[float], list[Row]], columns: dict[str, str]
) -> None:
    """Add a benchmark whose only parameter is its duration."""

    def run(seconds: float, file: Path | None) -> list[Row]:
        return _report(name, measure(seconds), columns, file)

    bench.command(name, help=help_text)(_seconds_option(_json_option(run)))


_add_simple_benchmark(
    "journal",
    "Measure appends per second, with durability against kill -9 and against a power cut.",
    in_process.measure_journal,
    in_process.JOURNAL_COLUMNS,
)
_add_simple_benchmark(
    "codecs",
    "Measure the conversion of packed ticks to quotes, frames and candles, and the batch formats on NATS.",
    _measure_codecs,
    {**in_process.CODEC_COLUMNS, **journal_codecs.COLUMNS},
)
_add_simple_benchmark(
    "cluster",
    "Measure the journal on NATS: appends per second, and the latency to a follower.",
    nats_journal.measure_nats_journal,
    nats_journal.COLUMNS,
)
_add_simple_benchmark(
    "ingest",
    "Measure 100,000 published ticks a second in batches of 1,000, beside 100 readers.",
    ingest.measure_ingest,
    ingest.COLUMNS,
)
_add_simple_benchmark(
    "vendors",
    "Measure the feeds of vendors: the CPU time for each message, from the socket to packed ticks.",
    vendor_feeds.measure_vendor_feeds,
    vendor_feeds.COLUMNS,
)
_add_simple_benchmark(
    "simulator",
    "Measure the number of ticks per second that the simulator generates.",
    in_process.measure_simulator,
    in_process.SIMULATOR_COLUMNS,
)
_add_simple_benchmark(
    "top-screens",
    "Measure the evaluation of top-N screens on a board of 100,000 symbols.",
    top_screens.measure_top_screens,
    top_screens.COLUMNS,
)
_add_simple_benchmark(
    "slow",
    "Measure the age of prices for a reader that reads 20 KB/s from a market of 900 KB/s.",
    slow_reader.measure_slow_reader,
    slow_reader.COLUMNS,
)


@bench.command("filters")
@click.option(
    "--filters",
    "count",
    type=click.IntRange(1, 200_000),
    help="Number of filters.  [default: 1, 100, 10,000 and 100,000]",
)
@_seconds_option
@_json_option
def run_filters(count: int | None, seconds: float, file: Path | None) -> list[Row]:
    """Measure the cost of a tick with many different filters. Compare the index with simpler matchers."""
    rows = filters.measure_filters(seconds, filters.FILTER_COUNTS if count is None else (count,))
    return _report("filters: volume > a and change_rate > b", rows, filters.COLUMNS, file)


@bench.command("soak")
@click.option(
    "--minutes",
    type=click.FloatRange(0.1, 10_000),
    default=20.0,
    show_default=True,
    help="Duration of the whole test in minutes.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the random clients.")
@_json_option
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("artifacts/soak.svg"),
    show_default=True,
    help="Write a plot of the memory, the open files and the threads to this SVG file.",
)
def run_soak(minutes: float, seed: int, plot: Path, file: Path | None) -> list[Row]:
    """Run clients that come and go for a long time. Exit with code 1 if a resource of the server grows."""
    title = f"soak: {minutes:g} minutes, {soak.STANDING_READERS} readers that stay, and others that come and go"
    rows, samples = soak.measure_soak(minutes, seed)
    _report(title, rows, soak.COLUMNS, file)
    plot.parent.mkdir(parents=True, exist_ok=True)
    soak.write_plot(plot, samples)
    print(f"plot: {plot}")
    for name, growth in soak.find_growth(samples).items():
        print(f"growth of {name} in the second half: at least {max(0.0, growth):.1%}")
    leaks = soak.find_leaks(samples)
    if leaks:
        raise ClientError("; ".join(leaks))
    return rows


@bench.command("load")
@click.option("--url", default="", help="Measure the server at this URL.  [default: start a server]")
@click.option("--rate", type=click.FloatRange(1), default=load_test.TARGET_RATE, show_default=True, help="Requests/s.")
@click.option(
    "--readers", type=click.IntRange(0), default=load_test.TARGET_READERS, show_default=True, help="Number of streams."
)
@click.option("--seconds", type=click.IntRange(6), default=60, show_default=True, help="Duration of the test.")
@click.option(
    "--processes",
    type=click.IntRange(1),
    help="Send the load from this many processes.  [default: the number of cores minus 1]",
)
@click.option("--read-only", is_flag=True, help="Publish nothing. Use this option for a server in production.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the random requests.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("artifacts/load.html"),
    show_default=True,
    help="Write a report to this HTML file, and its plots to an SVG file in the same folder.",
)
def run_load(*, report: Path, processes: int | None, read_only: bool, **options: Any) -> None:
    """Send requests and read streams, and compare the server with its targets.

    Exit with code 1 if the server misses a target.

    If the server requires a token, set TICKWIRE_TOKEN to a token with the scopes publish and metrics.
    """
    load = load_test.LoadOptions(
        processes=processes or load_test.default_processes(), publishes=not read_only, **options
    )
    result = load_test.measure_load(load, load_test.token_from_environment())
    targets = load_test.compare_with_targets(result)
    print(f"{'item':24}{'target':18}{'measured':44}met")
    for row in targets:
        print(f"{row.item:24}{row.target:18}{row.measured:44}{ {True: 'yes', False: 'NO', None: ''}[row.is_met] }")
    report.parent.mkdir(parents=True, exist_ok=True)
    load_report.write_report(report, result, targets)
    print(f"report: {report}")
    if any(target.is_met is False for target in targets):
        sys.exit(1)


@bench.command("markdown")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--page",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Replace the tables of this page, such as docs/performance.md, instead of printing them.",
)
def print_markdown(files: tuple[Path, ...], page: Path | None) -> None:
    """Print the tables in files that --json has written.

    With --page, the file fanout.json replaces the table that follows the comment `table fanout` on the page.
    """
    if page is not None:
        replace_tables(page, files)
        return
    for file in files:
        print(f"{markdown_table(file)}\n")


@bench.command("report")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("artifacts/capacity.html"),
    show_default=True,
    help="Write the report to this HTML file.",
)
def run_report(paths: tuple[Path, ...], page: Path) -> None:
    """Write one HTML page with the tables and plots of the measurements at PATHS.

    A path is a file that --json wrote, or a folder that `all --folder` wrote. With two paths, the page compares the
    second run with the first run.
    """
    if len(paths) > 2:
        raise InputError(
            f"{len(paths)} paths given: give the path of one run, or of an earlier and a later run", field="paths"
        )
    *earlier, run = map(capacity_report.read_run, paths)
    page.parent.mkdir(parents=True, exist_ok=True)
    capacity_report.write_report(page, run, earlier[0] if earlier else None)
    print(f"report: {page}")


@bench.command("all")
@_readers_option
@_seconds_option_with(default=2.0)
@_rounds_option_with(default=2)
@_only_option
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the figures of each benchmark to a JSON file in this folder.",
)
@click.pass_context
def run_all(context: click.Context, /, folder: Path | None, **options: Any) -> None:
    """Run all benchmarks, one after the other. This takes about 25 minutes."""
    for name, command in bench.commands.items():
        # Leave out the soak test, because it takes longer than all benchmarks together.
        if command not in (run_all, run_load, run_report, run_soak, print_markdown):
            accepted = {parameter.name for parameter in command.params}
            arguments = {key: value for key, value in options.items() if key in accepted}
            context.invoke(command, file=folder and folder / f"{name}.json", **arguments)
