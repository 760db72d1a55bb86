"""Routing tables: the channels that receive the events of each board row (one row per symbol)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tickwire.hub.fanout.channel import Channel
from tickwire.hub.fanout.channel_numbers import ChannelNumbers

K = TypeVar("K")


class Route(dict[Channel, None]):
    """A dict whose keys are the channels that receive the events of some board rows.

    `numbers` caches the numbers of these channels in their routing table. After a change of the channels, `numbers` is
    None.
    """

    __slots__ = ("numbers",)

    def __init__(self, channels: Iterable[Channel]) -> None:
        super().__init__(dict.fromkeys(channels))
        self.numbers: NDArray[np.int32] | None = None


class RoutingTable:
    """The channels that receive one form of events, such as the candles of one interval.

    Some channels include all symbols. All other channels are listed by board row (one row per symbol); a row without
    channels has no entry. The channels are the keys of dicts, because removal from a long list would be slow: if many
    readers left at the same time, the time would grow with the square of their number. Many rows may share a dict with
    a single channel, because a pattern can match many symbols that no other channel includes.
    """

    __slots__ = ("all_symbol_channels", "channel_count", "channel_numbers", "channels_by_row")

    def __init__(self) -> None:
        self.channel_count = 0
        self.all_symbol_channels: dict[Channel, None] = {}
        self.channels_by_row: dict[int, Route] = {}
        # The numbers of the channels in `channels_by_row`, assigned on first use.
        self.channel_numbers = ChannelNumbers()

    def add_routes(self, channel: Channel, rows: Iterable[int]) -> None:
        """Record that the channel receives the events of the board rows in `rows`."""
        routes, single = self.channels_by_row, Route([channel])
        for row in rows:
            channels = routes.setdefault(row, single)
            if channels is not single:
                if len(channels) > 1:
                    channels[channel] = None
                    channels.numbers = None
                else:
                    # Other rows may share the object `channels`, so do not modify it.
                    routes[row] = Route([*channels, channel])

    def remove_channel(self, channel: Channel) -> None:
        """Remove the channel from all board rows of the table."""
        self.channel_count -= 1
        self.all_symbol_channels.pop(channel, None)
        for row in channel.rows:
            channels = self.channels_by_row[row]
            if len(channels) > 1:
                del channels[channel]
                channels.numbers = None
            else:
                del self.channels_by_row[row]
        self.channel_numbers.remove(channel)

    def numbers_of(self, route: Route) -> NDArray[np.int32]:
        """Return the numbers that this table has assigned to the channels in `route`, in the order of the route."""
        if route.numbers is None:
            route.numbers = np.array([*map(self.channel_numbers.number_of, route)], np.int32)
        return route.numbers


class RoutingTables(dict[K, RoutingTable]):
    """One routing table for each form of events, such as a selection of quote fields or a candle interval."""

    def add_channel(self, key: K, channel: Channel) -> None:
        """Add a channel to the table with this key. If there is no such table, create one.

        Unless the channel includes all symbols, the caller must then call `add_routes` of the table.
        """
        if key not in self:
            self[key] = RoutingTable()
        table = self[key]
        table.channel_count += 1
        if channel.takes_all_symbols:
            table.all_symbol_channels[channel] = None

    def remove_channel(self, key: K, channel: Channel) -> None:
        """Remove a channel from the table with this key. Delete the table if it has no other channel."""
        table = self[key]
        table.remove_channel(channel)
        if not table.channel_count:
            del self[key]
