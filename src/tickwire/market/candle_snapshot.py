"""The format in which the candles of a `CandleAggregator` are saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np

from tickwire.core.arrays import Ints
from tickwire.core.codec import LargeBytes, encode_large_struct
from tickwire.market.candle_extremes import CandleExtremes
from tickwire.market.candle_table import CandleTable
from tickwire.market.pending_bars import PendingBars
from tickwire.market.source_clocks import SourceClocks
from tickwire.market.volume_tracker import VolumeTracker


class CandleState(NamedTuple):
    """The state of a `CandleAggregator`. The arrays and objects may have room for more symbols than `symbols`."""

    symbols: list[bytes]
    sequences: Ints
    table: CandleTable
    pending: PendingBars
    volume_tracker: VolumeTracker
    source_clocks: SourceClocks
    extremes: CandleExtremes


class _CandleSnapshot(msgspec.Struct, frozen=True):
    symbols: list[bytes]
    time_keys: LargeBytes = msgspec.field(name="stages")
    ohlcv: LargeBytes = msgspec.field(name="values")
    pending_seconds: LargeBytes = msgspec.field(name="seconds")
    pending_ohlcv: LargeBytes = msgspec.field(name="waiting")
    pending_trade_counts: LargeBytes = msgspec.field(name="trades")
    sequences: LargeBytes
    late_trade_counts: list[int] = msgspec.field(name="late")
    # The latest time of any source, and the latest watermark of any source. Earlier versions had one clock for all
    # sources, so their snapshots contain these two times, but not `source_clocks`.
    newest_ts: int = msgspec.field(name="newest")
    watermark_s: int = msgspec.field(name="passed")
    volumes: bytes = msgspec.field(name="traded")
    source_clocks: bytes = msgspec.field(name="clocks", default=b"")
    # Snapshots of earlier versions do not contain the prices of trades.
    extremes: LargeBytes = b""
    incomplete_starts: list[tuple[int, int, int]] = []


def capture_candles(state: CandleState) -> Callable[[], bytes]:
    """Copy the state, and return a function that encodes the copy for `restore_candles`.

    Any thread may call the function.
    """
    count, table, pending = len(state.symbols), state.table, state.pending
    encode_extremes = state.extremes.capture(count)
    incomplete_starts = table.incomplete_starts.copy()
    snapshot = _CandleSnapshot(
        symbols=list(state.symbols),
        time_keys=table.time_keys[:, :count].tobytes(),
        ohlcv=table.ohlcv[:, :count].tobytes(),
        pending_seconds=pending.seconds[:count].tobytes(),
        pending_ohlcv=pending.ohlcv[:count].tobytes(),
        pending_trade_counts=pending.trade_counts[:count].tobytes(),
        sequences=state.sequences[:count].tobytes(),
        late_trade_counts=table.late_trade_counts.tolist(),
        newest_ts=max((clock.newest_ts for clock in state.source_clocks), default=0),
        watermark_s=max((clock.watermark_s for clock in state.source_clocks), default=0),
        volumes=state.volume_tracker.save(count),
        source_clocks=state.source_clocks.save(count),
    )
    return lambda: encode_large_struct(
        msgspec.structs.replace(
            snapshot,
            extremes=encode_extremes(),
            # Sort the marks, because their order depends on the number of symbols in a step.
            incomplete_starts=sorted((*place, start) for place, start in incomplete_starts.items()),
        )
    )


def restore_candles(data: LargeBytes, state: CandleState, lag_ns: int) -> tuple[list[bytes], Ints]:
    """Restore the objects in `state`. Return the symbols, and the sequence number of each symbol's newest trade.

    Earlier versions had one clock for all sources of ticks. If `data` is from such a version, `lag_ns` is the lag of
    this clock.
    """
    snapshot, table, pending = msgspec.msgpack.decode(data, type=_CandleSnapshot), state.table, state.pending
    count = len(snapshot.symbols)
    time_keys, ohlcv = _int64_array(snapshot.time_keys), np.frombuffer(snapshot.ohlcv).copy()
    table.restore(snapshot.symbols, time_keys, ohlcv, snapshot.late_trade_counts)
    table.incomplete_starts = {(interval, row): start for interval, row, start in snapshot.incomplete_starts}
    pending.ohlcv = np.frombuffer(snapshot.pending_ohlcv).reshape(count, 5).copy()
    pending.seconds = _int64_array(snapshot.pending_seconds)
    pending.trade_counts = _int64_array(snapshot.pending_trade_counts)
    if snapshot.source_clocks:
        state.source_clocks.restore(snapshot.source_clocks)
    else:
        state.source_clocks.restore_single(count, snapshot.newest_ts, lag_ns, snapshot.watermark_s)
    state.volume_tracker.restore(snapshot.volumes)
    if snapshot.extremes:
        state.extremes.restore(snapshot.extremes)
    else:
        state.extremes.restore_unknown(np.maximum(table.time_keys[0] >> 1, pending.seconds))
    return snapshot.symbols, _int64_array(snapshot.sequences)


def _int64_array(data: LargeBytes) -> Ints:
    return np.frombuffer(data, np.int64).copy()
