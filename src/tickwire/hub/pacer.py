"""Paced channels: at most one update per symbol in each interval, always the newest.

The dispatcher does not write to paced channels when events arrive. When the interval of a paced channel has passed, the
pacer flushes the channel. In a flush, the pacer renders the changes since the last flush once, and writes the same
bytes to every live reader.

A reader that has caught up joins the channel at the next flush, and then receives the changes since its catch-up. After
a flush, all live readers of the channel have received the same events. The ids that a reader receives never decrease.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

from tickwire.core.close_reasons import CloseReason
from tickwire.hub.catchup.catch_up import CatchUp
from tickwire.hub.fanout.channel import Channel, NumberedEvent
from tickwire.hub.fanout.counters import HubCounters
from tickwire.hub.fanout.encoder import EncodedBlock, Encoder
from tickwire.hub.fanout.open_candles import OPEN_CANDLE_INTERVAL_S, OpenCandleFrames
from tickwire.hub.fanout.position import HubPosition
from tickwire.hub.fanout.reader import RECONNECT_DELAY_MS, Reader
from tickwire.hub.fanout.reader_state import ReaderState
from tickwire.hub.fanout.sender import Sender

log = logging.getLogger(__name__)

# Seconds between two checks while no channel is due. A new channel waits at most this long for its first flush.
IDLE_POLL_S = 0.05

# After this many seconds, a call of `flush_due` flushes no more channels with a top-N screen. The evaluation of one
# screen takes up to 2 ms.
_MAX_RANKING_S = 0.01


# In one flush, joining readers at the same position share the frames that they have missed. This is the maximum number
# of such positions. The readers of a channel usually reconnect with the id of the same flush, so there are few
# different positions.
_MAX_SHARED_POSITIONS = 8


class _MissedFrames(NamedTuple):
    """The frames that all readers at one position have missed, joined into one body.

    `event_count` counts the events with an id, and `quote_count` the quotes among them. `encoded` maps an encoder to
    the encoded body, which all these readers share.
    """

    body: bytes
    event_count: int
    quote_count: int
    encoded: dict[Encoder, EncodedBlock]


class Pacer:
    """Flushes each paced channel when its interval has passed."""

    def __init__(
        self,
        head: HubPosition,
        catch_up: CatchUp,
        open_candles: OpenCandleFrames,
        counters: HubCounters,
        sender: Sender,
    ) -> None:
        self._sender = sender
        self._head = head
        self._state_changes = catch_up.state_changes
        self._backlog = catch_up.backlog
        self._open_candles = open_candles
        self._counters = counters

    def flush_due(self, channels: Iterable[Channel], now: float) -> float:
        """Flush the channels whose interval has passed. Return the seconds until the caller should call again.

        If many top-N screens are due, the call leaves some of their channels for the next call.
        """
        wait, ranked = IDLE_POLL_S, list[Channel]()
        for channel in channels:
            if channel.ranking is not None:
                ranked.append(channel)
                continue
            if channel.flush_due_at <= now:
                self._try_flush(channel, now)
            wait = min(wait, channel.flush_due_at - now)
        if ranked:
            self._flush_ranked([channel for channel in ranked if channel.flush_due_at <= now], now)
            wait = min(wait, *(channel.flush_due_at - now for channel in ranked))
        self._sender.submit()
        return max(wait, 0.001)

    def _flush_ranked(self, due: list[Channel], now: float) -> None:
        """Flush channels with a top-N screen for at most _MAX_RANKING_S.

        Begin with the channel that has waited longest.

        With any other order, some channels would wait forever if the evaluation of all screens takes longer than their
        intervals.
        """
        started_at = time.perf_counter()
        for channel in sorted(due, key=attrgetter("flush_due_at")):
            self._try_flush(channel, now)
            if time.perf_counter() - started_at >= _MAX_RANKING_S:
                return

    def can_join_at_flush(self, reader: Reader, channel: Channel) -> bool:
        """Whether the reader can wait for the next flush of the channel instead of catching up before it.

        A reader can wait if the flush can send the reader all events that the reader has missed.
        """
        if not channel.is_paced or reader.needs_snapshot or reader.pending_rows is not None:
            return False
        if reader.known_unreadable < self._head.unreadable.last:
            return False
        return self._backlog.events_in_window(reader) is not None

    def _try_flush(self, channel: Channel, now: float) -> None:
        try:
            self._flush(channel, now)
        except Exception:
            # A failure in one channel must not prevent the flushes of the other channels.
            log.exception(
                "cannot send updates for the subscription %s; the server disconnects its readers",
                channel.subscription.describe(),
            )
            channel.disconnect_all()

    def _flush(self, channel: Channel, now: float) -> None:
        flush_at = max(channel.flush_due_at, now - IDLE_POLL_S)
        channel.flush_due_at = flush_at + channel.subscription.interval_ms / 1000
        counted, channel.eligible_quotes_at_flush = channel.eligible_quotes_at_flush, channel.count_eligible_quotes()
        frames: list[bytes] = []
        if channel.live_readers:
            frames, quote_count = self._state_changes.flush_frames(channel)
            channel.count_skipped(channel.eligible_quotes_at_flush - counted - quote_count)
            frames += self._open_candle_frames(channel, now)
        elif channel.sends_screen_events or channel.ranking is not None:
            self._state_changes.update_screen_rows(channel)
        channel.pending_events = []
        channel.position = self._head.sequence
        self._counters.deliveries += len(frames) * len(channel.live_readers)
        if frames:
            channel.queue(b"".join(frames), now)
        missed_by_position: dict[int, _MissedFrames] = {}
        for reader in list(channel.joining_readers):
            if _may_receive_quotes(reader, flush_at):
                self._try_join(reader, channel, missed_by_position)

    def _open_candle_frames(self, channel: Channel, now: float) -> list[bytes]:
        """Return the frames of the open candles that changed since the channel last received open candles.

        Return an empty list if the channel received open candles less than OPEN_CANDLE_INTERVAL_S ago.
        """
        is_too_soon = (
            channel.subscription.interval_ms < OPEN_CANDLE_INTERVAL_S * 1000 and now < channel.open_candles_due_at
        )
        if not channel.candle_interval_s or is_too_soon:
            return []
        channel.open_candles_due_at = now + OPEN_CANDLE_INTERVAL_S
        after, channel.candle_position = channel.candle_position, self._head.sequence
        return self._open_candles.render_traded_after(channel, after)

    def _try_join(self, reader: Reader, channel: Channel, missed_by_position: dict[int, _MissedFrames]) -> None:
        del channel.joining_readers[reader]
        try:
            self._join(reader, channel, missed_by_position)
        except Exception:
            # A failure for one reader must not prevent the other readers from joining.
            log.exception(
                "cannot start updates for a reader of the subscription %s; the server disconnects the reader",
                channel.subscription.describe(),
            )
            reader.disconnect(CloseReason.ERROR, RECONNECT_DELAY_MS)

    def _join(self, reader: Reader, channel: Channel, missed_by_position: dict[int, _MissedFrames]) -> None:
        """Send a joining reader all missed events up to the channel's position, and make the reader live.

        `missed_by_position` is the cache of this flush. Without the cache, thousands of readers that reconnect together
        would occupy the event loop for seconds.
        """
        named_events = self._backlog.events_in_window(reader)
        # If `named_events` is None, the reader waited so long that the event window has evicted some of the missed
        # events. The reader must then catch up from the journal first.
        if named_events is None:
            reader.enter(ReaderState.CATCHING_UP)
            reader.on_drained()
            return
        missed = None if named_events else missed_by_position.get(reader.position)
        if missed is None:
            missed = self._render_missed(channel, reader.position, named_events)
            # Do not share named events, because a named event (such as a message) may be for a single reader.
            if not named_events and len(missed_by_position) < _MAX_SHARED_POSITIONS:
                missed_by_position[reader.position] = missed
        reader.position = channel.position
        reader.quotes_sent_since_leave += missed.quote_count
        candles: list[bytes] = []
        if channel.candle_interval_s:
            candles = self._open_candles.render_traded_after(channel, reader.candle_position)
            reader.candle_position = self._head.sequence
        channel.add_live_reader(reader)
        if candles:
            reader.write(missed.body + b"".join(candles))
        elif missed.body:
            reader.write_shared(missed.body, missed.encoded)
        self._counters.deliveries += missed.event_count + len(candles)

    def _render_missed(self, channel: Channel, position: int, named_events: Sequence[NumberedEvent]) -> _MissedFrames:
        frames, quote_count = self._state_changes.changed_frames(channel, position, named_events)
        matches = self._state_changes.screen_matches(channel)
        matches += self._state_changes.unchanged_ranked_frames(channel, position)
        return _MissedFrames(matches + b"".join(frames), len(frames), quote_count, {})


def _may_receive_quotes(reader: Reader, flush_at: float) -> bool:
    """Whether the rights of a joining reader allow quotes in a flush at the time `flush_at`.

    A reader whose token requires an interval waits for a flush that is at least one interval after the reader's
    catch-up.
    """
    if not reader.min_interval_s:
        return True
    if not reader.quotes_due_at:
        # This flush is the first flush after the catch-up, so the reader's interval begins with this flush.
        reader.quotes_due_at = flush_at + reader.min_interval_s
    return reader.quotes_due_at <= flush_at
