"""From bars to ticks, so that candles made of the ticks are the bars again.

A bar says where its interval began, how high and low it went, and where it ended, not when. It becomes four trades, a
quarter of its time apart: open, then low and high (high and low, where it closed lower than it opened: the shorter way
through all four), then close. Its volume is shared out in whole units, what is left over to the last.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickwire.core.tick import Ticks
from tickwire.errors import InputError

TICKS_PER_BAR = 4
_MINUTE = 60 * 10**9  # the length of a bar that stands alone

Floats = NDArray[np.float64]


def bar_length(ts: NDArray[np.int64]) -> int:
    """The length of bars that begin (or end) at `ts`, in its unit: the commonest step from one to the next."""
    steps = np.abs(np.diff(ts))
    lengths, counts = np.unique(steps[steps > 0], return_counts=True)
    return int(lengths[np.argmax(counts)]) if len(lengths) else _MINUTE


def bar_ticks(bars: Ticks, open_: Floats, high: Floats, low: Floats, length: int) -> Ticks:
    """Four ticks for each of `bars`, which hold the start as `ts`, the close as `last` and the volume as `size`.

    What is missing of open, high and low (NaN) is taken to be the close. Bars that start together (of several symbols)
    pass side by side, as long as times do not step back.
    """
    close = bars["last"]
    open_, high, low = (np.where(np.isnan(each), close, each) for each in (open_, high, low))
    falls = close < open_
    ticks = np.repeat(bars, TICKS_PER_BAR)
    ways = [open_, np.where(falls, high, low), np.where(falls, low, high), close]
    ticks["last"] = np.stack(ways, axis=1).reshape(-1)
    ticks["size"] = _shares(bars["size"]).reshape(-1)
    ticks["ts"] += np.tile(np.arange(TICKS_PER_BAR) * (length // TICKS_PER_BAR), len(bars))
    if (np.diff(bars["ts"]) >= 0).all():
        ticks = ticks[np.argsort(ticks["ts"], kind="stable")]
    return ticks


def check_bars(fields: set[str]) -> bool:
    """Whether a file with these `fields` holds bars; InputError where it holds half of one."""
    found = {"open", "high", "low"} & fields
    if found and len(found) < len({"open", "high", "low"}):
        raise InputError(f"map: a bar needs open, high and low; only {', '.join(sorted(found))} is there", field="map")
    return bool(found)


def _shares(volume: Floats) -> Floats:
    """The volume as four amounts whose sum in their order is exactly the volume; NaN stays."""
    part = np.floor(volume / TICKS_PER_BAR)
    return np.stack([part, part, part, volume - 3 * part], axis=1)
