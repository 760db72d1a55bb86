"""Conversion of price bars to ticks. Candles that are built from these ticks are equal to the bars.

A bar contains the start of its interval and four prices, but not the times of these prices. The conversion turns a bar
into four trades at equal distances in time. The trades of a rising bar have the order open, low, high, close, and the
trades of a falling bar have the order open, high, low, close. With these orders, the total distance of the price moves
is the shortest possible. Each trade has a quarter of the volume, rounded to a whole number. The last trade also
contains the remainder of the volume.
"""

from __future__ import annotations

import numpy as np

from tickwire.core.arrays import Floats, Ints
from tickwire.core.tick import PackedTicks
from tickwire.errors import InputError

TICKS_PER_BAR = 4
# The assumed length of a bar in a file that has only one bar.
_DEFAULT_BAR_NS = 60 * 10**9


def infer_bar_length(ts: Ints) -> int:
    """Return the length of bars whose times are `ts`, in the unit of `ts`.

    The times are either the starts or the ends of the bars. The length is the most frequent time between two
    consecutive bars.
    """
    steps = np.abs(np.diff(ts))
    lengths, counts = np.unique(steps[steps > 0], return_counts=True)
    return int(lengths[np.argmax(counts)]) if len(lengths) else _DEFAULT_BAR_NS


def bars_to_ticks(bars: PackedTicks, open_: Floats, high: Floats, low: Floats, length: int) -> PackedTicks:
    """Return four ticks for each bar.

    In `bars`, `ts` is the start of a bar, `last` is its close, and `size` is its volume. `length` is the length of the
    bars in nanoseconds. If the open, the high or the low is missing (NaN), the close replaces the missing price. If the
    bars are in time order, the ticks of all symbols are in time order too.
    """
    close = bars["last"]
    open_, high, low = (np.where(np.isnan(each), close, each) for each in (open_, high, low))
    falls = close < open_
    ticks = np.repeat(bars, TICKS_PER_BAR)
    path = [open_, np.where(falls, high, low), np.where(falls, low, high), close]
    ticks["last"] = np.stack(path, axis=1).reshape(-1)
    ticks["size"] = _split_volume(bars["size"]).reshape(-1)
    ticks["ts"] += np.tile(np.arange(TICKS_PER_BAR) * (length // TICKS_PER_BAR), len(bars))
    if (np.diff(bars["ts"]) >= 0).all():
        ticks = ticks[np.argsort(ticks["ts"], kind="stable")]
    return ticks


def has_bar_fields(fields: set[str]) -> bool:
    """Return whether a file with the fields `fields` contains bars.

    Raise InputError if the file has some of the fields open, high and low, but not all of them.
    """
    present = {"open", "high", "low"} & fields
    if present and len(present) < len({"open", "high", "low"}):
        raise InputError(
            f"map: of the fields open, high and low, the file has only {', '.join(sorted(present))}: map all three, or "
            "none of them",
            field="map",
        )
    return bool(present)


def _split_volume(volume: Floats) -> Floats:
    """Return four parts of each bar's volume.

    The sum of the parts, added in order, is exactly the volume. A volume of NaN has parts of NaN.
    """
    part = np.floor(volume / TICKS_PER_BAR)
    return np.stack([part, part, part, volume - 3 * part], axis=1)
