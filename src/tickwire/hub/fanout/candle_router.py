"""Routes candles to channels: closed candles when they arrive, and open candles twice a second."""

from __future__ import annotations

from collections.abc import Sequence

from tickwire.hub.fanout.channel import Channel
from tickwire.hub.fanout.open_candles import OPEN_CANDLE_INTERVAL_S, OpenCandleFrames
from tickwire.hub.fanout.position import HubPosition
from tickwire.hub.fanout.rendered_events import RenderedCandles
from tickwire.hub.fanout.routing_table import RoutingTable, RoutingTables
from tickwire.hub.fanout.sender import Sender


class CandleRouter:
    """Routes closed candles to channels when they arrive, and changed open candles twice a second.

    Paced channels (channels that write only once per interval) receive their candles when they are flushed. `tables`
    maps each candle length, in seconds, to a routing table, which finds the channels of a symbol.
    """

    def __init__(
        self, head: HubPosition, open_candles: OpenCandleFrames, tables: RoutingTables[int], sender: Sender
    ) -> None:
        self._head = head
        self._sender = sender
        self._open_candles = open_candles
        self._tables = tables
        # The time at which open candles are next written, in monotonic seconds.
        self._open_candles_due_at = 0.0
        # The position of the hub at the newest write of open candles.
        self._candle_position = head.sequence

    def has_subscribers(self, item: RenderedCandles) -> bool:
        """Return whether a channel subscribes to candles with the interval of any closed candle in `item`."""
        return not self._tables.keys().isdisjoint(item.indexes_by_interval)

    def route_closed(self, item: RenderedCandles) -> set[Channel]:
        """Append closed candles to the channels that subscribe to them. Return the channels that must be flushed."""
        dirty: set[Channel] = set()
        for interval_s, table in self._tables.items():
            indexes = item.indexes_by_interval.get(interval_s)
            if indexes:
                _route_interval(item, indexes, table, dirty)
        return dirty

    def write_open_candles(self, now: float) -> None:
        """Write the changed open candles at most twice a second. `now` is monotonic, in seconds."""
        if now < self._open_candles_due_at:
            return
        self._open_candles_due_at = now + OPEN_CANDLE_INTERVAL_S
        after, self._candle_position = self._candle_position, self._head.sequence
        if not self._tables or after == self._candle_position:
            return
        rows = self._open_candles.rows_traded_after(after).tolist()
        for interval_s, table in self._tables.items():
            for channel in self._append_open_candles(rows, interval_s, table):
                channel.candle_position = self._candle_position
                channel.queue_pending(now)
        self._sender.submit()

    def _append_open_candles(self, rows: list[int], interval_s: int, table: RoutingTable) -> set[Channel]:
        """Append the open candles of `rows` to the channels that subscribe to them.

        Return the channels that must be flushed. `rows` are rows of the candle table (one row per symbol).
        """
        dirty: set[Channel] = set()
        board_rows: list[int] = self._open_candles.board_rows[rows].tolist()
        routes = [
            (row, [*table.all_symbol_channels, *table.channels_by_row.get(board_row, ())])
            for row, board_row in zip(rows, board_rows, strict=True)
            if table.all_symbol_channels or board_row in table.channels_by_row
        ]
        readable = _ReadableRows(board_rows)
        frames = self._open_candles.render_rows([row for row, _ in routes], interval_s)
        for frame, (row, channels) in zip(frames, routes, strict=True):
            traded_at = self._open_candles.last_trade_sequence(row)
            for channel in channels if frame else ():
                is_new = traded_at > channel.candle_position and not channel.is_paced
                if is_new and readable.includes(channel, int(self._open_candles.board_rows[row])):
                    channel.pending_frames.append(frame)
                    dirty.add(channel)
        return dirty


class _ReadableRows:
    """Finds the board rows of a batch that the readers of a channel may read. It caches the result for each channel."""

    def __init__(self, rows: Sequence[int]) -> None:
        self._rows = rows
        self._rows_by_channel: dict[Channel, set[int]] = {}

    def includes(self, channel: Channel, row: int) -> bool:
        if channel.readable is None:
            return True
        if channel not in self._rows_by_channel:
            self._rows_by_channel[channel] = channel.readable.select_rows({*self._rows})
        return row in self._rows_by_channel[channel]


def _route_interval(item: RenderedCandles, indexes: list[int], table: RoutingTable, dirty: set[Channel]) -> None:
    rows, routes = item.rows, table.channels_by_row
    if not table.all_symbol_channels:
        indexes = [index for index in indexes if rows[index] in routes]
    readable = _ReadableRows([rows[index] for index in indexes])
    for index, candle in zip(indexes, item.candles_at(indexes), strict=True):
        for channel in (*table.all_symbol_channels, *routes.get(rows[index], ())):
            if not readable.includes(channel, rows[index]):
                continue
            if channel.is_paced:
                channel.pending_events.append(candle)
            else:
                channel.pending_frames.append(candle.frame)
                dirty.add(channel)
