"""The price process: correlated random prices of all symbols, simulated in blocks of market time.

The logarithm of a symbol's price is

    idiosyncratic + drift * v + market_deviation * M(v) + sector_deviation * S(v) + jumps.

In this sum, M(v), S(v) and the idiosyncratic part are random. The price is a geometric Brownian motion (J. C. Hull,
"Options, Futures, and Other Derivatives", on the lognormal property of stock prices) whose noise is split into factors.
M moves every symbol. S moves the symbols of one sector. The idiosyncratic part moves one symbol. Jumps follow R. C.
Merton, "Option pricing when underlying stock returns are discontinuous" (1976).

Every part of the sum depends on v, the time since the start in years. v grows in proportion to the variance of prices:
faster at the open and at the close of the market than during the day. Overnight, v jumps. The simulation computes
prices only for symbols that trade. If a symbol trades after a long pause, one random move covers the whole pause. Such
a move has the same distribution as the sum of many short moves.

The output depends only on the model, the start, the trade rate and the random generator. The output does not depend on
the playback speed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tickwire.core.arrays import Bools, Floats, RowArray
from tickwire.core.tick import PackedTicks
from tickwire.simulation.halts import UNTIL_RESUMED, TradingHalts
from tickwire.simulation.model import MarketModel
from tickwire.simulation.parameters import parameters_from_model
from tickwire.simulation.quote_synthesis import scale_trade_sizes, synthesize_ticks
from tickwire.simulation.stochastic_volatility import StochasticVolatility
from tickwire.simulation.timeline import STEP_NS, STEPS_PER_BLOCK, Timeline, TimeSteps

# The time in which the extra spread after a jump decays to 1/e.
_SPREAD_DECAY_S = 60.0
# The largest extra spread, as a multiple of the normal spread.
_MAX_EXTRA_SPREADS = 20.0
# The limit of the log prices. A series of crashes or splits can move prices far outside the range of valid prices. This
# limit keeps the prices inside the range of floats.
_MAX_LOG_PRICE = 300.0
# The factor from annual to daily standard deviations. The size of a sudden move is measured in daily standard
# deviations.
_TRADING_DAYS_PER_YEAR = 252.0


class SimulatedBlock(NamedTuple):
    """The result for one block (a short part of market time) that ends at `end_ts`.

    `ticks` are in time order. The other two fields contain the symbols in which trading stopped or resumed.
    """

    ticks: PackedTicks
    end_ts: int
    halted_symbols: list[str]
    resumed_symbols: list[str]


class PriceProcess:
    """The simulated prices of a model's symbols. The simulation begins at `start` (nanoseconds since the Unix epoch).

    `trades_per_second` is the number of trades of one symbol per second, averaged over all symbols and over a trading
    day. `start_prices` replace the prices in the model. The simulation advances in blocks of market time. A block has
    `steps_per_block` time steps of `step_ns` nanoseconds.
    """

    def __init__(
        self,
        model: MarketModel,
        rng: np.random.Generator,
        start: int,
        *,
        trades_per_second: float = 3.0,
        start_prices: Mapping[str, float] | None = None,
        step_ns: int = STEP_NS,
        steps_per_block: int = STEPS_PER_BLOCK,
    ) -> None:
        self.model = model
        self.symbols = [each.symbol for each in model.symbols]
        self._rng = rng
        self._trades_per_second = trades_per_second
        self._parameters = parameters_from_model(model)
        self._timeline = Timeline(model, start, step_ns=step_ns, steps_per_block=steps_per_block)
        overrides = start_prices or {}
        self._idiosyncratic_log_prices = np.log([overrides.get(each.symbol) or each.price for each in model.symbols])
        self._variance_at_last_tick = np.zeros(len(self))
        self._elapsed_variance = 0.0
        self._market_factor, self._sector_factors = 0.0, np.zeros(self._parameters.sector_count)
        self._stochastic_volatility = StochasticVolatility(model.clusters, rng) if model.clusters else None
        self._halts = TradingHalts(model.halts, self._idiosyncratic_log_prices)
        self._trade_multipliers = np.ones(len(self))
        # The extra spread of each symbol, as a multiple of the normal spread.
        self._extra_spreads = np.zeros(len(self))
        # Whether every symbol has had its first tick.
        self._has_started = False

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def now(self) -> int:
        """The current market time, in nanoseconds since the Unix epoch."""
        return self._timeline.now

    @property
    def next_block_end(self) -> int:
        """The end of the next block of market time, if the market does not close before this end."""
        return self._timeline.now + self._timeline.steps_per_block * self._timeline.step_ns

    def simulate_block(self, *, all_symbols_trade: bool = False) -> SimulatedBlock:
        """Simulate the next block, a short part of market time.

        With `all_symbols_trade`, every symbol trades in the last time step of the block.
        """
        block = self._apply_stochastic_volatility(self._timeline.advance())
        self._apply_jumps(float(block.variances.sum()))
        if block.includes_open:
            self._halts.reset_reference(self._log_prices())
        resumed = self._halts.reopen_due(int(block.times[0]), self._log_prices())
        rows, steps = self._draw_trades(block, resumed, all_trade_last=all_symbols_trade or block.includes_close)
        logs = self._advance_log_prices(rows, steps, block.variances)
        ticks = self._build_ticks(block, rows, steps, logs)
        halted = self._halts.halt_by_rule(block.times[-1], block.duration_s, self._log_prices())
        self._extra_spreads *= np.exp(-block.duration_s / _SPREAD_DECAY_S)
        return SimulatedBlock(ticks, self.now, self._symbol_names(halted), self._symbol_names(resumed))

    def prices(self) -> dict[str, float]:
        """Return the exact price of each symbol. Ticks contain rounded prices instead."""
        return dict(zip(self.symbols, np.exp(self._log_prices()).tolist(), strict=True))

    def with_model(self, model: MarketModel) -> PriceProcess:
        """Return a process that continues this market with another model.

        The new process has the same market time, prices and random generator.
        """
        process = self._continue_with(model, self._rng)
        row_by_symbol = {symbol: row for row, symbol in enumerate(self.symbols)}
        shared = [(row, row_by_symbol[symbol]) for row, symbol in enumerate(process.symbols) if symbol in row_by_symbol]
        new_rows, old_rows = np.array(shared, np.intp).reshape(-1, 2).T
        process._halts.copy_from(new_rows, self._halts, old_rows)
        process._trade_multipliers[new_rows] = self._trade_multipliers[old_rows]
        process._extra_spreads[new_rows] = self._extra_spreads[old_rows]
        process._has_started = self._has_started
        if self._stochastic_volatility is not None and model.clusters is not None:
            process._stochastic_volatility = StochasticVolatility(
                model.clusters, self._rng, self._stochastic_volatility.log_volatility
            )
        return process

    def with_rng(self, rng: np.random.Generator) -> PriceProcess:
        """Return a process that continues this market with another random generator.

        Every symbol trades in the next block of the new process.
        """
        return self._continue_with(self.model, rng)

    def shift_log_prices(self, selection: Bools, by: float | Floats) -> None:
        """Add `by` to the log prices of the selected symbols.

        `by` is one number for all symbols, or an array with one number for each symbol.
        """
        shifts: Floats = np.broadcast_to(by, len(self))[selection]
        self._move_log_prices(selection, shifts)
        self._widen_spreads(np.flatnonzero(selection), shifts)

    def split_shares(self, selection: Bools, ratio: float) -> None:
        """Replace each share of the selected symbols by `ratio` shares.

        The halt rule ignores the resulting price change.
        """
        self._move_log_prices(selection, -np.log(ratio))
        self.reset_halt_reference()

    def reset_halt_reference(self) -> None:
        """Make the halt rule ignore all earlier price moves."""
        self._halts.reset_reference(self._log_prices())

    def halt(self, selection: Bools, until: int = UNTIL_RESUMED) -> list[str]:
        """Halt trading in the selected symbols. Return the names of the symbols that were not halted before."""
        return self._symbol_names(self._halts.halt(selection, until))

    def halted_symbols(self) -> list[str]:
        """Return the names of the symbols in which trading is halted."""
        return self._symbol_names(self._halts.unreleased_mask)

    def lift_halts(self, selection: Bools) -> None:
        """End the halts of the selected symbols. Trading resumes with the next block."""
        self._halts.lift(selection)

    def set_trade_multiplier(self, selection: Bools, factor: float) -> None:
        """Make the selected symbols trade `factor` times as often as in the model."""
        self._trade_multipliers[selection] = factor

    def _move_log_prices(self, selection: Bools, by: float | Floats) -> None:
        moved = self._idiosyncratic_log_prices[selection] + by
        self._idiosyncratic_log_prices[selection] = np.clip(moved, -_MAX_LOG_PRICE, _MAX_LOG_PRICE)

    def _continue_with(self, model: MarketModel, rng: np.random.Generator) -> PriceProcess:
        timeline = self._timeline
        return PriceProcess(
            model,
            rng,
            timeline.now,
            trades_per_second=self._trades_per_second,
            start_prices=self.prices(),
            step_ns=timeline.step_ns,
            steps_per_block=timeline.steps_per_block,
        )

    def _log_prices(self) -> Floats:
        """Return the log prices of all symbols.

        The factors of the market and of the sector in a log price are current. The idiosyncratic part still has its
        value from the symbol's newest tick.
        """
        columns = self._parameters
        return (
            self._idiosyncratic_log_prices
            + columns.drift_without_jumps * self._elapsed_variance
            + columns.market_deviation * self._market_factor
            + columns.sector_deviation * self._sector_factors[columns.sector_indices]
        )

    def _apply_stochastic_volatility(self, block: TimeSteps) -> TimeSteps:
        """Scale the variance and the relative volatility of each time step by the current level of volatility.

        Return the scaled time steps. `block` does not change.
        """
        if self._stochastic_volatility is None:
            return block
        factor = self._stochastic_volatility.advance(float(block.variances.sum()) * self._timeline.sessions_per_year)
        return block._replace(
            variances=block.variances * factor, relative_volatility=block.relative_volatility * np.sqrt(factor)
        )

    def _apply_jumps(self, variance: float) -> None:
        columns, rng = self._parameters, self._rng
        count = rng.poisson(columns.jump_rate.sum() * variance)
        if count:
            rows = rng.choice(len(self), count, p=columns.jump_rate / columns.jump_rate.sum())
            sizes = rng.normal(columns.jump_mean[rows], columns.jump_deviation[rows])
            np.add.at(self._idiosyncratic_log_prices, rows, sizes)
            self._widen_spreads(rows, sizes)

    def _widen_spreads(self, rows: RowArray, by: Floats) -> None:
        """Widen the spreads of symbols whose price moved suddenly.

        `rows` are the indices of these symbols, and `by` are the moves of their log prices. A move of one daily
        standard deviation widens the spread by one normal spread.
        """
        deviations = np.abs(by) / (self._parameters.diffusive_volatility[rows] / np.sqrt(_TRADING_DAYS_PER_YEAR))
        self._extra_spreads[rows] = np.minimum(self._extra_spreads[rows] + deviations, _MAX_EXTRA_SPREADS)

    def _draw_trades(self, block: TimeSteps, resumed: Bools, *, all_trade_last: bool) -> tuple[RowArray, RowArray]:
        """Draw random trades, and return the symbol index and the time step of each trade, in two arrays.

        The trades are sorted by symbol index, then by time step. With `all_trade_last`, every symbol trades in the last
        step.
        """
        rng, count = self._rng, len(block.times)
        expected_counts = (
            self._trades_per_second
            * block.relative_volume
            * block.duration_s
            * self._parameters.activity
            * self._trade_multipliers
        )
        rows = np.repeat(np.arange(len(self)), rng.poisson(expected_counts))
        keys = rows * count + rng.integers(0, count, len(rows))
        first_step_keys = np.arange(len(self)) * count
        if block.includes_open or not (self._has_started or all_trade_last):
            keys = np.append(keys, first_step_keys)
        elif resumed.any():
            keys = np.append(keys, first_step_keys[resumed])
        if all_trade_last:
            keys = np.append(keys, first_step_keys + count - 1)
        self._has_started = True
        keys.sort()
        rows, steps = keys // count, keys % count
        if self._halts.halted_mask.any():
            trading = ~self._halts.halted_mask[rows]
            rows, steps = rows[trading], steps[trading]
        return rows, steps

    def _advance_log_prices(self, rows: RowArray, steps: RowArray, variance: Floats) -> Floats:
        """Advance all random parts of the prices to the end of the block. Return the log price at each trade.

        Trade i has the symbol index `rows[i]` and the time step `steps[i]`. `variance` has one number for each time
        step: the variance of prices since the previous step, as a fraction of the annual variance.
        """
        columns, rng, root = self._parameters, self._rng, np.sqrt(variance)
        market = self._market_factor + np.cumsum(root * rng.standard_normal(len(root)))
        moves = root[:, None] * rng.standard_normal((len(root), len(self._sector_factors)))
        sectors = self._sector_factors + np.cumsum(moves, axis=0)
        passed = self._elapsed_variance + np.cumsum(variance)
        idiosyncratic = self._advance_idiosyncratic(rows, passed[steps])
        logs = (
            idiosyncratic
            + columns.drift_without_jumps[rows] * passed[steps]
            + columns.market_deviation[rows] * market[steps]
        )
        logs += columns.sector_deviation[rows] * sectors[steps, columns.sector_indices[rows]]
        self._market_factor, self._sector_factors = float(market[-1]), sectors[-1]
        self._elapsed_variance = float(passed[-1])
        return logs

    def _advance_idiosyncratic(self, rows: RowArray, passed: Floats) -> Floats:
        """Advance the part of each log price that is specific to its symbol. Return this part at each trade.

        `rows` contains the symbol index of each trade. `passed` contains, for each trade, the variance of prices from
        the start of the simulation to the trade, as a fraction of the annual variance.
        """
        if not len(rows):
            return passed
        first = np.concatenate(([True], rows[1:] != rows[:-1]))
        before = np.where(first, self._variance_at_last_tick[rows], np.concatenate(([0.0], passed[:-1])))
        moves = (
            self._parameters.idiosyncratic_deviation[rows]
            * np.sqrt(passed - before)
            * self._rng.standard_normal(len(rows))
        )
        sums = np.cumsum(moves)
        starts = np.flatnonzero(first)
        lengths = np.diff(starts, append=len(rows))
        idiosyncratic = self._idiosyncratic_log_prices[rows] + sums - np.repeat(sums[starts] - moves[starts], lengths)
        last = starts + lengths - 1
        self._idiosyncratic_log_prices[rows[last]] = idiosyncratic[last]
        self._variance_at_last_tick[rows[last]] = passed[last]
        return idiosyncratic

    def _build_ticks(self, block: TimeSteps, rows: RowArray, steps: RowArray, logs: Floats) -> PackedTicks:
        """Return the ticks of the block in time order."""
        order = np.argsort(steps.astype(np.uint16), kind="stable")
        rows, steps = rows[order], steps[order]
        widths = block.relative_volatility[steps] + self._extra_spreads[rows]
        ticks = synthesize_ticks(self._parameters, self._rng, rows, np.exp(logs[order]), widths)
        ticks["ts"] = block.times[steps]
        if block.includes_open:
            scale_trade_sizes(ticks, steps == 0, self.model.auction)
        if block.includes_close:
            scale_trade_sizes(ticks, steps == len(block.times) - 1, self.model.auction)
        return ticks

    def _symbol_names(self, selection: Bools) -> list[str]:
        return [self.symbols[row] for row in np.flatnonzero(selection)]
