"""The states of many symbols after a batch of ticks, computed with operations on whole arrays.

`single_tick` is the counterpart for a batch of one tick.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tickwire.core.arrays import Bools, Floats, RowArray
from tickwire.core.tick import NOT_REPORTED
from tickwire.market.derived_fields import count_decimals, round_amounts
from tickwire.market.quote_state import (
    HIGH,
    LAST,
    LOW,
    OPEN,
    PRICE_SCALE,
    TICK_PRICE_ROWS,
    TICK_ROWS,
    TURNOVER,
    VOLUME,
)
from tickwire.market.segmented_scan import Segments, add_or_set, first_known, last_known, nan_to_zero

# The positions of `size` and `volume` among the numbers of a packed tick.
_SIZE_COLUMN, _TOTAL_VOLUME_COLUMN = 5, 6


class SortedBatch(NamedTuple):
    """The ticks of a batch, sorted by symbol.

    `prior_state` contains, for each tick, the state of its symbol before the batch. `unpriced` is True for each tick
    that does not change the last price, because its trade is late or because the tick withdraws an earlier trade.
    `restated` is True for each tick that contains the last price after a cancel instead of a new trade. `untraded` is
    True for each tick that neither raises the high nor lowers the low, because the tick withdraws a trade, or because
    its trade happened in an earlier session. All three are None if the batch has no late tick and no tick that
    withdraws a trade. If `is_plain` is True, the batch has a few ticks, and none of them is late or has an unusual
    number.
    """

    rows: RowArray
    segments: Segments
    reported: Floats
    prior_state: Floats
    unpriced: Bools | None
    restated: Bools | None
    untraded: Bools | None
    is_plain: bool

    @property
    def trade_prices(self) -> Floats:
        """The prices of the trades that may change the high or the low of the session. NaN for all other ticks."""
        prices = self.reported[LAST]
        return prices if self.untraded is None else np.where(self.untraded, np.nan, prices)

    @property
    def withdrawals(self) -> Bools | None:
        """A boolean array that is True for each tick that withdraws a trade.

        None if the batch has no late tick and no tick that withdraws a trade.
        """
        return None if self.unpriced is None else self.reported[_SIZE_COLUMN] < 0.0

    @property
    def sizes(self) -> Floats:
        """The size of each trade; negative if the tick withdraws the trade, and NaN if it is unknown."""
        sizes: Floats = self.reported[_SIZE_COLUMN]
        return sizes


def omit_earlier_sessions(batch: SortedBatch, is_earlier: Bools) -> SortedBatch:
    """Return the batch without the trades of earlier sessions.

    `is_earlier` is True for each tick whose time is before its symbol's present session. The present session does not
    count the trade of such a tick, whether the tick reports, withdraws or replaces the trade.
    """
    is_withdrawal = batch.sizes < 0.0
    is_changed = is_earlier if batch.unpriced is None else is_earlier & batch.unpriced
    # The tick after a withdrawal replaces the withdrawn trade, so mark this tick too.
    is_changed[1:] |= is_withdrawal[:-1] & is_earlier[1:] & (batch.rows[1:] == batch.rows[:-1])
    reported = batch.reported.copy()
    reported[_SIZE_COLUMN:, is_changed] = NOT_REPORTED
    return batch._replace(reported=reported, untraded=is_withdrawal | is_changed)


def compute_states(batch: SortedBatch) -> Floats:
    """Return the state of each tick's symbol after the tick. The result has one column for each tick."""
    state = batch.prior_state.copy()
    _carry_forward(batch, state)
    _update_session_totals(batch, state)
    _raise_price_scale(batch, state)
    return state


def _carry_forward(batch: SortedBatch, state: Floats) -> None:
    """Set the last price, the bid, the ask and their sizes to the values that the tick reports.

    A field that the tick does not report keeps its previous value. A field that the tick reports as infinity becomes
    unknown. A late trade, and a tick that withdraws a trade, do not change the last price.
    """
    reported = batch.reported[TICK_ROWS]
    if batch.unpriced is not None:
        reported = reported.copy()
        reported[LAST, batch.unpriced] = NOT_REPORTED
    before = np.where(np.isnan(batch.prior_state[TICK_ROWS]), np.inf, batch.prior_state[TICK_ROWS])
    reported = batch.segments.select_first(last_known(before, reported), reported)
    batch.segments.scan(reported, last_known)
    reported[np.isinf(reported)] = np.nan
    state[TICK_ROWS] = reported


def _update_session_totals(batch: SortedBatch, state: Floats) -> None:
    """Update the open, high, low, volume and turnover of the session.

    Ticks without a trade do not change these values.
    """
    segments, prior, traded = batch.segments, batch.prior_state, batch.trade_prices
    withdrawn = batch.withdrawals
    for row, combine in ((OPEN, first_known), (HIGH, np.fmax), (LOW, np.fmin)):
        state[row] = segments.select_first(combine(prior[row], traded), traded)
        segments.scan(state[row], combine)
    before = _update_session_volume(batch, state)
    price = state[LAST]
    if batch.unpriced is not None:
        # A tick can report a size without a price, or withdraw such a trade. In both cases, compute the turnover with
        # the symbol's last price.
        price = np.where(batch.unpriced, last_known(price, batch.reported[LAST]), price)
    grown = state[VOLUME] - before
    # A lower total volume is a correction of the total, not of a trade, so the turnover does not change.
    grown = np.where(grown < 0.0, 0.0, grown) if withdrawn is None else np.where((grown < 0.0) & ~withdrawn, 0.0, grown)
    grown *= nan_to_zero(price)
    state[TURNOVER] = segments.select_first(prior[TURNOVER] + grown, grown)
    segments.scan(state[TURNOVER], np.add)


def _update_session_volume(batch: SortedBatch, state: Floats) -> Floats:
    """Update the volume of each symbol's session. Return, for each tick, the volume before the tick.

    If a tick reports a total volume, the volume becomes this total. Otherwise, the size of the tick is added to the
    volume.
    """
    segments, prior = batch.segments, batch.prior_state[VOLUME]
    total, size = batch.reported[_TOTAL_VOLUME_COLUMN], nan_to_zero(batch.reported[_SIZE_COLUMN])
    added = segments.select_first(prior + size, size)
    if np.isnan(total).all():
        state[VOLUME] = added
        segments.scan(state[VOLUME], np.add)
    else:
        # If a tick reports the total volume, this total replaces the sum of all earlier sizes.
        pairs = np.stack([np.isfinite(total).astype(float), np.where(np.isnan(total), added, total)])
        segments.scan(pairs, add_or_set)
        state[VOLUME] = pairs[1]
    # The sum can be negative, because a tick may withdraw a trade that the volume does not include.
    state[VOLUME] = np.maximum(round_amounts(state[VOLUME]), 0.0)
    return segments.shift_within(state[VOLUME], prior)


def _raise_price_scale(batch: SortedBatch, state: Floats) -> None:
    """Round derived prices to more decimals if the feed's prices have more decimals than the instrument's tick size."""
    prices, scale = state[TICK_PRICE_ROWS], state[PRICE_SCALE]
    if batch.unpriced is not None:
        prices = prices.copy()
        prices[0] = np.where(batch.unpriced, batch.reported[LAST], prices[0])
    exact = np.rint(prices * scale) / scale
    unknown = (exact != prices) & ~np.isnan(prices)
    if unknown.any():
        for row, column in np.argwhere(unknown).tolist():
            scale[column] = max(scale[column], 10.0 ** count_decimals(prices[row, column]))
        batch.segments.scan(scale, np.maximum)
