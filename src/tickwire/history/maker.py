"""What makes candles of the journal's records.

Candles are a function of the journal alone. Ticks let time pass; where none come, an event of the kind CLOCK does,
appended by whoever runs the feed, so that every process and every restart closes the same candles at the same event.
"""

from __future__ import annotations

import numpy as np

from tickwire.core.candle import CANDLE, PackedCandles
from tickwire.core.codec import decode
from tickwire.core.event import Kind, Record, read_named
from tickwire.core.tick import unpack
from tickwire.market.candles import Candles
from tickwire.market.session import Sessions

CLOCK = "clock"
"""The kind of an event that says that time has passed; readers are not sent it."""


class Maker:
    """The candles as of the newest record that was taken."""

    def __init__(self, sessions: Sessions | None = None) -> None:
        self.candles = Candles(sessions)

    def take(self, record: Record) -> PackedCandles:
        """Let the candles have what the journal says next; answers those that closed by it."""
        if record.kind is Kind.TICKS:
            return self.candles.apply(unpack(record.data), record.first, record.ts)
        named = read_named(record) if record.kind is Kind.NAMED else None
        if named is not None and named.kind is None and named.name == CLOCK:
            return self.candles.pass_time(decode(bytes(named.data), dict[str, int])["ts"] * 1000)
        return np.empty(0, CANDLE)
