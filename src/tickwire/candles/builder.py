"""Builds candles from the records of the journal.

The candles depend only on the journal. Each source of ticks, such as a feed, has its own time. The timestamps of its
ticks advance this time. When no ticks arrive, the process that runs the feed appends a clock event, which advances the
time of all live sources. So every process closes the same candles at the same event, even after a restart.
"""

from __future__ import annotations

from tickwire.core.codec import decode_json
from tickwire.core.event import JournalRecord, RecordKind, decode_named_event, owner_of
from tickwire.core.event_kinds import CLOCK_EVENT
from tickwire.core.tick import ticks_from_bytes
from tickwire.market.candle_aggregator import CandleAggregator, ClosingSteps
from tickwire.market.trading_sessions import TradingSessions


class CandleBuilder:
    """Builds candles from journal records. `candles` is the state after all records that `apply_stepwise` received."""

    def __init__(self, sessions: TradingSessions | None = None) -> None:
        self.candles = CandleAggregator(sessions)

    def apply_stepwise(self, record: JournalRecord) -> ClosingSteps:
        """Apply the next record of the journal in steps. The steps yield the candles that this record closes."""
        if record.kind is RecordKind.TICKS:
            ticks = ticks_from_bytes(record.data, record.event_count)
            return self.candles.apply_stepwise(ticks, record.first, record.appended_ts, owner_of(record.source))
        event = decode_named_event(record) if record.kind is RecordKind.NAMED_EVENT else None
        if event is not None and event.kind is None and event.name == CLOCK_EVENT:
            times = decode_json(bytes(event.data), dict[str, int])
            # Clock events of earlier versions do not contain `now`, because these versions had one time for all
            # sources.
            if "now" not in times:
                return self.candles.advance_watermark(times["ts"] * 1000)
            return self.candles.advance_live_sources(times["now"] * 1000)
        return iter(())
