"""The dispatcher appends each applied event to channels, which write the event to their live readers.

Live readers are readers that have received all earlier events. The board (the table of newest quotes) applies an event
before the dispatcher receives the event, so a failure in the dispatcher affects only readers. If the frames for some
readers cannot be rendered, the dispatcher disconnects these readers. Their clients then reconnect, and resume after the
last event that they received. The process and all other readers continue.
"""

from __future__ import annotations

import logging

from tickwire.core.event_kinds import ADMIN_EVENT_KIND
from tickwire.core.quote import QuoteProjection
from tickwire.hub.fanout.candle_router import CandleRouter
from tickwire.hub.fanout.channel import Channel
from tickwire.hub.fanout.counters import HubCounters
from tickwire.hub.fanout.deferred_quotes import MIN_DEFERRED_PAIRS, DeferredQuotes
from tickwire.hub.fanout.reader import Reader
from tickwire.hub.fanout.rendered_events import (
    RenderedCandles,
    RenderedEvents,
    RenderedNamedEvent,
    RenderedQuotes,
    RenderedUnreadable,
)
from tickwire.hub.fanout.router import Router
from tickwire.hub.fanout.routing_table import RoutingTable
from tickwire.hub.fanout.sender import Sender
from tickwire.hub.fanout.state_frames import StateFrames
from tickwire.hub.reader_admin import ReaderAdmin
from tickwire.hub.roster import Roster

log = logging.getLogger(__name__)


