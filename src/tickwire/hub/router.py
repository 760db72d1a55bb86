"""Which channels want which symbol."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from tickwire.core.quote import Fields
from tickwire.hub.channel import Channel
from tickwire.hub.head import Head
from tickwire.hub.plan import Plans
from tickwire.hub.screening import Screening
from tickwire.hub.subscription import Subscription
from tickwire.hub.tally import Tally
from tickwire.market.board import Board


class Router:
    """Channels by subscription, and the plans by which quotes reach them (one for each projection in use), and candles
    (one for each interval).

    Paced channels are in no plan for quotes: they look at the board when they are due. Nor are those with a filter,
    which `screening` knows.

    Rows are the board's: they only ever grow in number. A symbol that has not traded has no row; who asked for it
    waits under its name.
    """

    def __init__(self, board: Board, head: Head, tally: Tally) -> None:
        self.screening = Screening(board)
        self._board = board
        self._head = head
        self._tally = tally
        self.channels: dict[Subscription, Channel] = {}
        self.plans = Plans[Fields]()
        self.candles = Plans[int]()  # by seconds
        self.paced: dict[Channel, None] = {}
        self._rows: dict[str, int] = {}
        self._waiting: dict[str, list[Channel]] = {}
        self._globs: list[Channel] = []

    def channel(self, subscription: Subscription) -> Channel:
        """The channel of this subscription, made now if nobody had it."""
        channel = self.channels.get(subscription)
        if channel is None:
            channel = Channel(subscription, self._head, self._tally)
            if channel.screen is not None:
                self.screening.connect(channel)  # which may refuse
            self.channels[subscription] = channel
            if channel.paced:
                self.paced[channel] = None
            if subscription.of_symbols:
                self._connect(channel)
        return channel

    def rows(self, channel: Channel) -> NDArray[np.intp]:
        """The board rows whose quotes the channel takes as they are now."""
        if not channel.subscription.quotes:
            return np.empty(0, np.intp)
        if channel.screen is not None:
            taken = self.screening.rows(channel)
            return taken if channel.everything else taken[np.isin(taken, _array(channel.rows))]
        return np.arange(len(self._board)) if channel.everything else _array(channel.rows)

    def drop(self, channel: Channel) -> None:
        """Forget a channel that nobody reads any more."""
        del self.channels[channel.subscription]
        self.paced.pop(channel, None)
        if channel.screen is not None:
            self.screening.disconnect(channel)
        if channel.subscription.of_symbols:
            self._disconnect(channel)

    def _disconnect(self, channel: Channel) -> None:
        if _planned(channel):
            self.plans.remove(channel.subscription.fields, channel)
        if channel.candles:
            self.candles.remove(channel.candles, channel)
        for symbol in channel.subscription.symbols:
            waiting = self._waiting.get(symbol)
            if waiting is not None and channel in waiting:
                waiting.remove(channel)
                if not waiting:
                    del self._waiting[symbol]
        if channel in self._globs:
            self._globs.remove(channel)

    def extend(self, symbols: Sequence[str]) -> None:
        """Take notice of the board's new rows; `symbols` are all of its symbols in row order."""
        for row in range(len(self._rows), len(symbols)):
            symbol = symbols[row]
            self._rows[symbol] = row
            self.plans.extend()
            self.candles.extend()
            wanted = self._waiting.pop(symbol, [])
            for channel in (*wanted, *(channel for channel in self._globs if channel.subscription.matches(symbol))):
                self._route(channel, row)

    def _connect(self, channel: Channel) -> None:
        if _planned(channel):
            self.plans.add(channel.subscription.fields, channel, len(self._rows))
        if channel.candles:
            self.candles.add(channel.candles, channel, len(self._rows))
        if channel.everything:
            return
        for symbol in channel.subscription.symbols:
            row = self._rows.get(symbol)
            if row is None:
                self._waiting.setdefault(symbol, []).append(channel)
            else:
                self._route(channel, row)
        if channel.subscription.globs:
            self._globs.append(channel)
            for symbol, row in self._rows.items():
                if channel.subscription.matches(symbol):
                    self._route(channel, row)

    def _route(self, channel: Channel, row: int) -> None:
        if row not in channel.rows:
            channel.rows.add(row)
            if _planned(channel):
                self.plans[channel.subscription.fields].routes[row].append(channel)
            if channel.candles:
                self.candles[channel.candles].routes[row].append(channel)


def _planned(channel: Channel) -> bool:
    """Whether quotes reach the channel by a plan."""
    return channel.subscription.quotes and not channel.paced and channel.screen is None


def _array(rows: Collection[int]) -> NDArray[np.intp]:
    return np.fromiter(rows, np.intp, len(rows))
