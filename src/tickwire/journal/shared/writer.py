"""Appends messages to the log of a shared journal, one at a time.

The sender of a message chooses the message number. The server stores the message only if the chosen number is the next
free number.

The number of a process's next message follows the number of the last message that the process has read. In the same
way, the sequence numbers of the events in the message follow the last event that the process has read. If another
process stores a message with the same message number first, the process reads that message and tries again with the
next number. So sequence numbers are unique and have no gaps, although several processes assign them.

If the writer receives no answer, it sends the same message again, with the same number. The server cannot store the
message twice: once the message is stored, its number is no longer free.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tickwire.core.event import JournalEntry, SequenceRange
from tickwire.core.histogram import SIZE_BOUNDS, Histogram
from tickwire.core.trace_context import MAX_TRACEPARENTS
from tickwire.errors import JournalEntryTooLarge, JournalError, JournalFenced, JournalUnavailable
from tickwire.journal.codecs.commit import Commit, CommitItem, item_from_entry, number_items
from tickwire.journal.shared.log import LogMessage, SendOnce, SharedLog
from tickwire.journal.shared.split_entry import owner_source

# After this time without an answer, the writer sends the message again.
_RESEND_INTERVAL_S = 1.0
_RETRY_INTERVAL_S = 0.1
# The largest number of entries in a commit. Most commits reach the size limit of a message before this limit.
_MAX_COMMIT_ENTRIES = 10_000
# This number of bytes is an upper bound for two sizes: the size of a message without its entries, and the size of an
# entry without its data, source and key.
_OVERHEAD_BYTES = 256


@dataclass(eq=False, slots=True)
class PendingAppend:
    """An entry that waits to be appended. `item` is the same entry in the format of a commit.

    A commit is the group of entries in one message.
    """

    entry: JournalEntry
    item: CommitItem
    future: asyncio.Future[SequenceRange]

    @property
    def max_encoded_bytes(self) -> int:
        """An upper bound for the size of this entry in a message, in bytes."""
        return len(self.item.data) + _OVERHEAD_BYTES + 4 * len(self.item.source) + 4 * len(self.item.key or "")


@dataclass(slots=True)
class ExpectedMessage:
    """The message that this process tries to append to the log.

    `is_ours` resolves to True if the log contains this message under the number `number`, and to False if the log
    contains another message under this number.
    """

    number: int
    commit_id: str
    is_ours: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class LogView(Protocol):
    """The properties and methods of the journal that the writer calls."""

    @property
    def head(self) -> int:
        """The sequence number of the newest event."""
        ...

    @property
    def last_message(self) -> int:
        """The number of the message that contains the newest event."""
        ...

    def newest_term(self, source: str) -> int:
        """Return the number of the newest term of a source, or 0 if the source has no term.

        A term is a period in which one process runs the feed.
        """
        ...

    def find_recent_span(self, source: str, key: str) -> SequenceRange | None:
        """Return the sequence numbers of the entry with this source and key.

        Return None if the key is not in memory.
        """
        ...

    async def find_stored_span(self, source: str, key: str) -> SequenceRange | None:
        """Search the log for an entry whose key is no longer in memory.

        Return the sequence numbers of the entry, or None if the log does not contain the entry.
        """
        ...


class LogWriter:
    """Appends entries to the log in the order of the `enqueue` calls."""

    def __init__(self, log: SharedLog, view: LogView, encode: Callable[[Commit], bytes]) -> None:
        self.commit_count = 0
        self.event_count = 0
        self.commit_times, self.commit_sizes = Histogram(), Histogram(SIZE_BOUNDS)
        self._log = log
        self._view = view
        self._encode = encode
        self._queue: deque[PendingAppend] = deque()
        self._max_commit_entries = _MAX_COMMIT_ENTRIES
        self._has_pending = asyncio.Event()
        self._all_settled = asyncio.Event()
        self._all_settled.set()
        self._expected_message: ExpectedMessage | None = None
        self._reconnected = asyncio.Event()
        log.on_reconnect(self._reconnected.set)

    def enqueue(self, entry: JournalEntry, ts: int) -> asyncio.Future[SequenceRange]:
        """Queue an entry, and return a future that resolves to the sequence numbers of the entry.

        The future resolves once the entry is durable and this process has read the entry from the log. If the future is
        cancelled before the entry is sent, the writer drops the entry. Raise JournalError if the entry is too large for
        a message.
        """
        append = PendingAppend(entry, item_from_entry(entry, ts), asyncio.get_running_loop().create_future())
        if append.max_encoded_bytes > self._log.max_message_bytes:
            raise self._too_large_error(len(entry.data))
        self._queue.append(append)
        self._has_pending.set()
        self._all_settled.clear()
        return append.future

    def on_message_read(self, number: int, commit_id: str) -> None:
        """Record that this process has read a message from the log.

        If the writer has tried to send a message with this number, this call reports whether the log contains the
        writer's own message or a message of another process.
        """
        expected = self._expected_message
        if expected is not None and number >= expected.number and not expected.is_ours.done():
            expected.is_ours.set_result(number == expected.number and commit_id == expected.commit_id)

    async def wait_until_idle(self) -> None:
        """Wait until every queued entry is appended or has failed."""
        await self._all_settled.wait()

    def fail_pending(self, error: JournalError) -> None:
        """Fail every queued entry with `error`."""
        for append in self._queue:
            _fail_append(append, error)
        self._queue.clear()
        self._all_settled.set()

    async def run(self) -> None:
        """Append queued entries until cancelled."""
        while True:
            await self._has_pending.wait()
            try:
                await self._append_next()
            except JournalUnavailable:
                await asyncio.sleep(_RETRY_INTERVAL_S)
            if not self._queue:
                self._has_pending.clear()
                self._all_settled.set()

    async def _append_next(self) -> None:
        """Try once to append the entries at the front of the queue."""
        while self._queue and self._queue[0].future.done():
            self._queue.popleft()
        if not self._queue:
            return
        first = self._queue[0]
        if not await self._resolve_without_writing(first):
            group = self._next_group()
            commit = Commit(self._view.head + 1, secrets.token_hex(8), [append.item for append in group])
            if await self._send_commit(commit, group):
                for append in group:
                    self._queue.remove(append)

    async def _resolve_without_writing(self, append: PendingAppend) -> bool:
        """If the entry needs no message, complete or reject the entry and return True. Otherwise return False.

        An entry needs no message if the journal already contains the entry. It also needs no message if another process
        runs the feed now, because the journal must then reject the entry.
        """
        entry = append.entry
        if entry.key is not None:
            span = self._view.find_recent_span(entry.source, entry.key) or await self._view.find_stored_span(
                entry.source, entry.key
            )
            # Search the keys in memory again, because this process may have read a message with this entry during the
            # lookup in the log.
            span = self._view.find_recent_span(entry.source, entry.key) or span
            if span is not None:
                self._queue.popleft()
                _resolve_append(append, span)
                return True
        if entry.term and entry.term < self._view.newest_term(owner_source(entry.source)):
            self._queue.popleft()
            _fail_append(append, JournalFenced(f"another process runs the feed {entry.source} now"))
            return True
        return False

    def _next_group(self) -> list[PendingAppend]:
        """Return the entries that the next message will contain.

        An entry with a key is a separate message, because the log finds messages by key. An entry of the feed (its
        `term` is not None) is also a separate message. Other entries share a message.
        """
        first = self._queue[0]
        if first.entry.key is not None or first.entry.term is not None:
            return [first]
        group: list[PendingAppend] = []
        size = _OVERHEAD_BYTES
        for append in self._queue:
            size += append.max_encoded_bytes
            if len(group) == self._max_commit_entries:
                break
            if append.entry.key is not None or append.entry.term is not None or size > self._log.max_message_bytes:
                break
            if not append.future.done():
                group.append(append)
        return group

    async def _send_commit(self, commit: Commit, group: Sequence[PendingAppend]) -> bool:
        """Send a commit (the group of entries in one message), and repeat the message until the result is known.

        Return True if the commit was stored or permanently rejected. Return False if the number of the message belongs
        to another message, or if the commit was too large. The entries must then be sent again in another commit.
        """
        started_at_ns = time.perf_counter_ns()
        data = self._encode(commit)
        # The group of entries fits into a message in the packed encoding. In other encodings, the commit may be too
        # large.
        traceparents = tuple(text for append in group for text in append.entry.traceparents)[:MAX_TRACEPARENTS]
        if len(data) + _OVERHEAD_BYTES + sum(map(len, traceparents)) > self._log.max_message_bytes:
            return self._reduce_commit_size(group, len(data))
        first = commit.items[0]
        message = LogMessage(self._view.last_message + 1, data, first.source, first.key, traceparents)
        expected = self._expected_message = ExpectedMessage(message.number, commit.writer)
        rejection: asyncio.Future[JournalError] = asyncio.get_running_loop().create_future()

        def reject(error: JournalError) -> None:
            if not rejection.done():
                rejection.set_result(error)

        try:
            async with self._log.publication(message, reject) as send:
                while not expected.is_ours.done() and not rejection.done():
                    await self._send_if_connected(send)
                    await self._wait_for_outcome(expected.is_ours, rejection)
        finally:
            self._expected_message = None
        is_settled = self._settle_group(commit, group, expected, rejection)
        if expected.is_ours.done() and is_settled:
            self.commit_times.observe(time.perf_counter_ns() - started_at_ns)
            self.commit_sizes.observe(commit.last - commit.first + 1)
        return is_settled

    def _reduce_commit_size(self, group: Sequence[PendingAppend], size: int) -> bool:
        """Limit the next commit to half of the entries in `group`, because the whole group was too large.

        Return False, because the entries must be sent again. If `group` contains only one entry, let this entry fail,
        and return True.
        """
        if len(group) > 1:
            self._max_commit_entries = len(group) // 2
            return False
        _fail_append(group[0], self._too_large_error(size))
        return True

    def _too_large_error(self, size: int) -> JournalEntryTooLarge:
        return JournalEntryTooLarge(
            f"an entry of {size} bytes exceeds the message limit of {self._log.server} ({self._log.limit_setting} is "
            f"{self._log.max_message_bytes} bytes): append smaller batches, or raise {self._log.limit_setting}"
        )

    async def _send_if_connected(self, send: SendOnce) -> None:
        self._reconnected.clear()
        if self._log.fault is None:
            try:
                await send()
            except JournalUnavailable:
                await asyncio.sleep(_RETRY_INTERVAL_S)

    async def _wait_for_outcome(self, *outcomes: asyncio.Future[Any]) -> None:
        """Wait for the first of these events: one of `outcomes` is done, the client reconnects, or a resend is due."""
        reconnected = asyncio.ensure_future(self._reconnected.wait())
        try:
            await asyncio.wait(
                [*outcomes, reconnected], timeout=_RESEND_INTERVAL_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            reconnected.cancel()

    def _settle_group(
        self,
        commit: Commit,
        group: Sequence[PendingAppend],
        expected: ExpectedMessage,
        rejection: asyncio.Future[JournalError],
    ) -> bool:
        if expected.is_ours.done():
            is_ours = expected.is_ours.result()
            if is_ours:
                self._resolve_group(commit, group)
            return is_ours
        for append in group:
            _fail_append(append, rejection.result())
        return True

    def _resolve_group(self, commit: Commit, group: Sequence[PendingAppend]) -> None:
        self._max_commit_entries = _MAX_COMMIT_ENTRIES
        self.commit_count += 1
        self.event_count += commit.last - commit.first + 1
        for append, part in zip(group, number_items(commit), strict=True):
            _resolve_append(append, part.span)


def _resolve_append(append: PendingAppend, span: SequenceRange) -> None:
    # The future is already done if the caller was cancelled. Then set no result, although the journal contains the
    # entry.
    if not append.future.done():
        append.future.set_result(span)


def _fail_append(append: PendingAppend, error: JournalError) -> None:
    if not append.future.done():
        append.future.set_exception(error)
