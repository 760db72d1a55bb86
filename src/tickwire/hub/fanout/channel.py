"""A channel: all readers with equal subscriptions.

The channel joins its frames into one block of bytes, and sends the same block to every reader.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from tickwire.core.arrays import RowArray
from tickwire.core.close_reasons import CloseReason
from tickwire.core.codec import encode_json
from tickwire.core.event_kinds import EventKind
from tickwire.hub.fanout.counters import HubCounters
from tickwire.hub.fanout.encoder import Encoder
from tickwire.hub.fanout.position import HubPosition
from tickwire.hub.fanout.readable_symbols import ReadableSymbols
from tickwire.hub.fanout.reader import RECONNECT_DELAY_MS, Reader
from tickwire.hub.fanout.reader_state import ReaderState
from tickwire.hub.fanout.sender import MAX_SINKS_PER_GROUP, Sender, SinkGroup
from tickwire.hub.fanout.sink import Sink
from tickwire.sessions.subscription import Subscription
from tickwire.sse.compression import IDENTITY


class NumberedEvent(Protocol):
    """An event as a frame, with its sequence number."""

    @property
    def first(self) -> int:
        """The sequence number of the event."""
        ...

    @property
    def frame(self) -> bytes:
        """The encoded event with its id."""
        ...


class EncodedGroup(NamedTuple):
    """The live readers of a channel that have the same encoder. `sinks` is the group of their sinks."""

    encoder: Encoder
    reader_count: int
    sinks: SinkGroup


class Channel:
    """All readers with the same subscription, and the frames to write at the next flush.

    If the tokens of the readers have a filter, the router sets `readable`, which tests the filter.

    `rows` are the board rows of the channel's symbols (one row per symbol); the router updates `rows`. `reader_count`
    counts all readers. `live_readers` have received all events up to the channel's position, and the channel writes to
    them. A paced channel writes once per interval; its `joining_readers` become live at the next flush. All other
    readers of the channel are catching up.
    """

    __slots__ = (
        "_changed_numbers",
        "_counted_quotes",
        "_counters",
        "_groups",
        "_head",
        "_number",
        "_row_array",
        "_sender",
        "_welcome_json",
        "candle_interval_s",
        "candle_position",
        "eligible_quotes_at_flush",
        "filter_json",
        "flush_due_at",
        "is_paced",
        "joining_readers",
        "last_write_at",
        "live_readers",
        "matched_quotes",
        "open_candles_due_at",
        "pending_events",
        "pending_frames",
        "position",
        "ranking",
        "readable",
        "reader_count",
        "rows",
        "screen",
        "screen_rows",
        "sends_only_quotes",
        "sends_quotes",
        "sends_screen_events",
        "skipped_quotes",
        "subscription",
        "takes_all_symbols",
    )

    def __init__(self, subscription: Subscription, head: HubPosition, counters: HubCounters, sender: Sender) -> None:
        self._head = head
        self._counters = counters
        self._sender = sender
        # The live readers of each encoder, grouped for the sender; None after the set of live readers has changed.
        self._groups: list[EncodedGroup] | None = None
        # The set that collects the number of this channel after each change of its live readers (see `report_changes`).
        self._changed_numbers: set[int] | None = None
        self._number = -1
        self._welcome_json: dict[bool, msgspec.Raw] = {}
        # The newest result of `count_eligible_quotes`, after the numbers of quotes and rows for which it is valid.
        self._counted_quotes: tuple[tuple[int, int], int] | None = None
        self.subscription = subscription
        self.takes_all_symbols = subscription.includes_all_symbols
        self.rows: set[int] = set()
        # The elements of `rows` in ascending order, or None after a change of `rows`.
        self._row_array: RowArray | None = None
        self.sends_quotes = EventKind.QUOTE in subscription.events
        self.candle_interval_s = subscription.candle_interval_s
        self.sends_only_quotes = subscription.events == (EventKind.QUOTE,) and not subscription.is_screened
        self.screen = subscription.screen
        self.ranking = subscription.ranking
        self.readable: ReadableSymbols | None = None
        self.filter_json = encode_json(None if self.screen is None else str(self.screen))
        self.sends_screen_events = subscription.is_screened and EventKind.SCREEN in subscription.events
        # The number of quotes so far that matched the channel's filter (for a top-N screen, see `replace_ranked_rows`).
        self.matched_quotes = 0

        self.reader_count = 0
        self.live_readers: dict[Reader, None] = {}
        self.joining_readers: dict[Reader, None] = {}
        self.pending_frames: list[bytes] = []
        # The time of the last write, in monotonic seconds; None before the first write.
        self.last_write_at: float | None = None
        # Live readers have received the open candles up to the event with this sequence number.
        self.candle_position = head.sequence

        # The fields below describe paced channels only. Times are monotonic seconds.
        self.is_paced = subscription.interval_ms > 0
        self.flush_due_at = 0.0
        # From the last flush: the hub's position, the result of `count_eligible_quotes`, and the rows of the screen.
        self.position = head.sequence
        self.eligible_quotes_at_flush = 0
        self.screen_rows: frozenset[int] | None = None
        # The number of quotes that newer quotes replaced before a flush.
        self.skipped_quotes = 0
        # Statuses, messages and closed candles that wait for the next flush.
        self.pending_events: list[NumberedEvent] = []
        # A channel with a short interval receives no open candles before this time.
        self.open_candles_due_at = 0.0

    def describe_for_welcome(self, *, needs_snapshot: bool) -> msgspec.Raw:
        """Return the subscription as the JSON object of the welcome event, encoded once for all readers."""
        encoded = self._welcome_json.get(needs_snapshot)
        if encoded is None:
            description = {**self.subscription.describe(), "snapshot": needs_snapshot}
            encoded = self._welcome_json[needs_snapshot] = msgspec.Raw(encode_json(description))
        return encoded

    def add_rows(self, rows: Iterable[int]) -> None:
        """Add board rows to the channel."""
        self.rows.update(rows)
        self._row_array = None

    @property
    def row_array(self) -> RowArray:
        """The board rows of the channel's symbols (one row per symbol), in ascending order."""
        if self._row_array is None:
            self._row_array = np.sort(np.fromiter(self.rows, np.intp, len(self.rows)))
        return self._row_array

    def includes_row(self, row: int) -> bool:
        """Whether the channel subscribes to the symbol of this board row."""
        return self.takes_all_symbols or row in self.rows

    def select_symbols(self, symbols: frozenset[str]) -> list[str]:
        """Return the symbols among `symbols` about which the readers may receive events now, in alphabetical order."""
        selected = self.subscription.select(symbols)
        return selected if self.readable is None else self.readable.select(selected)

    def count_eligible_quotes(self) -> int:
        """Return the number of quotes since the channel was created that its readers could receive.

        The number includes quotes that newer quotes replaced.
        """
        if not self.subscription.wants_quotes:
            return 0
        if self.ranking is not None:
            return self.matched_quotes + self._counters.count_quotes(self.screen_rows or ())
        if self.screen is not None:
            return self.matched_quotes
        if self.takes_all_symbols:
            return self._counters.count_quotes(None)
        # A channel only gains rows, so an equal number of rows means equal rows.
        counted_at = self._counters.count_quotes(None), len(self.rows)
        if self._counted_quotes is None or self._counted_quotes[0] != counted_at:
            self._counted_quotes = counted_at, self._counters.count_quotes(self.rows)
        return self._counted_quotes[1]

    def replace_ranked_rows(self, rows: frozenset[int]) -> None:
        """Store the board rows that are in the top-N screen now. From now on, the quotes of these rows are eligible.

        The number of eligible quotes so far is `matched_quotes` plus the number of all quotes of the stored rows. The
        method changes `matched_quotes` so that the new rows leave this number unchanged.
        """
        self.matched_quotes += self._counters.count_quotes(self.screen_rows or ()) - self._counters.count_quotes(rows)
        self.screen_rows = rows

    def count_stall(self) -> None:
        """Count one stall: the send buffer of a reader became full."""
        self._counters.stalls += 1

    def join(self, reader: Reader) -> None:
        """Add a reader that has caught up. In a paced channel, the reader becomes live at the next flush."""
        if self.is_paced:
            reader.enter(ReaderState.ARRIVING)
            self.joining_readers[reader] = None
        else:
            self.add_live_reader(reader)

    def leave(self, reader: Reader) -> None:
        """Stop writing to the reader. The reader then catches up from the position of the channel."""
        reader.enter(ReaderState.CATCHING_UP)
        if self.joining_readers.pop(reader, reader) is None:
            return
        if self.live_readers.pop(reader, reader) is None:
            reader.position = self.position if self.is_paced else self._head.sequence
            reader.quotes_due_at = self.flush_due_at
            # Skip the count if the stream ends. The count has no use then, and would take long if thousands of readers
            # left at the same time.
            if reader.close_reason is None:
                reader.eligible_quotes_at_leave = (
                    self.eligible_quotes_at_flush if self.is_paced else self.count_eligible_quotes()
                )
            reader.conflated_quotes += self.skipped_quotes - reader.channel_skipped_at_join
            reader.candle_position = max(reader.candle_position, self.candle_position)
            self._forget_groups()

    def add_live_reader(self, reader: Reader) -> None:
        """Add a reader to the live readers, to which the channel writes its events.

        The reader must have received exactly the events up to the channel's position.
        """
        reader.enter(ReaderState.LIVE)
        self.count_conflated(reader)
        reader.channel_skipped_at_join = self.skipped_quotes
        self.live_readers[reader] = None
        self._forget_groups()

    def count_conflated(self, reader: Reader) -> None:
        """Count the quotes that a reader did not receive during its catch-up, because newer quotes replaced them."""
        if reader.eligible_quotes_at_leave is not None and self.subscription.delivery == "latest":
            replaced = max(
                0, self.count_eligible_quotes() - reader.eligible_quotes_at_leave - reader.quotes_sent_since_leave
            )
            reader.conflated_quotes += replaced
            self._counters.conflated_quotes += replaced
        reader.eligible_quotes_at_leave, reader.quotes_sent_since_leave = None, 0

    def count_skipped(self, quotes: int) -> None:
        """Count quotes that a paced channel skipped because newer quotes replaced them before the flush."""
        self.skipped_quotes += quotes
        self._counters.conflated_quotes += quotes * len(self.live_readers)

    def flush(self, now: float) -> None:
        """Write the pending frames to every live reader. `now` is monotonic, in seconds."""
        self.queue_pending(now)
        self._sender.submit()

    def queue_pending(self, now: float) -> None:
        """Queue the pending frames for every live reader. The caller must then call `submit` of the sender."""
        pending = self.pending_frames
        if pending and self.live_readers:
            self._counters.deliveries += len(pending) * len(self.live_readers)
            self.queue(pending[0] if len(pending) == 1 else b"".join(pending), now)
        pending.clear()

    def queue(self, body: bytes, now: float) -> None:
        """Queue the frames in `body` for every live reader. The caller must then call `submit` of the sender."""
        self.last_write_at = now
        if self._groups is None:
            self._groups = self._create_groups()
        for encoder, reader_count, group in self._groups:
            group.queue(encoder.encode(body, reader_count))

    def queue_unnumbered(self, body: bytes, now: float) -> None:
        """Queue frames without ids for every live reader, and write them to every joining reader.

        The caller must then call `submit` of the sender.
        """
        self.queue(body, now)
        # Iterate over a copy, because a reader whose send buffer becomes full leaves the dict during the loop.
        for reader in list(self.joining_readers):
            reader.write(body)

    def group_of_few_readers(self) -> EncodedGroup | None:
        """Return the group of the live readers, if the sender may join the frames for each reader separately.

        Return None if there are no live readers, or more than MAX_SINKS_PER_GROUP. Also return None if the readers have
        different encoders, or if their streams are compressed.
        """
        if self._groups is None:
            self._groups = self._create_groups()
        if len(self._groups) != 1:
            return None
        group = self._groups[0]
        return group if group.reader_count <= MAX_SINKS_PER_GROUP and group.encoder.coding is IDENTITY else None

    def disconnect_all(self) -> None:
        """Disconnect all live and joining readers, because their frames could not be rendered. The clients can resume.

        If the readers stayed connected, they would miss the frames without any notice. The server keeps running, so
        that the failure does not affect the readers of other channels.
        """
        self.pending_frames.clear()
        self.pending_events = []
        for reader in (*self.live_readers, *self.joining_readers):
            reader.disconnect(CloseReason.ERROR, RECONNECT_DELAY_MS)

    def report_changes(self, changed_numbers: set[int], number: int) -> None:
        """From now on, each change of the live readers adds `number` to the set `changed_numbers`."""
        self._changed_numbers, self._number = changed_numbers, number

    def _forget_groups(self) -> None:
        self._groups = None
        if self._changed_numbers is not None:
            self._changed_numbers.add(self._number)

    def _create_groups(self) -> list[EncodedGroup]:
        sinks_by_encoder: dict[Encoder, list[Sink]] = {}
        for reader in self.live_readers:
            sinks_by_encoder.setdefault(reader.encoder, []).append(reader.sink)
        return [
            EncodedGroup(encoder, len(sinks), self._sender.create_group(sinks))
            for encoder, sinks in sinks_by_encoder.items()
        ]
