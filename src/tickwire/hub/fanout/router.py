"""The router, which finds the channel of a subscription and the channels of a symbol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np

from tickwire.core.arrays import RowArray
from tickwire.core.quote import QuoteProjection
from tickwire.hub.fanout.announced_symbols import AnnouncedSymbols, find_matches
from tickwire.hub.fanout.channel import Channel
from tickwire.hub.fanout.counters import HubCounters
from tickwire.hub.fanout.position import HubPosition
from tickwire.hub.fanout.readable_symbols import ReadableSymbols
from tickwire.hub.fanout.routing_table import RoutingTables
from tickwire.hub.fanout.screen_router import ScreenRouter
from tickwire.hub.fanout.sender import Sender
from tickwire.market.board import Board
from tickwire.sessions.subscription import Subscription


class Router:
    """Finds the channel of a subscription. Its routing tables find the channels of a symbol.

    A quote table routes the quotes of one projection (a selection of quote fields). A candle table routes the candles
    of one interval.

    Two kinds of channels are in no quote table. Paced channels read the board (the table of newest quotes) once per
    interval. Channels with a filter receive quotes from the screen router.

    Each symbol on the board has one row, and the routing tables have the same rows. Rows are added but never removed. A
    symbol that has not traded has no row yet, so the router stores the channels of such a symbol by name until the
    symbol trades.
    """

    def __init__(self, board: Board, head: HubPosition, counters: HubCounters, sender: Sender) -> None:
        self.screen_router = ScreenRouter(board, head)
        self._sender = sender
        self._board = board
        self._head = head
        self._counters = counters
        self.channels: dict[Subscription, Channel] = {}
        self.quote_tables = RoutingTables[QuoteProjection]()
        # The keys are candle intervals in seconds.
        self.candle_tables = RoutingTables[int]()
        self.paced_channels: dict[Channel, None] = {}
        # The number of board rows in the routing tables.
        self.row_count = 0
        # The inner dicts, and `_pattern_channels`, are ordered sets of channels: only their keys matter. Lists are
        # unsuitable, because removal from a long list is slow.
        self._channels_by_unseen_symbol: dict[str, dict[Channel, None]] = {}
        self._pattern_channels: dict[Channel, None] = {}
        self._announced: AnnouncedSymbols | None = None

    def find_or_create_channel(self, subscription: Subscription) -> Channel:
        """Return the channel of this subscription, and create it if necessary.

        Raise ScreenLimitReached if the screen index has no room for the filter of a new channel.
        """
        channel = self.channels.get(subscription)
        if channel is None:
            channel = Channel(subscription, self._head, self._counters, self._sender)
            # Add the filter first. This is the only step that can fail, so after a failure, there is nothing to undo.
            if channel.subscription.is_screened:
                self.screen_router.add_channel(channel)
            if subscription.required_screen is not None:
                channel.readable = ReadableSymbols(self._board, partial(self.screen_router.readable_rows, channel))
            self.channels[subscription] = channel
            if channel.is_paced:
                self.paced_channels[channel] = None
            if subscription.wants_symbol_events:
                self._add_routes(channel)
        return channel

    def matching_rows(self, channel: Channel) -> RowArray:
        """Return the board rows (one row per symbol) that the channel selects, in ascending order.

        A channel without a top-N screen selects the rows of its symbols whose newest quotes match its filter. A channel
        with a top-N screen selects the rows of the symbols in the screen. If the channel sends neither quotes nor
        screen events, the result is empty.
        """
        if channel.ranking is not None and channel.subscription.wants_quotes:
            return np.sort(self.screen_router.ranked_rows(channel))
        if channel.takes_all_symbols and channel.screen is not None and channel.subscription.wants_quotes:
            return self.screen_router.matching_rows(channel)
        return self.match_rows(channel, self.channel_rows(channel))

    def channel_rows(self, channel: Channel) -> RowArray:
        """Return the board rows whose quotes the channel may send, without regard to the channel's filter."""
        if not channel.subscription.wants_quotes:
            return np.empty(0, np.intp)
        return np.arange(len(self._board)) if channel.takes_all_symbols else channel.row_array

    def match_rows(self, channel: Channel, rows: RowArray) -> RowArray:
        """Return the board rows in `rows` whose newest quote matches the channel's filter or top-N screen.

        The channel must include all rows in `rows`.
        """
        # A channel that sends no quotes has no rows. If such a channel shares a top-N screen with other channels, it
        # must not evaluate the screen.
        if not channel.subscription.wants_quotes:
            return rows[:0]
        if channel.ranking is not None:
            return rows[np.isin(rows, self.screen_router.ranked_rows(channel))]
        return rows if channel.screen is None else self.screen_router.matching_rows(channel, rows)

    def remove_channel(self, channel: Channel) -> None:
        """Remove a channel that has no readers left."""
        del self.channels[channel.subscription]
        self.paced_channels.pop(channel, None)
        if channel.subscription.is_screened:
            self.screen_router.remove_channel(channel)
        if channel.subscription.wants_symbol_events:
            self._remove_routes(channel)

    def _remove_routes(self, channel: Channel) -> None:
        if _uses_quote_table(channel):
            self.quote_tables.remove_channel(channel.subscription.fields, channel)
        if channel.candle_interval_s:
            self.candle_tables.remove_channel(channel.candle_interval_s, channel)
        for symbol in channel.subscription.symbols:
            waiting = self._channels_by_unseen_symbol.get(symbol)
            if waiting is not None and channel in waiting:
                del waiting[channel]
                if not waiting:
                    del self._channels_by_unseen_symbol[symbol]
        self._pattern_channels.pop(channel, None)
        if self._announced is not None:
            self._announced.discard(channel)

    def add_new_rows(self, symbols: Sequence[str]) -> None:
        """Add to the routing tables the symbols that are new on the board.

        `symbols` are all symbols on the board, in the order of their board rows.
        """
        new_rows = range(self.row_count, len(symbols))
        if not new_rows:
            return
        for row in new_rows if self._channels_by_unseen_symbol else ():
            for channel in self._channels_by_unseen_symbol.pop(symbols[row], ()):
                self._route_rows(channel, [row])
        # Each access to `symbol_column` adds the new symbols to the column. So access it after each batch. Otherwise,
        # the first request would have to add all symbols in one step.
        column = self._board.symbol_column
        untested = self._pattern_channels
        if self._announced is not None and self._announced.covers(symbols, new_rows):
            for channel, rows in self._announced.matching_rows(new_rows):
                self._route_rows(channel, rows)
            untested = self._announced.untested_channels
        for channel in untested:
            rows = find_matches(channel.subscription, symbols, column, new_rows[0])
            if rows:
                self._route_rows(channel, rows)
        self.row_count = len(symbols)

    def test_announced(self, symbols: Sequence[str]) -> Iterator[None]:
        """Match the patterns of all channels with the symbols that the board appends next, in steps of a few
        milliseconds.

        After the last step, `add_new_rows` is fast. Call the method again with the same object `symbols` to test
        channels that were added during the steps.
        """
        if self._announced is None or self._announced.symbols is not symbols:
            self._announced = AnnouncedSymbols(symbols, self.row_count, self._pattern_channels)
        yield from self._announced.test_stepwise()
        yield from self.screen_router.test_announced(symbols)

    def forget_announced(self) -> None:
        """Delete the stored results of `test_announced`."""
        self._announced = None
        self.screen_router.forget_announced()

    @property
    def tests_new_symbols(self) -> bool:
        """Whether at least one channel has a pattern or a filter. If so, the hub tests every new symbol."""
        return bool(self._pattern_channels) or self.screen_router.is_in_use

    def prepare_channel(self, subscription: Subscription, reservations: ExitStack) -> Iterator[None]:
        """Do the work of `find_or_create_channel` in steps of a few milliseconds.

        The filter of the subscription stays in the screen index until `reservations` are closed. Raise
        ScreenLimitReached if the screen index has no room for the filter.
        """
        yield from subscription.test_patterns_stepwise(self._board.symbol_column)
        if subscription.is_screened:
            yield from reservations.enter_context(self.screen_router.reserve(subscription))

    def _add_routes(self, channel: Channel) -> None:
        if _uses_quote_table(channel):
            self.quote_tables.add_channel(channel.subscription.fields, channel)
        if channel.candle_interval_s:
            self.candle_tables.add_channel(channel.candle_interval_s, channel)
        if channel.takes_all_symbols:
            return
        rows = list[int]()
        for symbol in channel.subscription.symbols:
            row = self._board.find_row(symbol)
            if row is None or row >= self.row_count:
                self._channels_by_unseen_symbol.setdefault(symbol, {})[channel] = None
            else:
                rows.append(row)
        if channel.subscription.patterns:
            self._pattern_channels[channel] = None
            if self._announced is not None:
                self._announced.untested_channels[channel] = None
            mask = channel.subscription.pattern_mask(self._board.symbol_column)
            rows += np.flatnonzero(mask[: self.row_count]).tolist()
        self._route_rows(channel, rows)

    def _route_rows(self, channel: Channel, rows: Sequence[int]) -> None:
        """Add the board rows in `rows` to the channel. In the routing tables, add the channel to these rows."""
        channel.add_rows(rows)
        if _uses_quote_table(channel):
            self.quote_tables[channel.subscription.fields].add_routes(channel, rows)
        if channel.candle_interval_s:
            self.candle_tables[channel.candle_interval_s].add_routes(channel, rows)


def _uses_quote_table(channel: Channel) -> bool:
    """Whether the channel receives quotes through a routing table. Paced or filtered channels receive no quotes this
    way."""
    return channel.subscription.wants_quotes and not channel.is_paced and not channel.subscription.is_screened
