"""From where a price is to what a tick says: a bid and an ask around it, a trade at one of them, and sizes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickwire.core.tick import NOT_SAID, TICK, Ticks
from tickwire.market.parameters import Parameters
from tickwire.market.runs import Floats

_SIZE_DEVIATION = 1.1  # of the logarithm of a size: one trade in twenty is more than six times the median


def ticks_around(
    columns: Parameters, rng: np.random.Generator, rows: NDArray[np.intp], prices: Floats, widths: Floats | float
) -> Ticks:
    """Ticks of the symbols in `rows` around those prices, spreads `widths` times the normal. They have no time yet."""
    tick, scale = columns.tick[rows], columns.scale[rows]
    half = prices * columns.half_spread[rows] * widths
    bid = np.maximum(np.floor((prices - half) / tick), 1.0)
    ask = np.maximum(np.ceil((prices + half) / tick), bid + 1)
    ticks = np.zeros(len(rows), TICK)
    ticks["symbol"] = columns.symbols[rows]
    ticks["bid"] = bids = _on_grid(bid, tick, scale)
    ticks["ask"] = asks = _on_grid(ask, tick, scale)
    ticks["last"] = np.where(rng.random(len(rows), np.float32) < 0.5, asks, bids)
    lots = np.exp(_SIZE_DEVIATION * rng.standard_normal((3, len(rows)), np.float32)) * columns.median_lots[rows]
    sizes = _on_grid(np.ceil(lots), columns.lot[rows], columns.lot_scale[rows])
    ticks["size"], ticks["bid_size"], ticks["ask_size"] = sizes
    ticks["volume"] = NOT_SAID
    return ticks


def enlarge(ticks: Ticks, which: NDArray[np.bool_], factor: float) -> None:
    """Let some trades be `factor` times as large, as those of an auction are."""
    ticks["size"][which] = np.rint(ticks["size"][which] * factor * 1e3) / 1e3


def _on_grid(steps: Floats, step: Floats, scale: Floats) -> Floats:
    """`steps` steps of the grid: a whole number over a power of ten, which is the double that prints short."""
    return np.rint(steps * step * scale) / scale