class Dispatcher:
    """Appends each event to the channels that subscribe to it, and flushes these channels after each batch of events.

    The parameter `now` of the methods is the monotonic time in seconds.
    """

    def __init__(  # noqa: PLR0917  # seven collaborators, each of its own type
        self,
        roster: Roster,
        router: Router,
        state_frames: StateFrames,
        candle_router: CandleRouter,
        reader_admin: ReaderAdmin,
        counters: HubCounters,
        sender: Sender,
    ) -> None:
        self._sender = sender
        self._roster = roster
        self._router = router
        self._state_frames = state_frames
        self._candle_router = candle_router
        self._reader_admin = reader_admin
        self._counters = counters
        self._dirty_channels: set[Channel] = set()
        # Maps each projection (the selected fields of a quote) to the quotes of its table that wait for the next flush.
        # The pending frames of channels do not contain these quotes.
        self._deferred: dict[QuoteProjection, DeferredQuotes] = {}

    def flush_before(self, item: RenderedEvents, now: float) -> None:
        """If the event bypasses the pending frames of channels, flush the channels of its recipients.

        Gap events, and events for single readers, are written to the readers directly. The channels of these readers
        must therefore write all earlier events first. Deferred quotes bypass the pending frames, too. Closed candles
        must not precede these quotes, so the method sends the quotes first. This is faster than appending the quotes to
        the pending frames.

        Call this method before the head (the position of the hub) includes the event. If the flush fills the send
        buffer of a reader, this reader later catches up from the head. If the head already included the event, the
        reader would miss the event.
        """
        if isinstance(item, RenderedUnreadable):
            self.flush(now)
        elif isinstance(item, RenderedCandles):
            if any(self._deferred.values()) and self._candle_router.has_subscribers(item):
                self.flush(now)
        elif isinstance(item, RenderedNamedEvent) and item.target is not None:
            self._append_deferred()
            for reader in self._roster.find_readers(item.target):
                _queue_pending(self._roster.channels[reader], now)
            self._sender.submit()

    def dispatch(self, item: RenderedEvents, now: float) -> None:
        """Apply the event if it is an admin event, such as a changed subscription of a reader.

        Append any other event to the channels that subscribe to the event.
        """
        try:
            if not isinstance(item, RenderedQuotes | RenderedCandles):
                self._append_deferred()
            if isinstance(item, RenderedNamedEvent) and item.kind == ADMIN_EVENT_KIND:
                self._apply_admin_event(item, now)
            else:
                self._route_to_channels(item, now)
        except Exception:
            for deferred in self._deferred.values():
                deferred.clear()
            log.exception("cannot send the events up to event %d; the server disconnects all readers", item.last)
            for channel in self._router.channels.values():
                channel.disconnect_all()

    def flush(self, now: float) -> None:
        """Write the deferred quotes, and the pending frames of all channels."""
        self._queue_deferred(now)
        for channel in self._dirty_channels:
            _queue_pending(channel, now)
        self._dirty_channels.clear()
        self._sender.submit()

    def forget_closed_sinks(self) -> None:
        """Forget the sinks of streams that have closed since the last flush. Call this method between two batches."""
        self._forget_old_tables()
        for quotes in self._deferred.values():
            quotes.forget_closed_sinks()

    def _forget_old_tables(self) -> None:
        tables = self._router.quote_tables
        self._deferred = {
            fields: quotes for fields, quotes in self._deferred.items() if tables.get(fields) is quotes.table
        }

    def _queue_deferred(self, now: float) -> None:
        for quotes in self._deferred.values():
            if not quotes:
                continue
            numbers = quotes.table.channel_numbers
            # Pending frames of a channel are older than the deferred quotes. So append the quotes to the pending
            # frames.
            if any(channel.pending_frames and numbers.has_number(channel) for channel in self._dirty_channels):
                self._dirty_channels.update(quotes.append_to_channels())
                continue
            try:
                self._dirty_channels.update(quotes.queue(now))
            except Exception:
                log.exception("cannot send quotes to watchlists; their readers are disconnected")
                quotes.disconnect_all()

    def _append_deferred(self) -> None:
        """Append the deferred quotes to the pending frames of channels. Other frames can then follow these quotes."""
        for quotes in self._deferred.values():
            if quotes:
                self._dirty_channels.update(quotes.append_to_channels())

    def _find_deferred(self, fields: QuoteProjection, table: RoutingTable) -> DeferredQuotes:
        """Return the DeferredQuotes of a quote table, and create it if necessary."""
        quotes = self._deferred.get(fields)
        if quotes is None or quotes.table is not table:
            self._forget_old_tables()
            quotes = self._deferred[fields] = DeferredQuotes(table, self._sender, self._counters)
        return quotes

    def _apply_admin_event(self, item: RenderedNamedEvent, now: float) -> None:
        try:
            self._reader_admin.apply(item, now)
        except Exception:
            # Another version of the server may have written the event. A restart would not help, because the event
            # stays in the journal.
            log.exception("cannot apply the admin event %d of the journal", item.first)

    def _route_to_channels(self, item: RenderedEvents, now: float) -> None:
        if isinstance(item, RenderedQuotes):
            self._route_quotes(item)
        elif isinstance(item, RenderedCandles):
            self._dirty_channels |= self._candle_router.route_closed(item)
        elif isinstance(item, RenderedUnreadable):
            self._write_gap(item, now)
        else:
            self._route_named(item)

    def _route_quotes(self, item: RenderedQuotes) -> None:
        board = self._state_frames.board
        self._router.add_new_rows(board.symbols)
        self._counters.add_quotes(item.quotes.rows, len(board))
        for fields, table in self._router.quote_tables.items():
            self._route_by_table(item, fields, table)
        self._dirty_channels.update(self._router.screen_router.route_quotes(item))

    def _route_by_table(self, item: RenderedQuotes, fields: QuoteProjection, table: RoutingTable) -> None:
        dirty, routes, rows = self._dirty_channels, table.channels_by_row, item.rows
        if table.all_symbol_channels:
            frames = item.all_frames(fields)
            for channel in table.all_symbol_channels:
                channel.pending_frames += frames
            dirty.update(table.all_symbol_channels)
        indexes = [index for index, row in enumerate(rows) if row in routes]
        if not indexes:
            return
        frames, found = item.frames_at(indexes, fields), [routes[rows[index]] for index in indexes]
        deferred = self._find_deferred(fields, table)
        if deferred or sum(map(len, found)) >= MIN_DEFERRED_PAIRS:
            deferred.add(frames, found)
            return
        for frame, channels in zip(frames, found, strict=True):
            for channel in channels:
                pending = channel.pending_frames
                # A channel with pending frames is already in `dirty`.
                if not pending:
                    dirty.add(channel)
                pending.append(frame)

    def _route_named(self, item: RenderedNamedEvent) -> None:
        self._state_frames.store_newest(item)
        if item.target is not None:
            for reader in self._roster.find_readers(item.target):
                self._send_to_reader(reader, item)
            return
        for channel in self._router.channels.values():
            view = item.view_for_channel(channel)
            if view is None:
                continue
            if channel.is_paced:
                channel.pending_events.append(view)
            else:
                channel.pending_frames.append(view.frame)
                self._dirty_channels.add(channel)

    def _write_gap(self, item: RenderedUnreadable, now: float) -> None:
        """Write a gap event for unreadable events to live and joining readers. The readers stay in their channels."""
        for channel in self._router.channels.values():
            readers = [*channel.live_readers, *channel.joining_readers]
            for reader in readers:
                reader.known_unreadable = item.last
                reader.gaps += 1
            self._counters.gaps += len(readers)
            channel.queue_unnumbered(item.frame, now)
        self._sender.submit()

    def _send_to_reader(self, reader: Reader, item: RenderedNamedEvent) -> None:
        """Send an event to a single reader. The reader's channel must have written all earlier events."""
        channel = self._roster.channels[reader]
        view = item.view_for_channel(channel)
        # Do not write to a reader that is not live, because it receives the event during its catch-up.
        if not reader.is_live or view is None:
            return
        if channel.is_paced:
            # Do not write the event. Make the reader a joining reader instead: the next flush sends a joining reader
            # all events that it has missed, including this event.
            channel.leave(reader)
            channel.join(reader)
        else:
            reader.write(view.frame)
            self._counters.deliveries += 1


def _queue_pending(channel: Channel, now: float) -> None:
    try:
        channel.queue_pending(now)
    except Exception:
        # A failure in one channel must not prevent the flushes of the other channels.
        log.exception(
            "cannot send events for the subscription %s; its readers are disconnected", channel.subscription.describe()
        )
        channel.disconnect_all()
