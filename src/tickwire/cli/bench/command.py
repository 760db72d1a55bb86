"""The command and its benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from tickwire.cli.bench import cluster as clustered
from tickwire.cli.bench import compress as coded
from tickwire.cli.bench import crowd as crowds
from tickwire.cli.bench import edges as several
from tickwire.cli.bench import fanout as streams
from tickwire.cli.bench import filters as screens
from tickwire.cli.bench import forms as wire
from tickwire.cli.bench import local, slow
from tickwire.cli.bench import reconnect as storms
from tickwire.cli.bench import stalled as silence
from tickwire.cli.bench.report import Row, save, show
from tickwire.cli.bench.rounds import chosen
from tickwire.errors import InputError

_json = click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="write the figures there")
_readers = click.option("--readers", type=click.IntRange(1, 20_000), default=1_000, show_default=True)
_some_seconds = partial(
    click.option, "--seconds", type=click.FloatRange(0.2, 600), show_default=True, help="measured time"
)
_some_rounds = partial(
    click.option, "--rounds", type=click.IntRange(1, 50), show_default=True, help="the median counts"
)
_seconds, _rounds = _some_seconds(default=3.0), _some_rounds(default=3)
_only = click.option(
    "--only", default="", help="a comma list of peers, such as tickwire,nchan; the limit is always run"
)
_many = click.option("--readers", "many", type=click.IntRange(1, 19_000), default=10_000, show_default=True)
_once = click.option("--rounds", "repeats", type=click.IntRange(1, 50), default=1, show_default=True)
"""Where a round takes minutes. By other names inside, so that `all` leaves the two as they are."""

_symbols = click.option("--symbols", type=click.IntRange(1, 4_000), default=500, show_default=True)
_watch = click.option(
    "--watch", type=click.IntRange(1, 500), default=20, show_default=True, help="symbols of each reader"
)
_ticks = click.option("--ticks", type=click.IntRange(50, 200_000), default=20_000, show_default=True, help="a second")


def _beside_peers(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags of what is measured beside the peers."""
    return _readers(_seconds(_rounds(_only(_json(command)))))


