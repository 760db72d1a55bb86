"""Finds the quotes that changed after a journal position, and renders them as frames in the order of ids."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tickwire.core.arrays import Ints, RowArray
from tickwire.hub.fanout.channel import Channel, NumberedEvent
from tickwire.hub.fanout.router import Router
from tickwire.hub.fanout.screen_router import enter_frames, leave_frames, matches_frame
from tickwire.hub.fanout.state_frames import StateFrames
from tickwire.sse.frame import strip_frame_id

# The maximum number of pending rows in one check. A pending row is the board row of a symbol that a changed
# subscription added. A check of fewer rows would take about the same time.
_PENDING_ROWS_PER_CHECK = 1_024
# The maximum number of rows in a change plan (see `_ChangePlan`). The creation of a plan takes one search through all
# symbols of the channel. A full plan has rows for about 250 batches.
_MAX_PLANNED_ROWS = 4_096
# The maximum number of stored change plans. A plan occupies at most 64 KB.
_MAX_PLANS = 64


class _ChangePlan(NamedTuple):
    """The changed board rows (one row per symbol) of a channel, in the order of their last changes.

    The last change of each row is after event `after`, but not after event `target`. `sequences` contains the sequence
    number of each last change. Readers of the channel whose positions are in this range share the plan. Without the
    plan, every batch of quotes would need a search through all symbols.
    """

    after: int
    target: int
    rows: RowArray
    sequences: Ints


class StateChanges:
    """Finds and renders the newest quotes of a channel, and the symbols that match the channel's filter."""

    def __init__(self, state_frames: StateFrames, router: Router) -> None:
        self._state_frames = state_frames
        self._board = state_frames.board
        self._router = router
        # Maps each channel to its newest change plan (the changed board rows of the channel). The oldest plan is first.
        self._plans: OrderedDict[Channel, _ChangePlan] = OrderedDict()

    def changed_frames(self, channel: Channel, after: int, events: Sequence[NumberedEvent]) -> tuple[list[bytes], int]:
        """Return a pair: frames in the order of their ids, and the number of quotes among them.

        The frames contain `events` and all quotes of the channel that changed after event `after`.
        """
        rows = self._sort_by_sequence(self._changed_rows(channel, after))
        return self._merge_frames(channel, rows, events), len(rows)

    def first_changed_frames(
        self, channel: Channel, after: int, target: int, events: Sequence[NumberedEvent], *, limit: int
    ) -> tuple[list[bytes], int, int]:
        """Return frames in the order of ids, the number of quotes among the frames, and a sequence number.

        The frames contain the quotes of the channel whose last change is after event `after` and not after event
        `target`. If there are more than `limit` such quotes, the frames contain only the quotes with the oldest
        changes. The returned sequence number is the position of a reader that has received the frames. The frames also
        contain the elements of `events` up to this position.
        """
        rows, end_position = self._first_changed_rows(channel, after, target, limit)
        events = [event for event in events if event.first <= end_position]
        return self._merge_frames(channel, rows, events), len(rows), end_position

    def flush_frames(self, channel: Channel) -> tuple[list[bytes], int]:
        """Return a pair: the frames for the next flush of a paced channel, and the number of quotes among them.

        A paced channel writes only once per interval, in a flush.
        """
        if not channel.sends_screen_events and channel.ranking is None:
            return self.changed_frames(channel, channel.position, channel.pending_events)
        before, now = channel.screen_rows or frozenset(), self.update_screen_rows(channel)
        quotes = self._changed_rows(channel, channel.position).tolist()
        rows = [*{*quotes, *(now ^ before)}]
        frames = dict(zip(rows, self._state_frames.quote_frames(rows, channel.subscription.fields), strict=True))
        numbered = list[tuple[int, bytes]]()
        for row in rows:
            sequence = int(self._board.sequences[row])
            changes = _screen_change_frames(channel, row, self._board.symbols[row], frames[row], before)
            # In a top-N screen, a symbol can enter or leave without a new quote of its own, because another symbol
            # leaves or enters.
            if sequence <= channel.position:
                changes = [_without_id(frame) for frame in changes]
            numbered.append((sequence, b"".join(changes)))
        numbered += [(event.first, event.frame) for event in channel.pending_events]
        quote_count = len(quotes) if channel.ranking is None else self._count_changed(before, channel.position)
        return [frame for _, frame in sorted(numbered) if frame], quote_count

    def update_screen_rows(self, channel: Channel) -> frozenset[int]:
        """Find the board rows (one row per symbol) that are in the screen of a paced channel now.

        Store the rows in the channel, and return them.
        """
        if channel.ranking is not None:
            rows = frozenset(self._router.matching_rows(channel).tolist())
            channel.replace_ranked_rows(rows)
            return rows
        if channel.screen_rows is None:
            channel.screen_rows = frozenset(self._router.matching_rows(channel).tolist())
        else:
            changed = self._rows_after(channel, channel.position)
            matching = self._router.match_rows(channel, changed).tolist()
            channel.screen_rows = channel.screen_rows.difference(changed.tolist()).union(matching)
        return channel.screen_rows

    def screen_matches(self, channel: Channel) -> bytes:
        """Return the frame of a `matches` event with all symbols in the channel's screen.

        The best symbol of a top-N screen comes first. Return empty bytes if the channel sends no screen events.
        """
        if not channel.sends_screen_events:
            return b""
        symbols, router = self._board.symbols, self._router
        is_ranked = channel.ranking is not None
        rows = router.screen_router.ranked_rows(channel) if is_ranked else router.matching_rows(channel)
        return matches_frame(channel, [symbols[row] for row in rows.tolist()])

    def unchanged_ranked_frames(self, channel: Channel, position: int) -> bytes:
        """Return the quotes of a top-N screen that have not changed after event `position`, without ids.

        A symbol can enter a top-N screen without a new quote, so a reader at this position may lack the symbol's quote.
        Return empty bytes for any other channel, and for a new reader (position 0), which lacks all quotes.
        """
        if channel.ranking is None or not channel.sends_quotes or not position:
            return b""
        rows = self._router.matching_rows(channel)
        rows = rows[self._board.sequences[rows] <= position]
        frames = self._state_frames.quote_frames(rows.tolist(), channel.subscription.fields)
        return b"".join(map(strip_frame_id, frames))

    def first_pending_rows(
        self, channel: Channel, pending_rows: RowArray, position: int, *, limit: int
    ) -> tuple[RowArray, RowArray]:
        """Return a pair: the pending rows to send next, and the pending rows that remain.

        A pending row is the board row of a symbol that a changed subscription added. The rows to send (at most `limit`)
        match the channel's filter, and have not changed since event `position`.
        """
        sequences, rows = self._board.sequences, pending_rows[:0]
        while not len(rows) and len(pending_rows):
            rows, pending_rows = pending_rows[:_PENDING_ROWS_PER_CHECK], pending_rows[_PENDING_ROWS_PER_CHECK:]
            rows = self._router.match_rows(channel, rows[sequences[rows] <= position])
        return rows[:limit], np.concatenate([rows[limit:], pending_rows])

    def _changed_rows(self, channel: Channel, after: int) -> RowArray:
        """Return the board rows of the channel whose quotes changed after event `after`, in any order."""
        if not channel.sends_quotes:
            return np.empty(0, np.intp)
        if channel.ranking is not None:
            rows = self._router.matching_rows(channel)
            return rows[self._board.sequences[rows] > after]
        return self._router.match_rows(channel, self._rows_after(channel, after))

    def _count_changed(self, rows: frozenset[int], after: int) -> int:
        """Return how many of the board rows in `rows` have a quote that changed after event `after`."""
        return int(np.count_nonzero(self._board.sequences[[*rows]] > after))

    def _rows_after(self, channel: Channel, after: int) -> RowArray:
        """Return the board rows of the channel's symbols that changed after event `after`, in ascending order."""
        rows = self._router.channel_rows(channel)
        return rows[self._board.sequences[rows] > after]

    def _sort_by_sequence(self, rows: RowArray) -> RowArray:
        return rows[np.argsort(self._board.sequences[rows])]

    def _first_changed_rows(self, channel: Channel, after: int, target: int, limit: int) -> tuple[RowArray, int]:
        """Return board rows of the channel, and a sequence number, which is at most `target`.

        The last change of each returned row is after event `after`, but not after the returned sequence number. The
        rows are in the order of their changes. If there are more than `limit` such rows, return only the rows with the
        oldest changes.
        """
        if after >= target:
            return np.empty(0, np.intp), target
        plan = self._plans.get(channel)
        if plan is None or not plan.after <= after < plan.target:
            plan = self._plan_changes(channel, after, target)
        begin, end = np.searchsorted(plan.sequences, (after, target), "right")
        rows, sequences = plan.rows[begin:end], plan.sequences[begin:end]
        # Skip rows that have changed since the plan was made. A later batch contains their newest quotes.
        unchanged = np.flatnonzero(self._board.sequences[rows] == sequences)
        if len(unchanged) <= limit:
            return rows[unchanged], min(target, plan.target)
        return rows[unchanged[:limit]], int(sequences[unchanged[limit - 1]])

    def _plan_changes(self, channel: Channel, after: int, target: int) -> _ChangePlan:
        rows = self._changed_rows(channel, after)
        sequences = self._board.sequences[rows]
        is_due = sequences <= target
        rows, sequences = rows[is_due], sequences[is_due]
        # `argpartition` selects the rows with the oldest changes faster than a full sort.
        if len(rows) > _MAX_PLANNED_ROWS:
            first = np.argpartition(sequences, _MAX_PLANNED_ROWS - 1)[:_MAX_PLANNED_ROWS]
            rows, sequences = rows[first], sequences[first]
            target = int(sequences.max())
        order = np.argsort(sequences)
        plan = self._plans[channel] = _ChangePlan(after, target, rows[order], sequences[order])
        self._plans.move_to_end(channel)
        if len(self._plans) > _MAX_PLANS:
            self._plans.popitem(last=False)
        return plan

    def _merge_frames(self, channel: Channel, rows: RowArray, events: Sequence[NumberedEvent]) -> list[bytes]:
        """Return the quote frames of `rows` and the frames of `events` in one list, in the order of their ids."""
        frames = self._state_frames.quote_frames(rows.tolist(), channel.subscription.fields)
        if not events:
            return frames
        sequences = self._board.sequences[rows].tolist()
        numbered = [*zip(sequences, frames, strict=True), *((event.first, event.frame) for event in events)]
        return [frame for _, frame in sorted(numbered)]


def _screen_change_frames(
    channel: Channel, row: int, symbol: str, quote: bytes, previous_rows: frozenset[int]
) -> list[bytes]:
    """Return the frames that report a change of the quote of `symbol` to readers.

    If the symbol began or stopped matching the channel's filter, the frames include an `enter` or a `leave` event.
    """
    if not channel.sends_screen_events:
        return [quote] if row in (channel.screen_rows or ()) else []
    if row not in (channel.screen_rows or ()):
        return leave_frames(channel, symbol, quote)
    return [quote] if row in previous_rows else enter_frames(channel, symbol, quote)


def _without_id(frame: bytes) -> bytes:
    return strip_frame_id(frame) if frame.startswith(b"id: ") else frame
