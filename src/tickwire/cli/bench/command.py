"""The command and its benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from tickwire.cli.bench import fanout as streams
from tickwire.cli.bench import filters as screens
from tickwire.cli.bench import local, slow
from tickwire.cli.bench.report import Row, save, show

_json = click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="write the figures there")
_readers = click.option("--readers", type=click.IntRange(1, 20_000), default=1_000, show_default=True)
_seconds = click.option(
    "--seconds", type=click.FloatRange(0.2, 600), default=3.0, show_default=True, help="measured time"
)
_rounds = click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True, help="the median counts")
_only = click.option(
    "--only", default="", help="a comma list of peers, such as tickwire,nchan; the limit is always run"
)


def _beside_peers(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags of what is measured beside the peers."""
    return _readers(_seconds(_rounds(_only(_json(command)))))


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
    rows = streams.fanout(streams.chosen(only), readers, seconds, rounds)
    return _finish(f"fanout: one event to {readers:,} readers, saturated", rows, streams.COLUMNS, file)


@bench.command()
@_beside_peers
def latency(readers: int, seconds: float, rounds: int, only: str, file: Path | None) -> list[Row]:
    """From publish to receipt at 100,000 deliveries a second."""
    rows = streams.latency(streams.chosen(only), readers, seconds, rounds)
    columns = {**streams.COLUMNS, "ratio": "p99 to limit"}
    return _finish(f"latency: 100,000 deliveries/s to {readers:,} readers", rows, columns, file)


@bench.command()
@_readers
@_seconds
@_rounds
@click.option("--symbols", type=click.IntRange(1, 4_000), default=500, show_default=True)
@click.option("--watch", type=click.IntRange(1, 500), default=20, show_default=True, help="symbols of each reader")
@click.option("--ticks", type=click.IntRange(50, 200_000), default=20_000, show_default=True, help="a second")
@_json
def watchlists(**given: Any) -> list[Row]:
    """Each reader with a watchlist of its own in a busy market."""
    file = given.pop("file")
    rows = streams.watchlists(**given)
    columns = {name: heading for name, heading in streams.COLUMNS.items() if name != "ratio"}
    title = "watchlists: {readers:,} readers x {watch} of {symbols} symbols, {ticks:,} ticks/s".format(**given)
    return _finish(title, rows, columns, file)


def _local(name: str, work: Callable[[float], list[Row]], columns: dict[str, str]) -> None:
    def run(seconds: float, file: Path | None) -> list[Row]:
        return _finish(name, work(seconds), columns, file)

    bench.command(name, help=work.__doc__)(_seconds(_json(run)))


_local("journal", local.journal, local.JOURNAL_COLUMNS)
_local("codecs", local.codecs, local.CODEC_COLUMNS)
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
@_beside_peers
@click.pass_context
def run_all(context: click.Context, /, file: Path | None, **given: Any) -> None:
    """Every benchmark in turn."""
    rows: list[Row] = []
    for name, command in bench.commands.items():
        if command is not run_all:
            known = {parameter.name for parameter in command.params}
            call = partial(context.invoke, command, **{key: value for key, value in given.items() if key in known})
            rows += [{"benchmark": name, **row} for row in call(file=None)]
    if file is not None:
        save(file, rows)
