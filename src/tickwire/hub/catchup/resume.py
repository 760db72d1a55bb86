"""Decides where a stream starts: with a snapshot, after an event id, or at an earlier time.

All functions are pure: they perform no I/O.
"""

from __future__ import annotations

import msgspec

from tickwire.core.event_id import EventId, parse_event_id
from tickwire.core.timestamps import timestamp_hint
from tickwire.errors import InputError
from tickwire.hub.fanout.gap import Gap, GapReason
from tickwire.sessions.subscription import Subscription


class ResumeResult(msgspec.Struct, frozen=True, rename={"start": "from"}):
    """The result of a resume, as the welcome event describes it.

    `asked` is the event id or time that the client requested. The stream continues with the events after id `start`. If
    `complete` is False, the reader misses some events, and `reason` is the cause.
    """

    asked: str
    start: str
    complete: bool
    reason: GapReason | None


class JournalRange(msgspec.Struct, frozen=True):
    """The range of readable journal events at one moment: sequence numbers `first` to `head` of one `epoch`.

    An epoch is a random name that identifies a history of the journal. Sequence numbers of different epochs are not
    comparable.
    """

    epoch: str
    first: int
    head: int

    def may_expire_soon(self, sequence: int) -> bool:
        """Whether an event is in the older half of the journal and may therefore expire soon."""
        return sequence < (self.first + self.head) // 2

    def event_id(self, sequence: int) -> str:
        """Return the event id as clients see it: the epoch, a dash, and the sequence number."""
        return str(EventId(self.epoch, sequence))


class StreamStart(msgspec.Struct, frozen=True):
    """The start of a stream.

    If `snapshot` is True, the stream starts with a snapshot of the current state, and continues with the later events.
    In this case, `position` is 0. If `snapshot` is False, the stream starts with the events after `position`.
    """

    position: int
    snapshot: bool
    resume: ResumeResult | None = None
    gap: Gap | None = None


def start_fresh(journal_range: JournalRange, *, needs_snapshot: bool) -> StreamStart:
    """Return the start of a stream whose request names no earlier event or time.

    If `needs_snapshot` is True, the stream starts with a snapshot of the current state. Otherwise, the stream contains
    only the events from now on.
    """
    return StreamStart(position=0 if needs_snapshot else journal_range.head, snapshot=needs_snapshot)


def start_at_earliest(journal_range: JournalRange, subscription: Subscription) -> StreamStart:
    """Return the start of a stream that begins with the oldest event in the journal.

    A stream with `delivery=latest` begins with a snapshot of the current state instead.
    """
    if subscription.delivery == "latest":
        return StreamStart(position=0, snapshot=True)
    return StreamStart(position=journal_range.first - 1, snapshot=False)


def start_after(journal_range: JournalRange, requested: EventId, subscription: Subscription) -> StreamStart:
    """Return the start of a stream for a client that has received every event up to the id `requested`.

    In two cases, the stream starts with a gap event and the whole state. In the first case, `requested` belongs to
    another epoch (another history of the journal) or has not been assigned to an event yet. In the second case, the
    events after `requested` have expired, and the client must receive every event because it has `delivery=all` or
    subscribes to statuses, messages or candles. Any other client receives no gap event for expired events, because the
    newest quotes replace the expired quotes.
    """
    if requested.epoch != journal_range.epoch or requested.sequence > journal_range.head:
        return _start_after_gap(journal_range, requested, "epoch")
    if requested.sequence < journal_range.first - 1:
        if subscription.delivery == "all" or subscription.lossless_kinds:
            return _start_after_gap(journal_range, requested, "expired")
        resume = ResumeResult(str(requested), str(requested), complete=True, reason=None)
        return StreamStart(position=0, snapshot=False, resume=resume)
    resume = ResumeResult(str(requested), str(requested), complete=True, reason=None)
    return StreamStart(position=requested.sequence, snapshot=False, resume=resume)


def start_since(journal_range: JournalRange, text: str, subscription: Subscription) -> StreamStart:
    """Return the start of a stream with the parameter `since`. `text` is its value: `earliest` or an event id.

    Raise InputError for any other text. For a time, call `start_since_time` instead.
    """
    if text == "earliest":
        return start_at_earliest(journal_range, subscription)
    try:
        return start_after(journal_range, parse_event_id(text, field="since"), subscription)
    except InputError as error:
        raise InputError(
            f"since={text[:40]!r} is neither 'earliest' nor an event id nor a time",
            field="since",
            hint=timestamp_hint(text, "since"),
        ) from error


def start_since_time(journal_range: JournalRange, text: str, sequence: int) -> StreamStart:
    """Return the start of a stream that begins after event `sequence`.

    This event is the last event before the requested time `text`.
    """
    position = max(sequence, journal_range.first - 1)
    is_complete = sequence >= journal_range.first or journal_range.first == 1
    resume = ResumeResult(
        text, journal_range.event_id(position), complete=is_complete, reason=None if is_complete else "expired"
    )
    return StreamStart(position=position, snapshot=False, resume=resume)


def _start_after_gap(journal_range: JournalRange, requested: EventId, reason: GapReason) -> StreamStart:
    head = journal_range.event_id(journal_range.head)
    resume = ResumeResult(str(requested), head, complete=False, reason=reason)
    return StreamStart(position=0, snapshot=True, resume=resume, gap=Gap(str(requested), head, reason))
