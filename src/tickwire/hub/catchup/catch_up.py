"""The catch-up of a reader, from any position to the head.

The position of a reader is the sequence number up to which the reader has received all events. The head is the newest
event that the hub has applied. `CatchUp.catch_up` handles three kinds of readers. A new reader has received nothing. A
reader that resumes has received every event up to the id in its request. A slow reader continues at the position where
its send buffer (sink) became full.

For `delivery=latest`, `_catch_up_latest` calls `_write_newest` until the reader is at the head. `_write_newest` sends,
in the order of ids,

- the newest quote of each symbol that changed after the reader's position (`state_changes.py`), and
- the statuses, messages and closed candles that the reader has yet to receive (`lossless_backlog.py`).

For `delivery=all`, `_catch_up_all` has two phases:

- In the snapshot phase, `_write_newest` sends the quotes and statuses that have not changed since the stream opened or
  had a gap. Only new readers and readers after a gap have this phase.
- After that, `_next_batch` and `_render_batch` provide every event after the reader's position. Both methods read the
  events in memory (the event window), or older events in the journal (`history_replayer.py`). Neither method uses
  `lossless_backlog.py`.

For both deliveries, `_catch_up_or_gap` returns a gap (a range of missing events) if the journal no longer stores the
next events, or cannot read them. If single events in the journal are not valid, the reader receives a gap event for
them and then continues. Open candles are sent last, because they describe the head and have no ids.

Catch-up renders one batch of frames at a time, and only when the reader's send buffer has room. A reader that stalls
therefore accumulates no rendered frames in memory.

A paced channel sends updates only once per interval, in a flush (see `pacer.py`). After catch-up, a reader of a paced
channel waits for the next flush, which sends the reader the changes since the catch-up. The reader cannot join the
channel before a flush: after its catch-up, the reader is at the head, but the channel's other readers are still at the
position of the last flush.

A reader whose subscription was changed catches up too. This reader must receive the newest quote of each added symbol.
If the id of this quote is after the reader's position, catch-up sends the quote as an ordinary change. Otherwise, the
quote is pending: catch-up sends pending quotes first, and without ids, because the ids of a stream never decrease.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from tickwire.core.codec import encode_json
from tickwire.core.event_kinds import StreamEvent
from tickwire.errors import JournalError, JournalPositionExpired, JournalUnavailable
from tickwire.hub.catchup.catchup_cache import CatchUpBatch, CatchUpCache
from tickwire.hub.catchup.event_window import EventWindow
from tickwire.hub.catchup.history_replayer import HistoryReplayer
from tickwire.hub.catchup.lossless_backlog import LosslessBacklog
from tickwire.hub.catchup.state_changes import StateChanges
from tickwire.hub.catchup.step_queue import StepQueue
from tickwire.hub.fanout.channel import Channel, NumberedEvent
from tickwire.hub.fanout.counters import HubCounters
from tickwire.hub.fanout.gap import Gap, GapReason
from tickwire.hub.fanout.open_candles import OpenCandleFrames
from tickwire.hub.fanout.position import HubPosition
from tickwire.hub.fanout.reader import Reader
from tickwire.hub.fanout.reader_state import ReaderState
from tickwire.hub.fanout.rendered_events import (
    RenderedEvents,
    RenderedNamedEvent,
    RenderedQuotes,
    RenderedUnreadable,
)
from tickwire.hub.fanout.router import Router
from tickwire.hub.fanout.state_frames import StateFrames
from tickwire.sse.frame import encode_frame, strip_frame_id

log = logging.getLogger(__name__)

# The maximum numbers of newest quotes or open candles in one write. The first number (about 20 KB) is for most readers,
# and the second number (about 5 KB) is for a reader that has ever stalled. With larger writes, a slow reader would
# receive outdated quotes.
_MAX_BATCH_EVENTS = 64
_MAX_BATCH_EVENTS_AFTER_STALL = 16

# The limits of one write to a reader with `delivery=all`, in events and in bytes. They are larger than the limit for
# `delivery=latest`, because a reader with `delivery=all` must receive the old events anyway. The last event of a write
# may exceed the limit in bytes.
_MAX_REPLAY_EVENTS = 64
_MAX_REPLAY_BYTES = 16 * 1024

# The maximum number of cached batches that a new reader receives before other tasks run.
_MAX_CACHED_BATCHES = 16

# The maximum number of journal records that one catch-up step examines.
_MAX_RECORDS_PER_STEP = 64

# Seconds between two attempts to read a journal that is unavailable.
_JOURNAL_RETRY_S = 0.25


class CatchUp:
    """Sends each reader the missing events up to the head, then adds the reader to its channel (see `channel.py`).

    `channels` maps each reader to its channel. The code looks up the channel again after every wait, because the
    reader's subscription can change during the wait.
    """

    def __init__(
        self,
        head: HubPosition,
        state_frames: StateFrames,
        event_window: EventWindow,
        history_replayer: HistoryReplayer,
        *,
        open_candles: OpenCandleFrames,
        channels: Mapping[Reader, Channel],
        counters: HubCounters,
        router: Router,
        steps: StepQueue,
    ) -> None:
        self._steps = steps
        self.state_changes = StateChanges(state_frames, router)
        self.backlog = LosslessBacklog(head, state_frames, event_window, history_replayer, channels)
        self._head = head
        self._state_frames = state_frames
        self._event_window = event_window
        self._history_replayer = history_replayer
        self._open_candles = open_candles
        self._channels = channels
        self._counters = counters
        self._test_texts = router.screen_router.test_texts
        self._cache = CatchUpCache(head)
        # The number of gaps that were sent because the journal still stores the events but could not read them.
        self.unreadable_gaps = 0

    def join_from_cache(self, reader: Reader) -> bool:
        """Send a new reader the missing events from the cache, and add the reader to its channel.

        Many readers often connect at the same time, so another reader may just have received the same batches. With the
        cache, the method does the work of `catch_up` with only a few calls. If the method returns False, the reader has
        not joined its channel, and the caller must call `catch_up`.
        """
        channel, head = self._channels[reader], self._head
        is_simple = channel.sends_only_quotes and reader.known_unreadable >= head.unreadable.last
        if not is_simple or reader.min_interval_s:
            return False
        is_latest = channel.subscription.delivery == "latest"
        for _ in range(_MAX_CACHED_BATCHES):
            if not reader.can_write_now or not self._steps.has_time():
                return False
            if reader.position == head.sequence and not reader.needs_snapshot:
                channel.join(reader)
                return True
            if is_latest or reader.needs_snapshot:
                batch = self._cache.find(channel, reader.position, head.sequence, _batch_limit(reader))
            else:
                batch = self._cache.find(channel, reader.position)
            if batch is None:
                return False
            self._write_batch(reader, batch)
        return False

    async def catch_up(self, reader: Reader) -> Gap | None:
        """Send the reader the missing events. Return None when the reader has joined its channel or is closing.

        Return a Gap if the journal cannot provide the next events. While the journal is unavailable, the reader waits,
        and then continues from its position.
        """
        while True:
            try:
                return await self._catch_up_or_gap(reader)
            except JournalUnavailable:
                if not await reader.wait_until_writable():
                    return None
                await asyncio.sleep(_JOURNAL_RETRY_S)

    async def _wait_for_step(self, reader: Reader) -> bool:
        """Wait until the reader can receive events and a turn of the event loop has time for its step.

        Return False if the stream is ending.
        """
        if not await reader.wait_until_writable():
            return False
        await self._steps.enter()
        # Check the reader again, because the stream may have ended during the wait.
        return await reader.wait_until_writable()

    async def _catch_up_or_gap(self, reader: Reader) -> Gap | None:
        try:
            if self._channels[reader].subscription.delivery == "latest":
                await self._catch_up_latest(reader)
            else:
                await self._catch_up_all(reader)
        except JournalUnavailable:
            # An unavailable journal causes no gap, because the reader can read the events later.
            raise
        except JournalPositionExpired:
            return self._start_gap(reader, "expired")
        except JournalError as error:
            self.unreadable_gaps += 1
            log.error(
                "cannot read the events after event %d: %s; a reader receives a gap event", reader.position, error
            )
            return self._start_gap(reader, "unreadable")
        return None

    async def _catch_up_latest(self, reader: Reader) -> None:
        matches_sent = None
        # If the token sets a minimum interval between two quotes of a symbol, catch up only to the event that was
        # newest when the catch-up started. Otherwise, a slow reader could receive several quotes of a symbol in one
        # interval.
        fixed_target = self._head.sequence if reader.min_interval_s else None
        while await self._wait_for_step(reader):
            target = self._head.sequence if fixed_target is None else fixed_target
            if self._write_unreadable_gap(reader) or self._write_pending_rows(reader):
                continue
            if matches_sent is None:
                matches_sent = self._write_screen_matches(reader)
                continue
            if await self._write_newest(reader, target):
                continue
            channel = self._channels[reader]
            is_complete = reader.position == (self._head.sequence if fixed_target is None else fixed_target)
            if is_complete and not self._write_open_candles(reader, channel, fixed_target):
                # A top-N screen needs no comparison: when the reader joins its channel, a flush sends the newest top-N
                # screen.
                is_settled = channel.ranking is not None
                if is_settled or self.state_changes.screen_matches(channel) == matches_sent:
                    # Reset `quotes_due_at`, because the reader has just received quotes. The next flush sets this time
                    # again.
                    reader.quotes_due_at = 0.0
                    channel.join(reader)
                    return
                matches_sent = None

    async def _catch_up_all(self, reader: Reader) -> None:
        matches_sent = None
        while await self._wait_for_step(reader):
            if self._write_pending_rows(reader):
                continue
            if matches_sent is None:
                matches_sent = self._write_screen_matches(reader)
                continue
            # First send the snapshot, which contains the state at the start position. Then send every later event.
            if reader.needs_snapshot:
                await self._write_newest(reader, reader.start_position)
                continue
            batch = await self._next_batch(reader)
            # During the read, the stream may have ended, the send buffer may have become full, or a change of the
            # subscription may have begun.
            if not reader.can_write_now:
                continue
            if batch is not None:
                self._write_batch(reader, batch)
            elif not self._write_open_candles(reader, self._channels[reader], None):
                if self.state_changes.screen_matches(self._channels[reader]) == matches_sent:
                    self._channels[reader].join(reader)
                    return
                matches_sent = None

    async def _write_newest(self, reader: Reader, target: int) -> bool:
        """Write the next batch of newest quotes and lossless events, up to event `target`, and advance the position.

        Lossless events are statuses, messages and closed candles. Return True if frames were written, or if the
        reader's subscription or state changed during a wait. The caller must then check the reader again.
        """
        limit = _batch_limit(reader)
        due = await self.backlog.next_batch(reader, limit)
        # While the journal was read, the subscription may have changed, or the stream may have ended.
        if reader.pending_rows is not None or reader.is_closing:
            return True
        channel, end = self._channels[reader], min(due.end_position, target)
        batch = self._cache.find(channel, reader.position, end, limit)
        # A cached batch contains only quotes. If events of other kinds are due, too, render a new batch.
        if batch is None or _has_event_until(batch.end_position, due.events):
            batch = self._newest_batch(channel, reader.position, end, limit, due.events)
            if not _has_event_until(batch.end_position, due.events):
                self._cache.add(channel, reader.position, batch, end, limit)
        self._write_batch(reader, batch)
        return bool(batch.body)

    def _newest_batch(
        self, channel: Channel, after: int, target: int, limit: int, events: Sequence[NumberedEvent]
    ) -> CatchUpBatch:
        """Render `events`, and the quotes whose last change is after event `after` and not after event `target`.

        If there are more than `limit` such quotes, render only the quotes with the oldest changes. Omit the elements of
        `events` that follow the end of the batch.
        """
        frames, quote_count, end_position = self.state_changes.first_changed_frames(
            channel, after, target, events, limit=limit
        )
        return CatchUpBatch(b"".join(frames), end_position, {}, quote_count)

    def _write_batch(self, reader: Reader, batch: CatchUpBatch) -> None:
        # The `bye` event of an evicted reader contains the reader's position. So no other task may run between the
        # write and the update of the position.
        if batch.body:
            self._count_gaps(reader, batch.gap_count)
            reader.write_shared(batch.body, batch.encoded)
        reader.position = batch.end_position
        reader.quotes_sent_since_leave += batch.quote_count
        if reader.needs_snapshot and batch.end_position >= reader.start_position:
            reader.enter(ReaderState.CATCHING_UP)

    async def _next_batch(self, reader: Reader) -> CatchUpBatch | None:
        """Return the next batch of events for a reader with `delivery=all`.

        Return None if the reader is at the head (the newest applied event).
        """
        batch = self._cache.find(self._channels[reader], reader.position)
        if batch is not None:
            return batch
        items = self._event_window.items_after(reader.position, _MAX_RECORDS_PER_STEP)
        if items is None:
            items = await self._history_replayer.read_after(reader.position, self._head.sequence)
        elif not items:
            return None
        return self._render_batch(items, reader)

    def _render_batch(self, items: Sequence[RenderedEvents], reader: Reader) -> CatchUpBatch:
        """Render the next batch: the first events in `items` that the reader subscribes to and has not received."""
        channel, end, frames = self._channels[reader], reader.position, list[bytes]()
        is_shared, gap_count, size, counted = True, 0, 0, 0
        for item in items:
            size += sum(map(len, frames[counted:]))
            counted = len(frames)
            if counted >= _MAX_REPLAY_EVENTS or size >= _MAX_REPLAY_BYTES:
                break
            if isinstance(item, RenderedNamedEvent):
                view = item.view_for_reader(channel, reader.identity) if item.first > end else None
                frames += [view.frame] if view is not None else []
                end, is_shared = item.last, is_shared and item.target is None
            elif isinstance(item, RenderedQuotes):
                item_frames, end = item.frames_for(channel, end, _MAX_REPLAY_EVENTS - len(frames), self._test_texts)
                frames += item_frames
            else:
                item_frames, end = item.frames_for(channel, end, _MAX_REPLAY_EVENTS - len(frames))
                frames += item_frames
                gap_count += isinstance(item, RenderedUnreadable)
        batch = CatchUpBatch(b"".join(frames), end, {}, gap_count=gap_count)
        if is_shared and end > reader.position:
            self._cache.add(channel, reader.position, batch)
        return batch

    def _write_screen_matches(self, reader: Reader) -> bytes:
        """Write a `matches` event with all symbols in the reader's screen, and return the encoded event.

        If the reader does not subscribe to screen events (events about the symbols in a screen), write no event, and
        return empty bytes. If the reader has a top-N screen, also write the quotes that may be new to the reader
        although they are older than the reader's position.
        """
        channel = self._channels[reader]
        matches = self.state_changes.screen_matches(channel)
        body = matches + self.state_changes.unchanged_ranked_frames(channel, reader.position)
        if body:
            reader.write(body)
        return matches

    def _write_open_candles(self, reader: Reader, channel: Channel, target: int | None) -> bool:
        """Write a batch of open candles that have changed since the reader last received open candles.

        If `target` is not None, skip the candles of symbols that traded after event `target`. Return False if no open
        candle changed.
        """
        if not channel.candle_interval_s:
            return False
        end = self._head.sequence if target is None else target
        rows = self._open_candles.channel_rows_traded_after(channel, reader.candle_position, end)
        limit = _batch_limit(reader)
        batch = rows[:limit].tolist()
        frames = b"".join(self._open_candles.render_rows(batch, channel.candle_interval_s))
        reader.candle_position = end if len(rows) <= limit else self._open_candles.last_trade_sequence(batch[-1])
        if frames:
            reader.write(frames)
        return bool(batch)

    def _write_pending_rows(self, reader: Reader) -> bool:
        """Write the next pending quotes: the newest quotes of symbols that a changed subscription added.

        After the last pending quote, write a `subscription` event, which tells the client that the changed subscription
        is now in force. Return False if no change of the subscription is in progress.
        """
        if reader.pending_rows is None:
            return False
        channel = self._channels[reader]
        rows, reader.pending_rows = self.state_changes.first_pending_rows(
            channel, reader.pending_rows, reader.position, limit=_batch_limit(reader)
        )
        if len(rows):
            frames = self._state_frames.quote_frames(rows.tolist(), channel.subscription.fields)
            reader.write(b"".join(map(strip_frame_id, frames)))
        else:
            reader.pending_rows = None
            reader.write(encode_frame(encode_json(channel.subscription.describe()), event=StreamEvent.SUBSCRIPTION))
        return True

    def _write_unreadable_gap(self, reader: Reader) -> bool:
        """Write a gap event if the hub has applied unreadable events that were not reported to the reader.

        Return False if there are no such events. Only readers with `delivery=latest` need this method, because they do
        not receive the events one by one. They need no snapshot after the gap event, because unreadable events change
        no quote.
        """
        unreadable = self._head.unreadable
        if reader.known_unreadable >= unreadable.last:
            return False
        reader.known_unreadable = unreadable.last
        self._count_gaps(reader, 1)
        reader.write(RenderedUnreadable(self._head.id_prefix, unreadable.first, unreadable.last).frame)
        return True

    def _count_gaps(self, reader: Reader, count: int) -> None:
        reader.gaps += count
        self._counters.gaps += count

    def _start_gap(self, reader: Reader, reason: GapReason) -> Gap:
        """Restart the reader from a snapshot. Return the range of events that the reader will not receive."""
        head = self._head
        gap = Gap(f"{head.epoch}-{reader.position}", str(head), reason)
        reader.restart_from_snapshot(head.sequence)
        return gap


def _has_event_until(end_position: int, events: Sequence[NumberedEvent]) -> bool:
    """Return whether `events`, which are in the order of ids, contain an event up to event `end_position`."""
    return bool(events) and events[0].first <= end_position


def _batch_limit(reader: Reader) -> int:
    """Return the maximum number of newest quotes or open candles in one write to the reader."""
    return _MAX_BATCH_EVENTS_AFTER_STALL if reader.stalls else _MAX_BATCH_EVENTS
