"""`tickwire calibrate`: a market model from files of price bars."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from tickwire.core.codec import encode
from tickwire.errors import InputError
from tickwire.feeds.price_bars import read_bars
from tickwire.market.calibrate import calibrate as make_model
from tickwire.market.comparison import Comparison, compare
from tickwire.market.model import Session, check_session
from tickwire.market.plot import plot
from tickwire.market.price_bars import Bars, Days, align, by_day, large_moves, shape_of_day
from tickwire.market.universe import universe

_SPLIT_LIKE = 1.8  # a price that changes by more in a day is worth a look
_MOST_WARNINGS = 5


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default="model.json", show_default=True
)
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="write a picture of model and data (SVG)"
)
@click.option(
    "--symbol", "symbols", multiple=True, help="FILE=SYMBOL, for a file whose name does not begin with its symbol"
)
@click.option("--session", default="09:30-16:00@America/New_York", show_default=True, help="the market's regular hours")
@click.option("--days", type=click.IntRange(1, 366), default=252, show_default=True, help="sessions a year")
@click.option("--zone", default="", help="time zone of times that name none  [default: UTC]")
@click.option("--parts", type=click.IntRange(1, 1440), default=13, show_default=True, help="parts of the day's profile")
@click.option("--clusters", is_flag=True, help="calm and busy times as in the data: years then differ in volatility")
@click.option("--version", default="", help="the model's version  [default: calibrated, and the last day]")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="of the simulation to compare with")
def calibrate(
    *,
    files: tuple[Path, ...],
    output: Path,
    report: Path | None,
    symbols: tuple[str, ...],
    session: str,
    days: int,
    zone: str,
    parts: int,
    clusters: bool,
    version: str,
    seed: int,
) -> None:
    """Make a market model of FILES: daily or shorter price bars, one symbol a file.

    Drift, volatility and correlation come from the daily files, over the days that all of them have (from the shorter
    bars, where there are no daily files); the shape of the day comes from the shorter bars.
    """
    hours = _session(session, days)
    every = [read_bars(file, symbol=symbol, zone=zone) for file, symbol in _named(files, symbols)]
    daily, shorter = [bars for bars in every if bars.daily], [bars for bars in every if not bars.daily]
    both = align(_one_each(daily or [by_day(bars, hours) for bars in shorter]))
    shape = shape_of_day(shorter, hours, parts) if shorter else None
    last = np.datetime64(int(both.dates[-1]), "D")
    model = make_model(
        both,
        hours,
        shape,
        {each.symbol: each for each in universe()},
        version=version or f"calibrated {last}",
        about=f"Made of {', '.join(file.name for file in files)}: {len(both.dates)} days to {last}.",
        clusters=clusters,
    )
    output.write_bytes(msgspec.json.format(encode(model), indent=1) + b"\n")
    compared = compare(model, both, seed)
    if report is not None:
        report.write_text(plot(compared), encoding="utf-8")
    _show(compared, both)
    print(f"\n{output}: model {model.version}{f'; {report}: the picture' if report else ''}")
    print(f"  tickwire serve --model {output}")


def _session(text: str, days: int) -> Session:
    times, _, zone = text.partition("@")
    opening, _, closing = times.partition("-")
    try:
        found = msgspec.convert({"open": opening, "close": closing, "timezone": zone or "UTC", "days": days}, Session)
        return check_session(found)
    except (msgspec.ValidationError, InputError) as error:
        hint = "example: 09:30-16:00@America/New_York"
        raise InputError(f"--session {text!r}: {error}", field="session", hint=hint) from None


def _named(files: tuple[Path, ...], symbols: tuple[str, ...]) -> list[tuple[Path, str]]:
    given = dict(text.rpartition("=")[::2] for text in symbols)
    for name, symbol in given.items():
        if name not in {str(file) for file in files} | {file.name for file in files}:
            raise InputError(f"--symbol {name}={symbol}: no such file is given", field="symbol")
    return [(file, given.get(str(file)) or given.get(file.name, "")) for file in files]


def _one_each(every: list[Bars]) -> list[Bars]:
    seen: set[str] = set()
    for bars in every:
        if bars.symbol in seen:
            raise InputError(f"two files are of {bars.symbol}", hint="name one with --symbol FILE=SYMBOL")
        seen.add(bars.symbol)
    return every


def _show(compared: Comparison, days: Days) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("symbol")
    for heading in ("drift", "volatility", "simulated", "kurtosis", "simulated"):
        table.add_column(heading, justify="right")
    data, model = compared.data, compared.model
    for row, each in enumerate(compared.of.symbols):
        figures = (f"{each.drift:+.1%}", f"{data.volatility[row]:.1%}", f"{model.volatility[row]:.1%}")
        table.add_row(each.symbol, *figures, f"{data.kurtosis[row]:.1f}", f"{model.kurtosis[row]:.1f}")
    console = Console(width=100)
    console.print(table)
    if len(data.correlation):
        console.print(f"mean correlation of pairs {data.mean_correlation:.3f}, simulated {model.mean_correlation:.3f}")
    if len(data.autocorrelation):
        first = f"{data.autocorrelation[0]:.3f}, simulated {model.autocorrelation[0]:.3f}"
        console.print(f"autocorrelation of absolute returns, next day: {first}")
    found = large_moves(days, _SPLIT_LIKE)
    if found:
        more = f" and {len(found) - _MOST_WARNINGS} more" if len(found) > _MOST_WARNINGS else ""
        console.print(f"looks like a split, if it is not true: {'; '.join(found[:_MOST_WARNINGS])}{more}")
