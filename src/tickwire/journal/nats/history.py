"""Reading what is older than this process has in memory."""

from __future__ import annotations

from collections.abc import Sequence

from tickwire.core.event import Kind, Record, Span
from tickwire.journal.nats.commit import Commit, Part, parts
from tickwire.journal.nats.fetch import fetch, get_message
from tickwire.journal.nats.link import Link, Refused, is_missing
from tickwire.journal.nats.places import Places, last_where
from tickwire.journal.nats.stream import commit_at
from tickwire.journal.nats.wire.forms import decode

_AT_ONCE = 200  # messages fetched together; a helping of 10,000 ticks is twenty of a replay's


class History:
    """The stream's past. The arguments `first` and `last` are the messages that are there."""

    def __init__(self, link: Link, places: Places) -> None:
        self._link = link
        self._places = places

    async def read(self, after: int, messages: range, limit: int, kind: Kind | None) -> list[Record]:
        """Whole records with `last > after`, until they hold `limit` events or the messages end."""
        found: list[Record] = []
        events, message, count = 0, await self.message_of(after + 1, messages), 1
        while message in messages and events < limit:
            count = min(count, _AT_ONCE, messages.stop - message)
            for commit in await self._commits(message, count):
                taken = [part.record for part in parts(commit) if part.span.last > after]
                taken = [record for record in taken if kind is None or record.kind == kind]
                found += taken
                events += sum(record.count for record in taken)
            message += count
            count *= 4
        return _cut(found, limit)

    async def message_of(self, event: int, messages: range) -> int:
        """The message that holds an event, or the first one if it is older."""
        low, high = self._places.around(event, messages.start, messages.stop - 1)

        async def begins_before(message: int) -> bool:
            commit = await commit_at(self._link, message)
            self._places.add(commit.first, message)
            return commit.first <= event

        return max(low, await last_where(low + 1, high, begins_before))

    async def find(self, ts: int, messages: range) -> int:
        """The last event taken before `ts`; 0 for none."""

        async def begins_before(message: int) -> bool:
            return (await commit_at(self._link, message)).items[0].ts < ts

        message = await last_where(messages.start, messages.stop - 1, begins_before)
        if message < messages.start:
            return 0
        earlier = [part for part in parts(await commit_at(self._link, message)) if part.item.ts < ts]
        return earlier[-1].span.last

    async def keyed(self, subject: str) -> Part | None:
        """The newest entry with a key on a subject or a pattern of subjects."""
        try:
            data = await get_message(self._link, self._link.address.name, {"last_by_subj": subject})
        except Refused as error:
            if is_missing(error):
                return None
            raise
        return parts(decode(data))[0]

    async def span_of(self, subject: str, key: str) -> Span | None:
        """The events that were appended under a key."""
        part = await self.keyed(subject)
        return part.span._replace(fresh=False) if part is not None and part.item.key == key else None

    async def _commits(self, message: int, count: int) -> Sequence[Commit]:
        commits = [decode(data) for data in await fetch(self._link, self._link.address.name, message, count)]
        for offset, commit in enumerate(commits):
            self._places.add(commit.first, message + offset)
        return commits


def _cut(records: list[Record], limit: int) -> list[Record]:
    """The first records that hold `limit` events."""
    events = 0
    for index, record in enumerate(records):
        events += record.count
        if events >= limit:
            return records[: index + 1]
    return records
