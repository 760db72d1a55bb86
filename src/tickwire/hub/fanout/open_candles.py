"""Renders open candles as frames.

Only the newest version of an open candle is sent, and the frame has no event id.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tickwire.core.arrays import RowArray
from tickwire.core.candle import candles_from_packed
from tickwire.core.codec import encode_json
from tickwire.core.event_kinds import StreamEvent
from tickwire.hub.fanout.channel import Channel
from tickwire.hub.fanout.position import HubPosition
from tickwire.market.board import Board
from tickwire.market.candle_aggregator import CandleAggregator
from tickwire.sse.frame import encode_frame

# Seconds between two updates of an open candle. A person cannot follow faster updates.
OPEN_CANDLE_INTERVAL_S = 0.5


class OpenCandleFrames:
    """One frame for each symbol and candle interval: the symbol's open candle. A frame is rendered on first use.

    Row numbers refer to `candles`, in which the order of the symbols differs from the order on the board.

    `candles` have applied all events up to `head`, and may have applied later events: candles apply a large record as a
    whole. The hub applies the record in parts, and other tasks run between the parts. While the newest trade of a
    symbol is after `head`, no method returns the symbol. When the hub has applied this trade, the methods return the
    symbol again. So every returned symbol is on the board, and a frame contains no trade that the hub has not applied.
    """

    def __init__(self, head: HubPosition, board: Board, candles: CandleAggregator) -> None:
        self._head = head
        self._board = board
        self._candles = candles
        # Two mappings: the board row of each candle row, and the candle row of each board row (-1 if there is no candle
        # row).
        self.board_rows: RowArray = np.empty(0, np.intp)
        self._candle_rows: RowArray = np.empty(0, np.intp)
        self._frames_by_interval: dict[int, dict[int, tuple[int, bytes]]] = {}
        self._advance_count = 0

    def rows_traded_after(self, sequence: int) -> RowArray:
        """Return the candle rows (one row per symbol) of all symbols that traded after event `sequence`."""
        self._add_new_symbols()
        sequences = self._candles.sequences[: len(self.board_rows)]
        return np.flatnonzero((sequences > sequence) & (sequences <= self._head.sequence))

    def channel_rows_traded_after(self, channel: Channel, after: int, until: int | None = None) -> RowArray:
        """Return the candle rows of the channel's symbols that traded after event `after`.

        Omit symbols that also traded after event `until`. By default, `until` is the position of the hub.

        A candle row is the row of a symbol in `candles`. The symbol whose last trade is oldest comes first.
        """
        self._add_new_symbols()
        rows = self._channel_rows(channel)
        sequences = self._candles.sequences[rows]
        is_selected = (sequences > after) & (sequences <= (self._head.sequence if until is None else until))
        rows, sequences = rows[is_selected], sequences[is_selected]
        if channel.readable is not None:
            board_rows = self.board_rows[rows]
            is_readable = np.isin(board_rows, channel.readable.match_rows(board_rows))
            rows, sequences = rows[is_readable], sequences[is_readable]
        return rows[np.argsort(sequences)]

    def last_trade_sequence(self, row: int) -> int:
        """Return the sequence number of a symbol's newest trade. `row` is the candle row of the symbol."""
        return int(self._candles.sequences[row])

    def render_rows(self, rows: Sequence[int], interval_s: int) -> list[bytes]:
        """Return one frame for each candle row: the open candle of the row's symbol.

        Return empty bytes for a row if its symbol has no open candle.
        """
        cached = self._cached_frames(interval_s)
        sequences = self._candles.sequences
        stale = [row for row in rows if row not in cached or cached[row][0] != sequences[row]]
        if stale:
            cached.update((row, (int(sequences[row]), b"")) for row in stale)
            for candle in candles_from_packed(self._candles.open_candles(stale, interval_s), closed=False):
                row = self._candles.find_row(candle.symbol)
                assert row is not None  # noqa: S101  # the candle was requested by its row
                cached[row] = (int(sequences[row]), encode_frame(encode_json(candle), event=StreamEvent.CANDLE))
        return [cached[row][1] for row in rows]

    def render_traded_after(self, channel: Channel, after: int) -> list[bytes]:
        """Return a frame for each open candle of the channel whose symbol traded after event `after`."""
        rows = self.channel_rows_traded_after(channel, after).tolist()
        return [frame for frame in self.render_rows(rows, channel.candle_interval_s) if frame]

    def _cached_frames(self, interval_s: int) -> dict[int, tuple[int, bytes]]:
        """Return the cached frames of all open candles with the length `interval_s`.

        The cache maps a candle row (one row per symbol) to a pair: the sequence number of the symbol's newest trade,
        and the frame. If market time has advanced since the last call, first empty the cache, because candles may have
        closed without a trade.
        """
        if self._advance_count != self._candles.advance_count:
            self._advance_count = self._candles.advance_count
            self._frames_by_interval.clear()
        return self._frames_by_interval.setdefault(interval_s, {})

    def _channel_rows(self, channel: Channel) -> RowArray:
        if channel.takes_all_symbols:
            return np.arange(len(self.board_rows))
        rows = self._candle_rows[channel.row_array]
        return rows[rows >= 0]

    def _add_new_symbols(self) -> None:
        """Extend the mappings between board rows and candle rows by the symbols that were added since the last call.

        Stop before the first symbol that is not on the board yet. The candle rows have the order of the symbols' first
        trades, so all later symbols are not on the board either.
        """
        missing = len(self._board) - len(self._candle_rows)
        if missing:
            self._candle_rows = np.pad(self._candle_rows, (0, missing), constant_values=-1)
        count, symbols = len(self.board_rows), self._candles.symbols
        new_rows = self._board.find_leading_rows(map(symbols.__getitem__, range(count, len(symbols))))
        if new_rows:
            self._candle_rows[new_rows] = np.arange(count, count + len(new_rows))
            self.board_rows = np.concatenate([self.board_rows, np.array(new_rows, np.intp)])
