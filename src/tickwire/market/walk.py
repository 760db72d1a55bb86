"""A simulated market, one block of time after the other: correlated prices on their random way, all symbols at once.

The logarithm of a symbol's price is

    own + growth * v + market * M(v) + sector * S(v) + jumps,

a geometric Brownian motion (J. C. Hull, "Options, Futures, and Other Derivatives", on the lognormal property of stock
prices) whose noise is split into factors: M moves every symbol, S those of a sector, `own` one alone, and jumps come as
in R. C. Merton, "Option pricing when underlying stock returns are discontinuous" (1976). Their clock is v, the variance
that has passed, in years: it runs faster at the open and the close, and leaps overnight. So steps of any length agree,
and only symbols that trade cost anything: one that has not traded for long gets all its variance at once.

What comes out depends on the model, the start, the rate and the generator alone, never on how fast it is played.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickwire.core.tick import Ticks
from tickwire.market.book import enlarge, ticks_around
from tickwire.market.halts import NEVER, Mask, Trading
from tickwire.market.model import Model
from tickwire.market.parameters import parameters
from tickwire.market.runs import Floats
from tickwire.market.swing import Swing
from tickwire.market.timeline import STEP_NS, STEPS, Stretch, Timeline

_UNREST_SECONDS = 60.0  # after a jump, spreads come back to normal in about this time
_MOST_UNREST = 20.0  # normal spreads added
_DAYS = 252.0  # for "a day's standard deviation", by which unrest is measured
_Rows = NDArray[np.intp]


class Block(NamedTuple):
    """What happened until `end`: ticks in the order of time, and the symbols that stopped and that resumed trading."""

    ticks: Ticks
    end: int
    halted: list[str]
    resumed: list[str]


class Walk:
    """The prices of a model's symbols, from the time `start` on (nanoseconds since the Unix epoch).

    `rate` is how often a symbol trades in a second, on average over symbols and the session; `prices` are where symbols
    start that should not start at the model's price. A block has `steps` steps of `step` nanoseconds.
    """

    def __init__(
        self,
        model: Model,
        rng: np.random.Generator,
        start: int,
        *,
        rate: float = 3.0,
        prices: Mapping[str, float] | None = None,
        step: int = STEP_NS,
        steps: int = STEPS,
    ) -> None:
        self.model = model
        self.symbols = [each.symbol for each in model.symbols]
        self._rng = rng
        self._rate = rate
        self._columns = parameters(model)
        self._timeline = Timeline(model, start, step=step, steps=steps)
        known = prices or {}
        self._own = np.log([known.get(each.symbol) or each.price for each in model.symbols])
        self._seen = np.zeros(len(self))  # the variance that had passed at each symbol's newest tick
        self._variance = 0.0
        self._market, self._sectors = 0.0, np.zeros(self._columns.sector_count)
        self._swing = Swing(model.clusters, rng) if model.clusters else None
        self._trading = Trading(model.halts, self._own)
        self._bustle = np.ones(len(self))  # times as many trades as the model says
        self._unrest = np.zeros(len(self))  # normal spreads on top
        self._shown = False  # whether everybody has had a first tick

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def now(self) -> int:
        """The time up to which the market has come, in nanoseconds since the Unix epoch."""
        return self._timeline.now

    @property
    def ahead(self) -> int:
        """The time up to which the next block goes at most."""
        return self._timeline.now + self._timeline.steps * self._timeline.step

    def block(self, *, everybody: bool = False) -> Block:
        """Let the next steps pass; with `everybody`, all symbols trade in the last of them."""
        stretch = self._swung(self._timeline.stretch())
        self._jump(float(stretch.variance.sum()))
        if stretch.opens:
            self._trading.begin(self._logs())
        resumed = self._trading.reopened(int(stretch.times[0]), self._logs())
        rows, steps = self._arrivals(stretch, resumed, last=everybody or stretch.closes)
        logs = self._walked(rows, steps, stretch.variance)
        ticks = self._ticks(stretch, rows, steps, logs)
        halted = self._trading.check(stretch.times[-1], stretch.seconds, self._logs())
        self._unrest *= np.exp(-stretch.seconds / _UNREST_SECONDS)
        return Block(ticks, self.now, self._names(halted), self._names(resumed))

    def prices(self) -> dict[str, float]:
        """Where each symbol's price is, between the steps of its grid."""
        return dict(zip(self.symbols, np.exp(self._logs()).tolist(), strict=True))

    def adopt(self, model: Model) -> Walk:
        """The same market under another model: time, prices and chance go on from where they are."""
        walk = self._from_here(model, self._rng)
        places = {symbol: row for row, symbol in enumerate(self.symbols)}
        both = [(row, places[symbol]) for row, symbol in enumerate(walk.symbols) if symbol in places]
        theirs, mine = np.array(both, np.intp).reshape(-1, 2).T
        walk._trading.take(theirs, self._trading, mine)
        walk._bustle[theirs], walk._unrest[theirs] = self._bustle[mine], self._unrest[mine]
        walk._shown = self._shown
        if self._swing is not None and model.clusters is not None:
            walk._swing = Swing(model.clusters, self._rng, self._swing.level)
        return walk

    def anew(self, rng: np.random.Generator) -> Walk:
        """The same market with another chance, from its time and prices on; everybody trades at once."""
        return self._from_here(self.model, rng)

    def move(self, which: Mask, by: float | Floats) -> None:
        """Let the log prices of some symbols leap: all by as much, or each by its own."""
        leaps: Floats = np.broadcast_to(by, len(self))[which]
        self._own[which] += leaps
        self._upset(np.flatnonzero(which), leaps)

    def split(self, which: Mask, ratio: float) -> None:
        """Each share becomes `ratio` shares: the price falls, nobody gains or loses, and no halt follows."""
        self._own[which] -= np.log(ratio)
        self.accept()

    def accept(self) -> None:
        """Prices are what they are: no halt follows from how they became so."""
        self._trading.begin(self._logs())

    def suspend(self, which: Mask, until: int = NEVER) -> list[str]:
        """Stop trading in some symbols; answers those that traded."""
        return self._names(self._trading.stop(which, until))

    def held(self) -> list[str]:
        """The symbols that do not trade for now."""
        return self._names(self._trading.held)

    def release(self, which: Mask) -> None:
        """Let some symbols trade again with the next block."""
        self._trading.release(which)

    def hurry(self, which: Mask, factor: float) -> None:
        """Let some symbols trade `factor` times as often as the model says."""
        self._bustle[which] = factor

    def _from_here(self, model: Model, rng: np.random.Generator) -> Walk:
        line = self._timeline
        return Walk(model, rng, line.now, rate=self._rate, prices=self.prices(), step=line.step, steps=line.steps)

    def _logs(self) -> Floats:
        """The log prices of all symbols; of each, its own part as of its newest tick."""
        columns = self._columns
        return (
            self._own
            + columns.growth * self._variance
            + columns.market * self._market
            + columns.sector * self._sectors[columns.sectors]
        )

    def _swung(self, stretch: Stretch) -> Stretch:
        """The stretch as calm or as busy as the times are."""
        if self._swing is None:
            return stretch
        factor = self._swing.advance(float(stretch.variance.sum()) * self._timeline.sessions)
        return stretch._replace(variance=stretch.variance * factor, volatility=stretch.volatility * np.sqrt(factor))

    def _jump(self, variance: float) -> None:
        columns, rng = self._columns, self._rng
        count = rng.poisson(columns.jump_rate.sum() * variance)
        if count:
            rows = rng.choice(len(self), count, p=columns.jump_rate / columns.jump_rate.sum())
            sizes = rng.normal(columns.jump_mean[rows], columns.jump_deviation[rows])
            np.add.at(self._own, rows, sizes)
            self._upset(rows, sizes)

    def _upset(self, rows: _Rows, by: Floats) -> None:
        """Spreads widen with a sudden move: by one for each standard deviation of a day."""
        deviations = np.abs(by) / (self._columns.diffusion[rows] / np.sqrt(_DAYS))
        self._unrest[rows] = np.minimum(self._unrest[rows] + deviations, _MOST_UNREST)

    def _arrivals(self, stretch: Stretch, resumed: Mask, *, last: bool) -> tuple[_Rows, _Rows]:
        """Who trades, and in which step (everybody in the `last`); sorted by symbol and then by step."""
        rng, count = self._rng, len(stretch.times)
        often = self._rate * stretch.volume * stretch.seconds * self._columns.activity * self._bustle
        rows = np.repeat(np.arange(len(self)), rng.poisson(often))
        keys = rows * count + rng.integers(0, count, len(rows))
        everybody = np.arange(len(self)) * count
        if stretch.opens or not (self._shown or last):
            keys = np.append(keys, everybody)
        elif resumed.any():
            keys = np.append(keys, everybody[resumed])
        if last:
            keys = np.append(keys, everybody + count - 1)
        self._shown = True
        keys.sort()
        rows, steps = keys // count, keys % count
        if self._trading.waiting.any():
            trading = ~self._trading.waiting[rows]
            rows, steps = rows[trading], steps[trading]
        return rows, steps

    def _walked(self, rows: _Rows, steps: _Rows, variance: Floats) -> Floats:
        """The log prices at the given ticks; the state is then that of the block's end."""
        columns, rng, root = self._columns, self._rng, np.sqrt(variance)
        market = self._market + np.cumsum(root * rng.standard_normal(len(root)))
        moves = root[:, None] * rng.standard_normal((len(root), len(self._sectors)))
        sectors = self._sectors + np.cumsum(moves, axis=0)
        passed = self._variance + np.cumsum(variance)
        own = self._own_parts(rows, passed[steps])
        logs = own + columns.growth[rows] * passed[steps] + columns.market[rows] * market[steps]
        logs += columns.sector[rows] * sectors[steps, columns.sectors[rows]]
        self._market, self._sectors, self._variance = float(market[-1]), sectors[-1], float(passed[-1])
        return logs

    def _own_parts(self, rows: _Rows, passed: Floats) -> Floats:
        """What each tick's symbol has done by itself, when so much variance has passed."""
        if not len(rows):
            return passed
        first = np.concatenate(([True], rows[1:] != rows[:-1]))
        before = np.where(first, self._seen[rows], np.concatenate(([0.0], passed[:-1])))
        moves = self._columns.own[rows] * np.sqrt(passed - before) * self._rng.standard_normal(len(rows))
        sums = np.cumsum(moves)
        starts = np.flatnonzero(first)
        lengths = np.diff(starts, append=len(rows))
        own = self._own[rows] + sums - np.repeat(sums[starts] - moves[starts], lengths)
        last = starts + lengths - 1
        self._own[rows[last]], self._seen[rows[last]] = own[last], passed[last]
        return own

    def _ticks(self, stretch: Stretch, rows: _Rows, steps: _Rows, logs: Floats) -> Ticks:
        """The block's ticks in the order of time."""
        order = np.argsort(steps.astype(np.uint16), kind="stable")
        rows, steps = rows[order], steps[order]
        widths = stretch.volatility[steps] + self._unrest[rows]
        ticks = ticks_around(self._columns, self._rng, rows, np.exp(logs[order]), widths)
        ticks["ts"] = stretch.times[steps]
        if stretch.opens:
            enlarge(ticks, steps == 0, self.model.auction)
        if stretch.closes:
            enlarge(ticks, steps == len(stretch.times) - 1, self.model.auction)
        return ticks

    def _names(self, which: Mask) -> list[str]:
        return [self.symbols[row] for row in np.flatnonzero(which)]
