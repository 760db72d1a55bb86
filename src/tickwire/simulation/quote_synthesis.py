"""Builds ticks from simulated prices.

A tick has a bid and an ask around the price, a trade at the bid or the ask, and sizes.
"""

from __future__ import annotations

import numpy as np

from tickwire.core.arrays import Bools, Floats, RowArray
from tickwire.core.tick import MAX_PRICE, NOT_REPORTED, TICK_DTYPE, PackedTicks
from tickwire.simulation.parameters import SymbolParameters

# The standard deviation of the logarithm of a trade size. With this value, one trade in twenty has more than six times
# the median size.
_LOG_SIZE_DEVIATION = 1.1


def synthesize_ticks(
    parameters: SymbolParameters,
    rng: np.random.Generator,
    rows: RowArray,
    prices: Floats,
    spread_multipliers: Floats | float,
) -> PackedTicks:
    """Return one tick for each symbol index in `rows`, with a bid and an ask around the symbol's price.

    The arrays `rows` and `prices` have one element for each tick. The spread of a tick is the normal spread of its
    symbol, multiplied by `spread_multipliers`. The time `ts` of each tick is 0, and the caller must set it.
    """
    tick, scale = parameters.tick_size[rows], parameters.price_scale[rows]
    half = prices * parameters.half_spread[rows] * spread_multipliers
    bid = np.maximum(np.floor((prices - half) / tick), 1.0)
    ask = np.maximum(np.ceil((prices + half) / tick), bid + 1)
    # Keep the bid and the ask inside the range of valid prices, even if the prices have left this range.
    ask = np.minimum(ask, np.floor(MAX_PRICE / tick))
    bid = np.minimum(bid, np.maximum(ask - 1, 1.0))
    ticks = np.zeros(len(rows), TICK_DTYPE)
    ticks["symbol"] = parameters.symbols[rows]
    ticks["bid"] = bids = _snap_to_grid(bid, tick, scale)
    ticks["ask"] = asks = _snap_to_grid(ask, tick, scale)
    ticks["last"] = np.where(rng.random(len(rows), np.float32) < 0.5, asks, bids)
    lots = np.exp(_LOG_SIZE_DEVIATION * rng.standard_normal((3, len(rows)), np.float32)) * parameters.median_lots[rows]
    sizes = _snap_to_grid(np.ceil(lots), parameters.lot_size[rows], parameters.lot_scale[rows])
    ticks["size"], ticks["bid_size"], ticks["ask_size"] = sizes
    ticks["volume"] = NOT_REPORTED
    return ticks


def scale_trade_sizes(ticks: PackedTicks, selection: Bools, factor: float) -> None:
    """Multiply the sizes of the selected trades by `factor`.

    The caller selects the trades at the open or at the close, which are larger than other trades.
    """
    ticks["size"][selection] = np.rint(ticks["size"][selection] * factor * 1e3) / 1e3


def _snap_to_grid(steps: Floats, step: Floats, scale: Floats) -> Floats:
    """Return `steps * step`, rounded to a multiple of 1 / `scale`. `scale` is a power of ten.

    The rounding removes floating-point errors, which would add digits to the JSON text.
    """
    return np.rint(steps * step * scale) / scale
