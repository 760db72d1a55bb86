"""Selects price bars by trading hours, aggregates them to daily bars, and finds the days common to all symbols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tickwire.core.arrays import Bools, Floats, Ints
from tickwire.errors import InputError
from tickwire.simulation.model import TradingHours
from tickwire.simulation.session_schedule import SessionSchedule

_DAY_NS = 86_400 * 10**9
# Bars are daily if the median time between two successive bars is at least this long.
_MIN_DAILY_GAP_NS = 20 * 3600 * 10**9
# The minimum number of daily returns. With fewer returns, the error of the estimated volatility is more than a quarter
# of the volatility.
_MIN_DAYS = 10


class PriceBars(NamedTuple):
    """The price bars of one symbol, in time order.

    `ts` is in nanoseconds since the Unix epoch. Prices are adjusted for splits. A volume of 0 means that the volume is
    unknown.
    """

    symbol: str
    ts: Ints
    opens: Floats
    closes: Floats
    volumes: Floats

    @property
    def is_daily(self) -> bool:
        """Whether every bar covers a whole day."""
        return len(self.ts) < 2 or float(np.median(np.diff(self.ts))) >= _MIN_DAILY_GAP_NS

    def select(self, selection: Bools) -> PriceBars:
        return PriceBars(
            self.symbol, self.ts[selection], self.opens[selection], self.closes[selection], self.volumes[selection]
        )


class DailyPrices(NamedTuple):
    """The opening and closing prices of several symbols on the same days.

    Both arrays of prices have the shape (days, symbols). `dates` are days since 1970-01-01.
    """

    symbols: list[str]
    dates: Ints
    opens: Floats
    closes: Floats

    @property
    def returns(self) -> Floats:
        """The log returns from close to close, an array of shape (days - 1, symbols)."""
        return np.diff(np.log(self.closes), axis=0)

    @property
    def overnight_variance_share(self) -> float:
        """The fraction of the variance of log prices that overnight price changes cause, as the mean over all symbols.

        An overnight price change is the change from a close to the next open.
        """
        nights = np.log(self.opens[1:] / self.closes[:-1]).var(axis=0)
        sessions = np.log(self.closes[1:] / self.opens[1:]).var(axis=0)
        return float(np.mean(nights / np.maximum(nights + sessions, 1e-300)))


class IntradayShape(NamedTuple):
    """The volume and the volatility in each part of a trading session, relative to the mean of all parts.

    All parts of the session are equally long.
    """

    relative_volume: Floats
    relative_volatility: Floats


def select_session_bars(bars: PriceBars, trading_hours: TradingHours) -> tuple[PriceBars, Ints, Floats]:
    """Select the bars within trading hours. Return these bars and two arrays with one number for each bar.

    The first array contains the time at which the bar's trading session opens. The second array contains the position
    of the bar in the session: 0 at the open, 1 at the close.
    """
    hours = SessionSchedule(trading_hours)
    dates = np.unique(bars.ts // _DAY_NS) * _DAY_NS
    spans = sorted({hours.session_at_or_after(int(date)) for date in dates})
    opens, closes = np.array([span.open for span in spans]), np.array([span.close for span in spans])
    at = np.searchsorted(opens, bars.ts, "right") - 1
    inside = (at >= 0) & (bars.ts <= closes[at])
    inside_bars, at = bars.select(inside), at[inside]
    return inside_bars, opens[at], (inside_bars.ts - opens[at]) / (closes[at] - opens[at])


def aggregate_by_session(bars: PriceBars, trading_hours: TradingHours) -> PriceBars:
    """Convert bars that are shorter than a trading session to one bar for each session.

    Raise InputError if no bar is within trading hours.
    """
    inside_bars, opens, _ = select_session_bars(bars, trading_hours)
    if not len(inside_bars.ts):
        hours = f"{trading_hours.open} to {trading_hours.close} {trading_hours.timezone}"
        raise InputError(
            f"{bars.symbol}: no bar is within the trading hours {hours}",
            field="session",
            hint="set the hours with --session, and the time zone of the file with --zone",
        )
    first = np.flatnonzero(np.diff(opens, prepend=opens[0] - 1))
    last = np.append(first[1:], len(opens)) - 1
    volumes = np.add.reduceat(inside_bars.volumes, first)
    return PriceBars(bars.symbol, opens[first], inside_bars.opens[first], inside_bars.closes[last], volumes)


def align_days(series: Sequence[PriceBars]) -> DailyPrices:
    """Return the prices on the days for which every symbol has a bar.

    Raise InputError if there are too few such days.
    """
    dates = series[0].ts // _DAY_NS
    for bars in series[1:]:
        dates = np.intersect1d(dates, bars.ts // _DAY_NS)
    if len(dates) <= _MIN_DAYS:
        spans = "; ".join(f"{bars.symbol} {_format_date(bars.ts[0])} to {_format_date(bars.ts[-1])}" for bars in series)
        raise InputError(
            f"the files have {len(dates)} days in common, but a model needs at least {_MIN_DAYS + 1} (days in each "
            f"file: {spans})"
        )
    rows = [np.searchsorted(bars.ts // _DAY_NS, dates) for bars in series]
    opens = np.array([bars.opens[at] for bars, at in zip(series, rows, strict=True)]).T
    closes = np.array([bars.closes[at] for bars, at in zip(series, rows, strict=True)]).T
    return DailyPrices([bars.symbol for bars in series], dates, opens, closes)


def measure_intraday_shape(
    series: Sequence[PriceBars], trading_hours: TradingHours, bucket_count: int
) -> IntradayShape:
    """Return the volume and the volatility in each of `bucket_count` equal parts of a trading session.

    Both are relative to the mean of all parts. The bars must be shorter than a day.
    """
    volumes, variances = np.zeros(bucket_count), np.zeros(bucket_count)
    for bars in series:
        inside_bars, opens, positions = select_session_bars(bars, trading_hours)
        bucket = np.minimum((positions * bucket_count).astype(np.intp), bucket_count - 1)
        before = np.where(np.diff(opens, prepend=0) != 0, inside_bars.opens, np.roll(inside_bars.closes, 1))
        squares = np.bincount(bucket, np.log(inside_bars.closes / before) ** 2, bucket_count)
        traded = np.bincount(bucket, inside_bars.volumes, bucket_count)
        variances += squares / squares.sum()
        volumes += traded / traded.sum() if traded.sum() else 1 / bucket_count
    return IntradayShape(volumes / volumes.mean(), np.sqrt(variances / variances.mean()))


def find_large_moves(days: DailyPrices, factor: float) -> list[str]:
    """Return one text for each daily price change that is larger than the factor `factor`.

    The text contains the symbol, the date and the change in percent. The cause may be a share split for which the
    prices were not adjusted.
    """
    returns = days.returns
    moves = np.argwhere(np.abs(returns) > np.log(factor)).tolist()
    dates = [_format_date(int(date) * _DAY_NS) for date in days.dates[1:]]
    return [f"{days.symbols[row]} {dates[day]}: {np.expm1(returns[day, row]):+.0%}" for day, row in moves]


def _format_date(ts: int) -> str:
    return str(np.datetime64(int(ts), "ns").astype("datetime64[D]"))
