"""Quotes that many channels receive at the next flush.

Without this module, each channel would append each quote to a list, join the list, and queue the result. With 1,000
watchlists, this work would take as long as the kernel takes to send the bytes. This module passes the frames and the
numbers of their channels to the sender. The sender finds the frames of each channel with a few operations on arrays, or
in C.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tickwire.core.arrays import Bools
from tickwire.hub.fanout.channel import Channel
from tickwire.hub.fanout.counters import HubCounters
from tickwire.hub.fanout.encoder import Encoder
from tickwire.hub.fanout.frame_bodies import group_frames
from tickwire.hub.fanout.routing_table import Route, RoutingTable
from tickwire.hub.fanout.sender import Sender, SinkTable

MIN_DEFERRED_PAIRS = 256
"""The minimum number of (channel, quote) pairs for which array operations are faster than a loop over the pairs."""


class DeferredQuotes:
    """The frames of quotes that wait for the next flush, and the channels of one routing table that receive them.

    Until the flush, no other frame may be appended to these channels, because the frame would precede the quotes. To
    append other frames, first call `append_to_channels`.

    The sender sends the quotes to most channels. A channel with many readers or compressed streams joins its frames
    into one body by itself, because all its readers then share this body.
    """

    def __init__(self, table: RoutingTable, sender: Sender, counters: HubCounters) -> None:
        self.table = table
        self._numbers = table.channel_numbers
        self._sender = sender
        self._counters = counters
        self._frames: list[bytes] = []
        # For each frame, the numbers of the channels that receive it.
        self._routes: list[NDArray[np.int32]] = []
        self._sink_tables: dict[Encoder, SinkTable] = {}
        # The numbers of the channels that have live readers, but no group in a sink table.
        self._ungrouped_numbers: set[int] = set()

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frames: Sequence[bytes], routes: Sequence[Route]) -> None:
        """Add quotes. `routes` contains the channels of each quote."""
        self._frames += frames
        self._routes += map(self.table.numbers_of, routes)

    def clear(self) -> None:
        """Forget the quotes that wait for the next flush."""
        self._frames, self._routes = [], []

    def append_to_channels(self) -> list[Channel]:
        """Append the quotes to the pending frames of their channels, and clear this object. Return these channels."""
        frames, routes = self._frames, self._routes
        self.clear()
        return self._append(frames, routes)

    def queue(self, now: float) -> list[Channel]:
        """Queue all quotes for the live readers, and clear this object.

        Return the channels that join their frames by themselves. The caller must flush these channels, and then call
        `submit` of the sender. Before the call, no channel of the table may have pending frames.
        """
        frames, routes = self._frames, self._routes
        self.clear()
        while self._numbers.changed:
            self._update_group(self._numbers.changed.pop())
        ungrouped = list[Channel]()
        if self._ungrouped_numbers:
            is_ungrouped = np.zeros(len(self._numbers.channels), np.bool_)
            is_ungrouped[list(self._ungrouped_numbers)] = True
            ungrouped = self._append(frames, routes, is_ungrouped)
        for encoder, sink_table in self._sink_tables.items():
            sent = sink_table.queue(frames, routes)
            self._counters.deliveries += sent.deliveries
            encoder.bytes_sent += sent.size_bytes
            for number in sent.group_numbers.tolist():
                channel = self._numbers.channels[number]
                # Skip the channel if its last reader has disconnected since the quotes were added.
                if channel is not None:
                    channel.last_write_at = now
        return ungrouped

    def forget_closed_sinks(self) -> None:
        """Remove the sinks of closed streams from the sink tables, even if no quotes are waiting.

        The next call of `queue` adds the other sinks of the same channels again.
        """
        for sink_table in self._sink_tables.values():
            for number in self._numbers.changed:
                sink_table.remove_group(number)

    def disconnect_all(self) -> None:
        """Disconnect all readers of the table.

        Call this method after an error, if it is unknown which quotes the readers have received.
        """
        for channel in [*self._numbers.channels]:
            if channel is not None:
                channel.disconnect_all()

    def _update_group(self, number: int) -> None:
        """Update the sink tables after the live readers of the channel with this number have changed."""
        channel = self._numbers.channels[number]
        self._ungrouped_numbers.discard(number)
        small_group = None
        if channel is not None and channel.live_readers:
            small_group = channel.group_of_few_readers()
            if small_group is None:
                self._ungrouped_numbers.add(number)
            elif (encoder := small_group.encoder) not in self._sink_tables:
                self._sink_tables[encoder] = self._sender.create_table(is_chunked=encoder.is_chunked)
        for encoder, sink_table in self._sink_tables.items():
            if small_group is not None and small_group.encoder is encoder:
                sink_table.set_group(number, small_group.sinks, small_group.reader_count)
            else:
                sink_table.remove_group(number)

    def _append(
        self, frames: Sequence[bytes], routes: Sequence[NDArray[np.int32]], is_chosen: Bools | None = None
    ) -> list[Channel]:
        found = list[Channel]()
        for number, own_frames in group_frames(frames, routes, is_chosen).split():
            channel = self._numbers.channels[number]
            # Skip the channel if its last reader has disconnected since the quotes were added.
            if channel is not None:
                channel.pending_frames += own_frames
                found.append(channel)
        return found
