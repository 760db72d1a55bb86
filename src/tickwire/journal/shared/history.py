"""Reads old events, which are no longer in memory, from the log on the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from tickwire.core.event import JournalRecord, RecordKind
from tickwire.errors import JournalUnavailable, JournalUnreadable
from tickwire.journal.codecs.commit import Commit, NumberedItem, number_items
from tickwire.journal.codecs.registry import decode_commit
from tickwire.journal.shared.log import LogRolledBack, LogState, SharedLog, StoredSnapshot
from tickwire.journal.shared.numbering import LogAnchor, MessageNumbering
from tickwire.journal.shared.sequence_index import SequenceIndex, find_last_true

# The largest number of messages per fetch. A replay of a recording stores 10,000 ticks in about twenty messages.
_MAX_FETCH_MESSAGES = 200


class LogPosition(NamedTuple):
    """The range of the events in a log at the time when the journal is opened.

    `first` is the sequence number of the oldest event. The journal begins to read the log at the position `start`.
    `anchors` contains known positions in the log. To find an older event, the journal reads from the nearest known
    position before the event. The log contained event `min_head` when the newest snapshot was saved.
    """

    start: LogAnchor
    first: int
    anchors: Sequence[LogAnchor]
    min_head: int


async def read_log_position(log: SharedLog, snapshots: Sequence[StoredSnapshot]) -> LogPosition:
    """Return the position at which a process starts to read the log: the position of the newest snapshot.

    Raise LogRolledBack if the log ends before this position.
    """
    anchors = [each.anchor for each in snapshots if each.anchor is not None]
    state = await log.read_state()
    if anchors and max(anchors).message > state.last_message + 1:
        raise LogRolledBack(
            f"the log on {log.server} ends at message {state.last_message}, but its newest snapshot contains later "
            "messages"
        )
    oldest = await find_oldest_anchor(log, state)
    known = [oldest, *sorted(anchor for anchor in anchors if anchor.message > oldest.message)]
    return LogPosition(known[-1], oldest.event, known, max((each.info.sequence for each in snapshots), default=0))


async def find_oldest_anchor(log: SharedLog, state: LogState) -> LogAnchor:
    """Return the position of the oldest message in the log.

    The oldest message that can be decoded contains the number of its first event. Each older message counts as one
    event. If no message has been deleted, the first event of the log has the number 1.
    """
    if not state.message_count:
        return LogAnchor(state.last_message + 1, 1)
    if state.first_message > 1:
        for number in range(state.first_message, state.last_message + 1):
            try:
                commit = decode_commit(await log.read_message(number))
            except JournalUnreadable:
                continue
            return LogAnchor(state.first_message, max(1, commit.first - (number - state.first_message)))
    return LogAnchor(state.first_message, 1)


class LogHistoryReader:
    """Reads events from a log. In all methods, the argument `messages` is the range of the existing message numbers.

    `sequence_index` contains known positions in the log. To find an event, the reader reads messages from the nearest
    known position before the event.
    """

    def __init__(self, log: SharedLog, sequence_index: SequenceIndex) -> None:
        self._log = log
        self._sequence_index = sequence_index

    async def read(self, after: int, messages: range, limit: int, kind: RecordKind | None) -> list[JournalRecord]:
        """Return the first records that contain events after event `after`.

        The method stops adding records when the result contains at least `limit` events, or after the newest record in
        the log. If `kind` is given, the result contains only records of this kind.
        """
        records: list[JournalRecord] = []
        events, start = 0, await self.find_message(after + 1, messages)
        async for _, commit in self._read_commits(start, messages, first_count=1):
            wanted = [part.record for part in number_items(commit) if part.span.last > after]
            wanted = [record for record in wanted if kind is None or record.kind == kind]
            records += wanted
            events += sum(record.event_count for record in wanted)
            if events >= limit:
                break
        return _limit_records(records, limit)

    async def find_sequence_before(self, ts: int, messages: range) -> int:
        """Return the sequence number of the last event that was appended before `ts`.

        Return 0 if there is no such event.
        """

        async def starts_before(message: int) -> bool:
            # A message that cannot be decoded has no time. So use the time of the nearest earlier message that can be
            # decoded.
            for number in range(message, messages.start - 1, -1):
                try:
                    return decode_commit(await self._log.read_message(number)).items[0].ts < ts
                except JournalUnreadable:
                    continue
            return True

        message = await find_last_true(messages.start, messages.stop - 1, starts_before)
        if message < messages.start:
            return 0
        start = self._sequence_index.anchor_of_message(message)
        last = start.event - 1
        async for number, commit in self._read_commits(start, range(messages.start, message + 1)):
            if number < message:
                last = commit.last
                continue
            for part in number_items(commit):
                if part.record.kind is RecordKind.UNREADABLE or part.item.ts < ts:
                    last = part.span.last
        return last

    async def read_item(self, message: int, source: str, messages: range) -> NumberedItem | None:
        """Return the entry of `source` in the message with the number `message`.

        Return None if `messages` (the existing messages) does not contain the message, if the message is unreadable, or
        if its entry has another source.
        """
        if message not in messages:
            return None
        start = self._sequence_index.anchor_of_message(message)
        async for number, commit in self._read_commits(start, range(messages.start, message + 1)):
            items = number_items(commit)
            if number == message and items[0].record.kind is not RecordKind.UNREADABLE:
                return items[0] if items[0].item.source == source else None
        return None

    async def find_message(self, event: int, messages: range) -> LogAnchor:
        """Return the position of the message that contains event `event`.

        If the event is older than all messages, return the position of the oldest message. If the event is newer than
        all messages, return the position after the last message.
        """
        start = self._sequence_index.anchor_of_event(event)
        async for message, commit in self._read_commits(start, messages):
            if commit.last >= event:
                return LogAnchor(message, commit.first)
            start = LogAnchor(message + 1, commit.last + 1)
        return start

    async def _read_commits(
        self, start: LogAnchor, messages: range, *, first_count: int = _MAX_FETCH_MESSAGES
    ) -> AsyncIterator[tuple[int, Commit]]:
        """Yield the commits from the position `start` on, each with the number of its message.

        The first fetch requests `first_count` messages, and each later fetch requests more messages than the previous
        fetch.
        """
        numbering, count = MessageNumbering(start), first_count
        while numbering.message in messages:
            last = min(numbering.message + count, messages.stop) - 1
            stored = await self._log.read_messages(numbering.message, last)
            if not stored:
                raise JournalUnavailable(f"{self._log.server} does not send message {numbering.message} of the journal")
            for each in stored:
                commits = numbering.read(each.number, each.data)
                self._sequence_index.add(LogAnchor(each.number, commits[-1].first))
                for commit in commits:
                    yield each.number, commit
            count = min(count * 4, _MAX_FETCH_MESSAGES)


def _limit_records(records: list[JournalRecord], limit: int) -> list[JournalRecord]:
    """Return the first records in `records`, up to the record at which the number of events reaches `limit`.

    If `records` contains fewer than `limit` events, return all records.
    """
    events = 0
    for index, record in enumerate(records):
        events += record.event_count
        if events >= limit:
            return records[: index + 1]
    return records
