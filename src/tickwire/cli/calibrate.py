"""`tickwire calibrate`: create a market model from files of price bars."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from tickwire.calibration.calibrate import calibrate_model
from tickwire.calibration.compare import ModelComparison, compare_with_data
from tickwire.calibration.daily_bars import (
    DailyPrices,
    PriceBars,
    aggregate_by_session,
    align_days,
    find_large_moves,
    measure_intraday_shape,
)
from tickwire.calibration.report import render_report
from tickwire.core.codec import encode_json
from tickwire.errors import InputError
from tickwire.recordings.bar_reader import read_bars
from tickwire.simulation.model import TradingHours, check_trading_hours
from tickwire.simulation.universe import built_in_instruments

# A price change by more than this factor from one day to the next is suspicious: the cause may be a share split for
# which the prices were not adjusted.
_SPLIT_WARNING_RATIO = 1.8
_MAX_WARNINGS = 5


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default="model.json",
    show_default=True,
    help="Write the model to this JSON file.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write an SVG file with charts that compare the model and the data.",
)
@click.option(
    "--symbol",
    "symbols",
    multiple=True,
    metavar="FILE=SYMBOL",
    help="Set the symbol of a file whose name does not begin with the symbol.",
)
@click.option(
    "--session",
    default="09:30-16:00@America/New_York",
    show_default=True,
    help="Set the regular trading hours and their time zone.",
)
@click.option(
    "--days", type=click.IntRange(1, 366), default=252, show_default=True, help="Set the number of sessions per year."
)
@click.option("--zone", default="", help="Set the time zone of times without an offset.  [default: UTC]")
@click.option(
    "--parts",
    type=click.IntRange(1, 1440),
    default=13,
    show_default=True,
    help="Set the number of parts in the intraday profile.",
)
@click.option(
    "--clusters", is_flag=True, help="Also fit volatility clusters: calm and busy periods of the whole market."
)
@click.option("--version", default="", help="Set the version of the model.  [default: 'calibrated' and the last day]")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Set the seed of the simulation that is compared with the data.",
)
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
    """Create a market model from FILES with daily or shorter price bars, one symbol per file.

    Drift, volatility and correlation are estimated from daily bars, over the days that all files cover. Without files
    of daily bars, the command estimates them from the shorter bars. The command always estimates the intraday profile
    from the shorter bars.
    """
    hours = _parse_session(session, days)
    all_bars = [read_bars(file, symbol=symbol, zone=zone) for file, symbol in _pair_files_with_symbols(files, symbols)]
    daily, intraday = [bars for bars in all_bars if bars.is_daily], [bars for bars in all_bars if not bars.is_daily]
    prices = align_days(_require_unique_symbols(daily or [aggregate_by_session(bars, hours) for bars in intraday]))
    shape = measure_intraday_shape(intraday, hours, parts) if intraday else None
    last_day = np.datetime64(int(prices.dates[-1]), "D")
    model = calibrate_model(
        prices,
        hours,
        shape,
        {instrument.symbol: instrument for instrument in built_in_instruments()},
        version=version or f"calibrated {last_day}",
        about=f"Calibrated from {', '.join(file.name for file in files)}: {len(prices.dates)} days to {last_day}.",
        fit_clusters=clusters,
    )
    output.write_bytes(msgspec.json.format(encode_json(model), indent=1) + b"\n")
    comparison = compare_with_data(model, prices, seed)
    if report is not None:
        report.write_text(render_report(comparison), encoding="utf-8")
    _print_comparison(comparison, prices)
    print(f"\n{output}: model {model.version}{f'; {report}: report' if report else ''}")
    print(f"  tickwire serve --model {output}")


def _parse_session(text: str, days: int) -> TradingHours:
    times, _, zone = text.partition("@")
    opening, _, closing = times.partition("-")
    try:
        hours = {"open": opening, "close": closing, "timezone": zone or "UTC", "days": days}
        return check_trading_hours(msgspec.convert(hours, TradingHours))
    except (msgspec.ValidationError, InputError) as error:
        hint = "example: 09:30-16:00@America/New_York"
        raise InputError(f"invalid --session {text!r}: {error}", field="session", hint=hint) from None


def _pair_files_with_symbols(files: tuple[Path, ...], symbols: tuple[str, ...]) -> list[tuple[Path, str]]:
    symbol_by_file = dict(text.rpartition("=")[::2] for text in symbols)
    for name, symbol in symbol_by_file.items():
        if name not in {str(file) for file in files} | {file.name for file in files}:
            raise InputError(f"--symbol {name}={symbol}: no file to calibrate is named {name!r}", field="symbol")
    return [(file, symbol_by_file.get(str(file)) or symbol_by_file.get(file.name, "")) for file in files]


def _require_unique_symbols(all_bars: list[PriceBars]) -> list[PriceBars]:
    symbols: set[str] = set()
    for bars in all_bars:
        if bars.symbol in symbols:
            hint = "set another symbol for one of the files with --symbol FILE=SYMBOL"
            raise InputError(f"two files have the symbol {bars.symbol!r}", hint=hint)
        symbols.add(bars.symbol)
    return all_bars


def _print_comparison(comparison: ModelComparison, prices: DailyPrices) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("symbol")
    for heading in ("drift", "volatility", "simulated", "kurtosis", "simulated"):
        table.add_column(heading, justify="right")
    data, model = comparison.data_statistics, comparison.model_statistics
    for row, symbol in enumerate(comparison.calibrated_model.symbols):
        figures = (f"{symbol.drift:+.1%}", f"{data.annual_volatility[row]:.1%}", f"{model.annual_volatility[row]:.1%}")
        table.add_row(symbol.symbol, *figures, f"{data.excess_kurtosis[row]:.1f}", f"{model.excess_kurtosis[row]:.1f}")
    console = Console(width=100)
    console.print(table)
    if len(data.pair_correlations):
        console.print(
            f"mean correlation of pairs {data.mean_pair_correlation:.3f}, simulated {model.mean_pair_correlation:.3f}"
        )
    if len(data.autocorrelation):
        lag_1 = f"{data.autocorrelation[0]:.3f}, simulated {model.autocorrelation[0]:.3f}"
        console.print(f"autocorrelation of absolute returns, next day: {lag_1}")
    moves = find_large_moves(prices, _SPLIT_WARNING_RATIO)
    if moves:
        more = f" and {len(moves) - _MAX_WARNINGS} more" if len(moves) > _MAX_WARNINGS else ""
        console.print(f"possible unadjusted splits: {'; '.join(moves[:_MAX_WARNINGS])}{more}")