def _in_a_market(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags of a busy market, beside the peers."""
    return _beside_peers(_symbols(_watch(_ticks(command))))


@click.group()
def bench() -> None:
    """Measure this machine, Tickwire and its peers.

    Server and load run on different cores. Figures of one run compare with each other, not with those of another.
    """


def _finish(title: str, rows: list[Row], columns: dict[str, str], file: Path | None) -> list[Row]:
    show(title, rows, columns)
    if file is not None:
        save(file, rows)
    return rows


@bench.command()
@_beside_peers
def fanout(readers: int, seconds: float, rounds: int, only: str, file: Path | None) -> list[Row]:
    """One event to all readers, saturated, beside the raw send loop and the peers."""
    rows = streams.fanout(chosen(only), readers, seconds, rounds)
    return _finish(f"fanout: one event to {readers:,} readers, saturated", rows, streams.COLUMNS, file)


@bench.command()
@_beside_peers
def latency(readers: int, seconds: float, rounds: int, only: str, file: Path | None) -> list[Row]:
    """From publish to receipt at 100,000 deliveries a second."""
    rows = streams.latency(chosen(only), readers, seconds, rounds)
    columns = {**streams.COLUMNS, "ratio": "p99 to limit"}
    return _finish(f"latency: 100,000 deliveries/s to {readers:,} readers", rows, columns, file)


@bench.command()
@_in_a_market
def watchlists(only: str, file: Path | None, **given: Any) -> list[Row]:
    """Each reader with a watchlist of its own in a busy market."""
    rows = streams.watchlists(chosen(only), **given)
    columns = {name: heading for name, heading in streams.COLUMNS.items() if name != "ratio"}
    title = "watchlists: {readers:,} readers x {watch} of {symbols} symbols, {ticks:,} ticks/s".format(**given)
    return _finish(title, rows, columns, file)


@bench.command()
@_readers
@_seconds
@_rounds
@_json
@_symbols
@_watch
@_ticks
def edges(file: Path | None, **given: Any) -> list[Row]:
    """Watchlists at one edge and at two, fed through NATS, beside one process."""
    rows = several.edges(**given)
    title = "edges: {readers:,} readers x {watch} of {symbols} symbols, {ticks:,} ticks/s"
    return _finish(title.format(**given), rows, several.COLUMNS, file)


@bench.command()
@_in_a_market
@click.option("--interval", type=click.IntRange(100, 10_000), default=250, show_default=True, help="milliseconds")
def paced(only: str, file: Path | None, **given: Any) -> list[Row]:
    """Watchlists at a pace: each symbol at most once an interval, and then its newest value."""
    rows = streams.paced(chosen(only), **given)
    title = "paced: every {interval} ms, {readers:,} readers x {watch} of {symbols} symbols, {ticks:,} ticks/s"
    return _finish(title.format(**given), rows, streams.PACED_COLUMNS, file)


@bench.command()
@_readers
@_seconds
@_once
@_only
@_json
@click.option("--silent", type=click.IntRange(1, 1_000), default=50, show_default=True, help="of the readers")
def stalled(only: str, file: Path | None, **given: Any) -> list[Row]:
    """Readers that never read, beside good ones, against the good ones alone."""
    if given["silent"] >= given["readers"]:
        raise InputError(
            "{silent} silent of {readers} readers leaves nobody to measure".format(**given), field="silent"
        )
    rows = silence.stalled(chosen(only), **given)
    return _finish("stalled: {silent} of {readers:,} readers never read".format(**given), rows, silence.COLUMNS, file)


@bench.command()
@_many
@_seconds
@_once
@_only
@_json
def crowd(only: str, file: Path | None, **given: Any) -> list[Row]:
    """Many readers: how fast they come in, what they weigh, and events to all of them."""
    rows = crowds.crowd(chosen(only), **given)
    return _finish("crowd: {many:,} readers".format(**given), rows, crowds.COLUMNS, file)


@bench.command()
@_many
@_once
@_only
@_json
@click.option("--behind", type=click.IntRange(1, 5_000), default=1_000, show_default=True, help="events missed")
def reconnect(only: str, file: Path | None, **given: Any) -> list[Row]:
    """Everybody comes back at once, with the id of an event that is long past."""
    rows = storms.reconnect(chosen(only), **given)
    return _finish("reconnect: {many:,} readers, {behind:,} events behind".format(**given), rows, storms.COLUMNS, file)


@bench.command()
@_beside_peers
def compress(readers: int, seconds: float, rounds: int, only: str, file: Path | None) -> list[Row]:
    """What compression saves and costs, shared and with a stream for each reader."""
    rows = coded.compress(chosen(only), readers, seconds, rounds)
    return _finish(f"compress: 200 events/s to {readers:,} readers", rows, coded.COLUMNS, file)


def _local(name: str, work: Callable[[float], list[Row]], columns: dict[str, str]) -> None:
    def run(seconds: float, file: Path | None) -> list[Row]:
        return _finish(name, work(seconds), columns, file)

    bench.command(name, help=work.__doc__)(_seconds(_json(run)))


_local("journal", local.journal, local.JOURNAL_COLUMNS)


def _codecs(seconds: float) -> list[Row]:
    """From packed ticks to quotes, frames and candles; and the forms in which batches travel between programs."""
    return [*local.codecs(seconds), *wire.forms(seconds)]


_local("codecs", _codecs, {**local.CODEC_COLUMNS, **wire.COLUMNS})
_local("cluster", clustered.cluster, clustered.COLUMNS)
_local("simulator", local.simulator, local.SIMULATOR_COLUMNS)
_local("slow", slow.slow, slow.COLUMNS)


@bench.command()
@click.option(
    "--filters", "count", type=click.IntRange(1, 200_000), help="so many only  [default: 1, 100, 10,000, 100,000]"
)
@_seconds
@_json
def filters(count: int | None, seconds: float, file: Path | None) -> list[Row]:
    """What a tick costs with many different filters, beside simpler ways to find those that match."""
    rows = screens.filters(seconds, screens.COUNTS if count is None else (count,))
    return _finish("filters: volume > a and change_rate > b", rows, screens.COLUMNS, file)


@bench.command("all")
@_readers
@_some_seconds(default=2.0)
@_some_rounds(default=2)
@_only
@_json
@click.pass_context
def run_all(context: click.Context, /, file: Path | None, **given: Any) -> None:
    """Every benchmark in turn, a quarter of an hour in all."""
    rows: list[Row] = []
    for name, command in bench.commands.items():
        if command is not run_all:
            known = {parameter.name for parameter in command.params}
            call = partial(context.invoke, command, **{key: value for key, value in given.items() if key in known})
            rows += [{"benchmark": name, **row} for row in call(file=None)]
    if file is not None:
        save(file, rows)
