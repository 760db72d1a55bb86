"""The hub, which applies journal events and sends them to the readers that subscribe to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from tickwire.core.close_reasons import CloseReason
from tickwire.core.codec import decode_json
from tickwire.core.event import JournalEntry, JournalRecord, RecordKind, SequenceRange, decode_named_event
from tickwire.core.event_kinds import ADMIN_EVENT_KIND
from tickwire.core.histogram import HistogramCounts
from tickwire.core.tick import ticks_from_bytes
from tickwire.hub.catchup.catch_up import CatchUp
from tickwire.hub.catchup.event_window import EventWindow
from tickwire.hub.catchup.history_replayer import HistoryReplayer, ReplayableJournal
from tickwire.hub.catchup.resume import JournalRange, StreamStart
from tickwire.hub.catchup.step_queue import StepQueue
from tickwire.hub.dispatcher import Dispatcher
from tickwire.hub.fanout.candle_router import CandleRouter
from tickwire.hub.fanout.counters import HubCounters
from tickwire.hub.fanout.encoder import EncoderRegistry
from tickwire.hub.fanout.gap import Gap
from tickwire.hub.fanout.heartbeat import HeartbeatFrames
from tickwire.hub.fanout.open_candles import OpenCandleFrames
from tickwire.hub.fanout.position import HubPosition
from tickwire.hub.fanout.reader import Reader, ReaderIdentity
from tickwire.hub.fanout.rendered_events import (
    RenderedNamedEvent,
    RenderedUnreadable,
    apply_and_render,
    render_unjournaled,
)
from tickwire.hub.fanout.router import Router
from tickwire.hub.fanout.sender import Sender, TransportSender
from tickwire.hub.fanout.sink import Sink
from tickwire.hub.fanout.state_frames import StateFrames
from tickwire.hub.interval_holds import IntervalHolds
from tickwire.hub.pacer import Pacer
from tickwire.hub.reader_admin import ReaderAdmin
from tickwire.hub.reader_runner import ReaderRunner
from tickwire.hub.roster import Roster
from tickwire.market.board import Board
from tickwire.market.candle_aggregator import CandleAggregator
from tickwire.sessions.snapshot import HubSnapshot, encode_hub_snapshot
from tickwire.sessions.subscription import Subscription
from tickwire.sse.compression import IDENTITY, ContentCoding

# The number of events in the event window. These events occupy about 20 MB if every frame is rendered, and cover a
# second of a busy market or minutes of a normal market.
MAX_RECENT_EVENTS = 50_000
# One step collects the symbols of this many channels. If each channel has 1,000 symbols, the maximum, the step takes
# about 10 ms.
_CHANNELS_PER_STEP = 256


class HubStats(NamedTuple):
    """The statistics of a hub.

    The fields `readers`, `live_readers`, `channels`, `changed_subscriptions`, `stored_subscriptions` and `revocations`
    are current numbers. All other fields are counts since the start of the hub.

    `ticks` counts the quotes among the applied events. `deliveries` counts events written to the sinks of live readers.
    `conflated_quotes` counts quotes that were not sent to a slow or paced reader because a newer quote replaced them.
    `unreadable_gaps` counts the gaps that readers received because the journal failed to read events that it still
    stores. `unreadable_events` counts the applied events that are not valid. `streams_closed` counts closed streams by
    reason. `bytes_saved` counts the bytes that compression saved.
    """

    readers: int
    live_readers: int
    channels: int
    events: int
    ticks: int
    deliveries: int
    bytes_sent: int
    stalls: int
    conflated_quotes: int
    gaps: int
    unreadable_gaps: int
    unreadable_events: int
    streams_opened: int
    streams_closed: dict[str, int]
    changed_subscriptions: int
    stored_subscriptions: int
    revocations: int
    bytes_saved: int
    # The time from the start of each catch-up until its reader was live.
    catch_up_times: HistogramCounts


class FlushTimes(NamedTuple):
    """How long the parts of the work on a batch took, in nanoseconds: the board, the channels, the writes to sinks."""

    apply_ns: int
    dispatch_ns: int
    flush_ns: int


class Hub:
    """Applies the records of the journal in order, and sends every reader its events.

    A hub runs on one event loop. When a call returns, all events up to `head` are written to the live readers of
    unpaced channels (channels that write events at once).

    `board` and `snapshot` already include all events up to event `start_sequence`. The caller must apply each record to
    `candles` before it calls `apply` for the record or for its first part. `max_lifetime_s` is the maximum lifetime of
    a stream. 0 means no limit. The lifetime varies by up to a tenth, so that readers do not all reconnect at the same
    time. Only a hub that delays the market has a `live_hub`. The live hub passes admin events to the delayed hub at
    once. `sender` writes the bytes of channels to sinks (default: each sink writes its own bytes).
    `steps` limits the time that a turn of the event loop spends on opening streams and on catch-up (default: all hubs
    of a process share one limit).
    """

    def __init__(
        self,
        board: Board,
        epoch: str,
        journal: ReplayableJournal,
        *,
        board_factory: Callable[[], Board] = Board,
        start_sequence: int = 0,
        snapshot: HubSnapshot | None = None,
        candles: CandleAggregator | None = None,
        max_recent_events: int = MAX_RECENT_EVENTS,
        max_lifetime_s: float = 0.0,
        live_hub: Hub | None = None,
        sender: Sender | None = None,
        steps: StepQueue | None = None,
    ) -> None:
        self.sender = sender = sender or TransportSender()
        self.board = board
        self.head = HubPosition(epoch, start_sequence)
        self.roster = Roster(self.head)
        self._counters = counters = HubCounters()
        self._encoders = EncoderRegistry()
        self._router = Router(board, self.head, counters, sender)
        self._router.add_new_rows(board.symbols)
        self._state_frames = StateFrames(board, self.head.id_prefix)
        self._event_window = EventWindow(max_recent_events, start_sequence)
        self._history_replayer = HistoryReplayer(journal, self.head.id_prefix, board, board_factory)
        open_candles = OpenCandleFrames(self.head, board, CandleAggregator() if candles is None else candles)
        self.steps: StepQueue = steps or (StepQueue() if live_hub is None else live_hub.steps)
        self._catch_up = catch_up = CatchUp(
            self.head, self._state_frames, self._event_window, self._history_replayer, open_candles=open_candles,
            channels=self.roster.channels, counters=counters, router=self._router, steps=self.steps,
        )  # fmt: skip
        self._candle_router = CandleRouter(self.head, open_candles, self._router.candle_tables, sender)
        self._pacer = Pacer(self.head, catch_up, open_candles, counters, sender)
        self._interval_holds = IntervalHolds()
        self.reader_admin: ReaderAdmin = ReaderAdmin(
            self.head, self.roster, self._router, self._interval_holds, max_lifetime_s=max_lifetime_s,
            primary=None if live_hub is None else live_hub.reader_admin,
        )  # fmt: skip
        self.reader_runner = ReaderRunner(catch_up, self._pacer, self.roster.channels, counters, self.close_reader)
        self._dispatcher = Dispatcher(
            self.roster, self._router, self._state_frames, self._candle_router, self.reader_admin, counters, sender
        )
        self._halted_symbols: list[str] = []
        if snapshot is not None:
            self._restore(snapshot)
        # Reserves room for the filters of the changed subscriptions in the next records (see `prepare`).
        self._reservations = ExitStack()
        self._applied_events, self._head_moved = 0, asyncio.Event()

    def _restore(self, snapshot: HubSnapshot) -> None:
        self.reader_admin.registry.restore(snapshot)
        self.head.unreadable = SequenceRange(*snapshot.unreadable)
        self.restore_status(snapshot)

    async def prepare(self, records: Sequence[JournalRecord]) -> None:
        """Test the patterns and filters that the next journal records need. Other tasks can run between the tests.

        The time of these tests grows with the number of new symbols, patterns and filters. The caller must then call
        `apply` with the same records, without an `await` between the two calls.
        """
        for _ in self.prepare_stepwise(records):
            await asyncio.sleep(0)

    def prepare_stepwise(self, records: Sequence[JournalRecord]) -> Iterator[None]:
        """Do the work of `prepare` in steps of a few milliseconds."""
        for record in records:
            if record.kind is RecordKind.NAMED_EVENT and (event := decode_named_event(record)).kind == ADMIN_EVENT_KIND:
                yield from self.reader_admin.prepare(event, self._reservations)
        if not self._router.tests_new_symbols:
            return
        ticks = [ticks_from_bytes(record.data) for record in records if record.kind is RecordKind.TICKS]
        symbols = self.board.new_symbols(symbol for batch in ticks for symbol in batch["symbol"].tolist())
        is_complete = not symbols
        while not is_complete:
            is_complete = True
            for _ in self._router.test_announced(symbols):
                # Other tasks run between these steps, and may add patterns and filters. These must be tested too.
                is_complete = False
                yield

    def apply(self, records: Iterable[JournalRecord], now: float, started_at_ns: int | None = None) -> FlushTimes:
        """Apply the next journal records to the board, and write their events to the live readers.

        `now` is monotonic, in seconds. Return how long each part of the work took. `started_at_ns` is the value of
        `perf_counter_ns` at the moment when the caller began to prepare the records. The preparation counts as work for
        the board.
        """
        # Read the clock twice for each record, because the work on the board and the work on the channels alternate.
        turned_at_ns = started_at_ns = time.perf_counter_ns() if started_at_ns is None else started_at_ns
        apply_ns = 0
        for record in records:
            item = apply_and_render(self.board, self.head.id_prefix, record)
            apply_ns += time.perf_counter_ns() - turned_at_ns
            self._event_window.append(item)
            self._applied_events += record.event_count
            self._dispatcher.flush_before(item, now)
            self.head.sequence = record.last
            if isinstance(item, RenderedUnreadable):
                self.head.unreadable = SequenceRange(item.first, item.last)
                self._counters.unreadable_events += record.event_count
            self._dispatcher.dispatch(item, now)
            turned_at_ns = time.perf_counter_ns()
        self._dispatcher.flush(now)
        flush_ns = time.perf_counter_ns() - turned_at_ns
        self._router.forget_announced()
        self._reservations.close()
        self._head_moved.set()
        return FlushTimes(apply_ns, turned_at_ns - started_at_ns - apply_ns, flush_ns)

    async def wait_until_applied(self, sequence: int) -> None:
        """Wait until the hub has applied every event up to `sequence`."""
        if self.head.sequence < sequence:
            await self.wait_until(lambda: self.head.sequence >= sequence)

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` returns True.

        The hub evaluates the condition again only after it has applied records.
        """
        while not condition():
            self._head_moved.clear()
            await self._head_moved.wait()

    def announce(self, entry: JournalEntry, now: float) -> None:
        """Send an event that is not in the journal to all readers on this process that subscribe to its kind.

        The event has no id. Until `withdraw` is called, new readers receive this event instead of the newest journaled
        event of the same kind. `now` is monotonic, in seconds.
        """
        item = render_unjournaled(entry, self.head.sequence)
        self._state_frames.announce(item)
        self._write_to_subscribers(item, now)

    def withdraw(self, entry: JournalEntry, now: float) -> None:
        """Withdraw the announced event of the same kind as `entry` (see `announce`).

        Send the newest journaled event of this kind to the readers that subscribe to the kind. If the journal has no
        such event, send the event in `entry` instead. `now` is monotonic, in seconds.
        """
        item = render_unjournaled(entry, self.head.sequence)
        self._write_to_subscribers(self._state_frames.withdraw(item.kind) or item, now)

    def journal_range(self) -> JournalRange:
        """Return the range of journal events at which a new reader can start."""
        return JournalRange(
            self.head.epoch, min(self._history_replayer.first, self.head.sequence + 1), self.head.sequence
        )

    def capture_snapshot(self, encode_candles: Callable[[], bytes] = bytes) -> Callable[[], bytes]:
        """Copy the state after event `head`, and return a function that encodes the copy as a snapshot.

        With 100,000 symbols, the copy takes about 20 ms, and a call of the function takes about 100 ms. Any thread may
        call the function. `encode_candles` returns the saved state of the candles.
        """
        create = self.reader_admin.registry.capture(
            self.board.capture(),
            encode_candles,
            self.halted_symbols,
            self._state_frames.save_status(),
            unreadable=self.head.unreadable,
        )
        return lambda: encode_hub_snapshot(create())

    @property
    def status(self) -> dict[str, Any] | None:
        """The data of the newest status event in the journal, or None before the first status event."""
        saved = self._state_frames.save_status()
        return None if saved is None else decode_json(saved.data, dict[str, Any])

    @property
    def halted_symbols(self) -> list[str]:
        """The symbols whose trading is halted, according to the newest status."""
        status = self.status
        if status is not None:
            self._halted_symbols = status.get("halted", [])
        return self._halted_symbols

    def restore_status(self, snapshot: HubSnapshot) -> None:
        """Restore the newest status event from a snapshot. Snapshots of older versions have only the halted symbols."""
        self._halted_symbols = snapshot.halted
        if snapshot.status is not None:
            self._state_frames.restore_status(snapshot.status)

    async def reserve_reader(
        self, requested: Subscription, start: StreamStart, identity: ReaderIdentity
    ) -> ExitStack | None:
        """Reserve room for the filter and the top-N screen of a stream that is about to open (see `reserve_screen`).

        Return None if the stream has neither a filter nor a top-N screen. First test the patterns of the stream (see
        `test_patterns`).
        """
        restricted = self._effective_subscription(requested, start, identity)[0]
        if restricted.patterns:
            await self.test_patterns(restricted)
        subscription = identity.rights.restrict(requested) if start.resume is None else restricted
        return await self.reserve_screen(subscription, identity.bearer) if subscription.is_screened else None

    async def test_patterns(self, subscription: Subscription) -> None:
        """Find the symbols that match the patterns of a subscription. Other tasks can run during the search."""
        for _ in subscription.test_patterns_stepwise(self.board.symbol_column):
            await asyncio.sleep(0)

    async def reserve_screen(self, subscription: Subscription, bearer: str | None) -> ExitStack:
        """Reserve room for a filter and a top-N screen in the index, and evaluate the filter for all symbols.

        `bearer` is the user, token or network address whose limits apply, or None if no limits apply. Other tasks can
        run during the evaluation. The caller must close the returned stack as soon as a reader uses the subscription,
        or when it is clear that no reader will use it. Raise ScreenLimitReached if the screen index has no room, and
        FilterShareExceeded if the filters of the bearer would exceed a limit.
        """
        self.roster.screen_shares.check(bearer, subscription)
        with ExitStack() as stack:
            self.roster.screen_shares.add(bearer, subscription)
            stack.callback(self.roster.screen_shares.remove, bearer, subscription)
            for _ in stack.enter_context(self._router.screen_router.reserve(subscription)):
                await asyncio.sleep(0)
            return stack.pop_all()

    def _effective_subscription(
        self, requested: Subscription, start: StreamStart, identity: ReaderIdentity
    ) -> tuple[Subscription, bool]:
        """Return the subscription that the reader receives, and whether it has an override that is new to the reader.

        An override is a changed subscription that replaces the requested one. The client's rights restrict the returned
        subscription. An override is new to a reader that resumes at a position before the change. Such a reader lacks
        the quotes of the changed subscription.
        """
        current, changed_at = self.reader_admin.registry.overrides.current_subscription(
            identity.client_id, identity.user_address, requested
        )
        return identity.rights.restrict(current), start.resume is not None and start.position < changed_at

    def open_reader(
        self,
        requested: Subscription,
        start: StreamStart,
        identity: ReaderIdentity,
        sink: Sink,
        *,
        coding: ContentCoding = IDENTITY,
    ) -> Reader:
        """Create a reader. The reader receives no events until the call of `run_reader`.

        The caller must then call `run_reader` or `close_reader`. Raise ScreenLimitReached if the screen index has no
        room for the filter (see `reserve_reader`).
        """
        subscription, has_new_override = self._effective_subscription(requested, start, identity)
        channel = self._router.find_or_create_channel(subscription)
        reader = Reader(
            channel,
            identity,
            sink,
            requested=channel.subscription if requested == channel.subscription else requested,
            encoder=self._encoders.encoder_for(coding, is_chunked=sink.is_chunked),
            position=start.position,
            needs_snapshot=start.snapshot,
        )
        # The snapshot is correct although unreadable events came before it, so the reader needs no gap event for them.
        reader.known_unreadable = self.head.unreadable.last if start.snapshot else start.position
        reader.start_position = self.head.sequence if start.snapshot else start.position
        # Do not send open candles that changed before the start to a reader that requested only events from now on.
        if start.resume is None and start.position == self.head.sequence:
            reader.candle_position = self.head.sequence
        if has_new_override:
            reader.pending_rows = self._router.matching_rows(channel)
        self.roster.add(reader, channel)
        return reader

    def run_reader(self, reader: Reader, on_end: Callable[[], None], gap: Gap | None = None) -> None:
        """Send events to a reader until its stream ends. Then close the reader, and call `on_end`.

        If `gap` (a range of events that the journal cannot provide) is given, first send a gap event for this range. If
        the caller is not a task, the method sends the events that are already in memory, and returns after that. The
        stream may end before the method returns.
        """
        reader.on_end = on_end
        self.reader_admin.dismiss_if_refused(reader)
        self.reader_runner.start(reader, gap)

    def close_reader(self, reader: Reader) -> None:
        """Remove a reader. Remove the reader's channel too if the channel has no other reader."""
        reader.close(CloseReason.LOST)
        self.sender.release(reader.sink)
        self.roster.channels[reader].count_conflated(reader)
        self.reader_admin.drop_if_empty(self.roster.remove(reader))

    async def listed_symbols(self) -> set[str]:
        """Return the symbols that the subscriptions of readers list by name.

        Other tasks can run while the method visits the channels.
        """
        listed = set[str]()
        for number, channel in enumerate([*self._router.channels.values()], 1):
            listed.update(channel.subscription.symbols)
            if number % _CHANNELS_PER_STEP == 0:
                await asyncio.sleep(0)
        return listed

    def count_recipients(self, kind: str, target: str | None) -> int:
        """Count the connected readers that would receive an event of this kind for the address `target`.

        If `target` is None, the event is for all readers.
        """
        return sum(
            kind in self.roster.channels[reader].subscription.events for reader in self.roster.find_readers(target)
        )

    def write_heartbeats(self, now: float, wall_time_us: int, max_silence_s: float) -> None:
        """Write a heartbeat to the readers of each channel that has written nothing for `max_silence_s`.

        `now` is monotonic, in seconds. `wall_time_us` is in microseconds since the Unix epoch.
        """
        heartbeat = HeartbeatFrames.encode(wall_time_us, str(self.head))
        self._interval_holds.write_heartbeats(heartbeat, now, max_silence_s, self.roster.channels)
        for channel in self._router.channels.values():
            if channel.last_write_at is None:
                channel.last_write_at = now
            elif (channel.live_readers or channel.joining_readers) and now - channel.last_write_at >= max_silence_s:
                channel.queue_unnumbered(heartbeat.frame_for(channel.subscription), now)
        self.sender.submit()

    def forget_closed_sinks(self) -> None:
        """Forget the sinks of closed streams that the sink tables still contain."""
        self._dispatcher.forget_closed_sinks()

    def flush_paced(self, now: float) -> float:
        """Flush the paced channels whose interval has passed, and write the open candles of all other channels.

        Return the number of seconds after which the caller should call again. `now` is monotonic, in seconds.
        """
        self._candle_router.write_open_candles(now)
        self._interval_holds.release_due(now)
        return self._pacer.flush_due(self._router.paced_channels, now)

    def stats(self) -> HubStats:
        """Return the current statistics."""
        counters, registry = self._counters, self.reader_admin.registry
        return HubStats(
            readers=len(self.roster),
            live_readers=sum(len(channel.live_readers) for channel in self._router.channels.values()),
            channels=len(self._router.channels),
            events=self._applied_events,
            ticks=counters.count_quotes(None),
            deliveries=counters.deliveries,
            bytes_sent=self._encoders.bytes_sent,
            stalls=counters.stalls,
            conflated_quotes=counters.conflated_quotes,
            gaps=counters.gaps,
            unreadable_gaps=self._catch_up.unreadable_gaps,
            unreadable_events=counters.unreadable_events,
            streams_opened=self.roster.opened_count,
            streams_closed=dict(self.roster.closed_by_reason),
            changed_subscriptions=len(registry.overrides),
            stored_subscriptions=len(registry.stored_subscriptions),
            revocations=len(registry.revoked_tokens),
            bytes_saved=self._encoders.bytes_saved,
            catch_up_times=counters.catch_up_times.counts(),
        )

    def _write_to_subscribers(self, item: RenderedNamedEvent, now: float) -> None:
        """Write an event without an id to all channels that subscribe to its kind."""
        for channel in self._router.channels.values():
            view = item.view_for_channel(channel)
            if view is not None:
                channel.queue_unnumbered(view.unnumbered_frame, now)
        self.sender.submit()
