"""Price bars, cut into days and aligned between symbols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickwire.errors import InputError
from tickwire.market.hours import Hours
from tickwire.market.model import Session
from tickwire.market.runs import Floats

_DAY_NS = 86_400 * 10**9
_DAILY_GAP = 20 * 3600 * 10**9  # bars further apart than this are of whole days
_FEWEST_DAYS = 10  # from which a volatility can be guessed at all, to a quarter or so


class Bars(NamedTuple):
    """One symbol's bars in the order of time: `ts` in nanoseconds, adjusted prices, volume (0 where not known)."""

    symbol: str
    ts: NDArray[np.int64]
    opens: Floats
    closes: Floats
    volumes: Floats

    @property
    def daily(self) -> bool:
        """Whether a bar is a day's."""
        return len(self.ts) < 2 or float(np.median(np.diff(self.ts))) >= _DAILY_GAP

    def only(self, which: NDArray[np.bool_]) -> Bars:
        """Some of the bars."""
        return Bars(self.symbol, self.ts[which], self.opens[which], self.closes[which], self.volumes[which])


class Days(NamedTuple):
    """Opening and closing prices of the same days for several symbols, each of shape (days, symbols).

    `dates` counts days since 1970.
    """

    symbols: list[str]
    dates: NDArray[np.int64]
    opens: Floats
    closes: Floats

    @property
    def returns(self) -> Floats:
        """Log returns from close to close, shape (days - 1, symbols)."""
        return np.diff(np.log(self.closes), axis=0)

    @property
    def overnight(self) -> float:
        """The share of the variance that falls between a close and the next open, the mean over symbols."""
        nights = np.log(self.opens[1:] / self.closes[:-1]).var(axis=0)
        sessions = np.log(self.closes[1:] / self.opens[1:]).var(axis=0)
        return float(np.mean(nights / np.maximum(nights + sessions, 1e-300)))


class Intraday(NamedTuple):
    """Relative volume and volatility in equal parts of a session."""

    volume: Floats
    volatility: Floats


def in_session(bars: Bars, session: Session) -> tuple[Bars, NDArray[np.int64], Floats]:
    """The bars within regular hours; for each its session's opening and its place in it, from 0 to 1."""
    hours = Hours(session)
    dates = np.unique(bars.ts // _DAY_NS) * _DAY_NS
    spans = sorted({hours.coming(int(date)) for date in dates})
    opens, closes = np.array([span.open for span in spans]), np.array([span.close for span in spans])
    at = np.searchsorted(opens, bars.ts, "right") - 1
    inside = (at >= 0) & (bars.ts <= closes[at])
    kept, at = bars.only(inside), at[inside]
    return kept, opens[at], (kept.ts - opens[at]) / (closes[at] - opens[at])


def by_day(bars: Bars, session: Session) -> Bars:
    """One bar a session, of bars that are shorter."""
    kept, opens, _ = in_session(bars, session)
    if not len(kept.ts):
        said = f"{bars.symbol}: no bar lies between {session.open} and {session.close} in {session.timezone}"
        raise InputError(said, field="session", hint="name the hours with --session, the zone of the times with --zone")
    first = np.flatnonzero(np.diff(opens, prepend=opens[0] - 1))
    last = np.append(first[1:], len(opens)) - 1
    volumes = np.add.reduceat(kept.volumes, first)
    return Bars(bars.symbol, opens[first], kept.opens[first], kept.closes[last], volumes)


def align(every: Sequence[Bars]) -> Days:
    """The days that all of the daily `every` have; InputError where they are too few."""
    dates = every[0].ts // _DAY_NS
    for bars in every[1:]:
        dates = np.intersect1d(dates, bars.ts // _DAY_NS)
    if len(dates) <= _FEWEST_DAYS:
        spans = "; ".join(f"{bars.symbol} {_date(bars.ts[0])} to {_date(bars.ts[-1])}" for bars in every)
        raise InputError(f"the files have {len(dates)} days in common, at least {_FEWEST_DAYS + 1} are needed: {spans}")
    rows = [np.searchsorted(bars.ts // _DAY_NS, dates) for bars in every]
    opens = np.array([bars.opens[at] for bars, at in zip(every, rows, strict=True)]).T
    closes = np.array([bars.closes[at] for bars, at in zip(every, rows, strict=True)]).T
    return Days([bars.symbol for bars in every], dates, opens, closes)


def shape_of_day(every: Sequence[Bars], session: Session, parts: int) -> Intraday:
    """How volume and volatility go through a session, the mean over symbols; of bars that are shorter than a day."""
    volumes, variances = np.zeros(parts), np.zeros(parts)
    for bars in every:
        kept, opens, places = in_session(bars, session)
        bucket = np.minimum((places * parts).astype(np.intp), parts - 1)
        before = np.where(np.diff(opens, prepend=0) != 0, kept.opens, np.roll(kept.closes, 1))
        squares = np.bincount(bucket, np.log(kept.closes / before) ** 2, parts)
        traded = np.bincount(bucket, kept.volumes, parts)
        variances += squares / squares.sum()
        volumes += traded / traded.sum() if traded.sum() else 1 / parts
    return Intraday(volumes / volumes.mean(), np.sqrt(variances / variances.mean()))


def large_moves(days: Days, factor: float) -> list[str]:
    """Days on which a price changed by more than `factor`, as it does at a split that was not adjusted."""
    returns = days.returns
    found = np.argwhere(np.abs(returns) > np.log(factor))
    return [
        f"{days.symbols[symbol]} {_date(int(days.dates[day + 1]) * _DAY_NS)}: {np.expm1(returns[day, symbol]):+.0%}"
        for day, symbol in found.tolist()
    ]


def _date(ts: int) -> str:
    return str(np.datetime64(int(ts), "ns").astype("datetime64[D]"))
