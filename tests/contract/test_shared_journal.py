"""The journal contract for `SharedJournal` on a log in memory, which replaces a real server."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from tickwire.core.event import NEW_TERM, RecordKind, named_entry
from tickwire.core.trace_context import MAX_TRACEPARENTS
from tickwire.errors import JournalEntryTooLarge, JournalError, JournalFenced, JournalUnavailable, JournalUnreadable
from tickwire.journal.base import Retention, Snapshot
from tickwire.journal.codecs.commit import Commit, encode_packed, item_from_entry
from tickwire.journal.codecs.registry import decode_commit
from tickwire.journal.retention import SnapshotInfo
from tickwire.journal.shared import journal as shared_journal
from tickwire.journal.shared.history import read_log_position
from tickwire.journal.shared.journal import SharedJournal
from tickwire.journal.shared.log import LogLost, LogMessage, LogRolledBack, LogState, StoredMessage, StoredSnapshot
from tickwire.testing.clock import ManualClock
from tickwire.testing.journal_contract import JournalContract, collect_records, sample_entry
from tickwire.testing.waiting import wait_until


class MemoryServer:
    """The log and the snapshots that several journals share."""

    def __init__(self):
        self.messages = []
        self.deleted_count = 0
        self.snapshots, self.anchors = {}, {}
        self.changed = asyncio.Event()
        self.is_up = True
        self.logs = []

    @property
    def last_number(self):
        return self.messages[-1].number if self.messages else self.deleted_count

    def store(self, message):
        """Store a message if its number is the next one."""
        if message.number == self.last_number + 1:
            self.messages.append(message)
            self.notify()

    def notify(self):
        self.changed.set()
        self.changed = asyncio.Event()


class MemoryConsumer:
    """Delivers the messages of a MemoryServer."""

    def __init__(self, server, position, deliver):
        self.position = position
        self.stall_reason = None
        self.is_delayed = False
        self._server = server
        self._deliver = deliver

    async def wait_until_caught_up(self):
        await wait_until(lambda: self.position >= self._server.last_number)

    async def wait_until_receiving(self):
        await wait_until(lambda: self.stall_reason is None)

    async def run(self):
        while True:
            while self._server.is_up and not self.is_delayed and self.position < self._server.last_number:
                message = next(each for each in self._server.messages if each.number > self.position)
                try:
                    self._deliver(message.number, message.data, message.traceparents)
                except JournalError as error:
                    raise LogLost(str(error)) from error
                self.position = message.number
            await self._server.changed.wait()


class MemoryLog:
    """A SharedLog: the connection of one process to a MemoryServer."""

    server = "the server in memory"
    limit_setting = "max_message_bytes"
    max_message_bytes = 1_000_000

    def __init__(self, server):
        self.send_count = 0
        self.lost_sends = 0
        self.is_closed = False
        self._server = server
        self._callbacks = []
        server.logs.append(self)

    @property
    def fault(self):
        return None if self._server.is_up else "the server in memory cannot be reached"

    def on_reconnect(self, callback):
        self._callbacks.append(callback)

    def reconnect(self):
        for callback in self._callbacks:
            callback()

    def create_consumer(self, position, deliver):
        return MemoryConsumer(self._server, position, deliver)

    @contextlib.asynccontextmanager
    async def publication(self, message, reject):
        async def send():
            self.send_count += 1
            if self.send_count > self.lost_sends:
                self._server.store(message)

        yield send

    async def read_state(self):
        server = self._server
        size = sum(len(message.data) for message in server.messages)
        return LogState(server.deleted_count + 1, server.last_number, len(server.messages), size)

    async def read_message(self, number):
        return next(message.data for message in self._server.messages if message.number == number)

    async def read_messages(self, first, last):
        return [
            StoredMessage(message.number, message.data)
            for message in self._server.messages
            if first <= message.number <= last
        ]

    async def find_newest(self, source, key=None):
        for message in reversed(self._server.messages):
            if message.key is not None and message.source == source and key in (None, message.key):
                return StoredMessage(message.number, message.data)
        return None

    async def delete_before(self, number):
        self._server.messages = [message for message in self._server.messages if message.number >= number]
        self._server.deleted_count = number - 1

    async def close(self):
        self.is_closed = True


class MemorySnapshotStore:
    """A SnapshotStore in a MemoryServer."""

    def __init__(self, server):
        self._snapshots, self._anchors = server.snapshots, server.anchors

    async def list_complete(self):
        return [StoredSnapshot(info, str(info.sequence), self._anchors[info]) for info in sorted(self._snapshots)]

    async def save(self, snapshot, ts, anchor):
        info = SnapshotInfo(snapshot.sequence, ts)
        self._snapshots[info], self._anchors[info] = snapshot.data, anchor

    async def load(self, stored):
        return Snapshot(stored.info.sequence, self._snapshots[stored.info])

    async def delete(self, snapshots):
        for stored in snapshots:
            self._snapshots.pop(stored.info, None)


async def open_journal(server, retention=Retention(), clock=None):  # noqa: B008  # a constant
    log, snapshot_store = MemoryLog(server), MemorySnapshotStore(server)
    journal = SharedJournal(
        "memory",
        log,
        snapshot_store,
        epoch="abcdef",
        position=await read_log_position(log, await snapshot_store.list_complete()),
        retention=retention,
        clock=clock or ManualClock(),
    )
    await journal.start()
    return journal


class TestSharedJournal(JournalContract):
    @pytest.fixture
    async def journal_factory(self):
        async with contextlib.AsyncExitStack() as cleanup:

            async def create_journal(retention, clock):
                journal = await open_journal(MemoryServer(), retention, clock)
                cleanup.push_async_callback(journal.close)
                return journal

            yield create_journal


@pytest.fixture
async def server():
    return MemoryServer()


@pytest.fixture
async def open_another(server):
    """Opens journals on the same server, one for each process."""
    async with contextlib.AsyncExitStack() as cleanup:

        async def open_one():
            journal = await open_journal(server)
            cleanup.push_async_callback(journal.close)
            return journal

        yield open_one


async def test_concurrent_processes_append_without_gaps(open_another):
    journals = [await open_another() for _ in range(3)]
    rng = random.Random(4)
    appends = [(journals[number % 3], sample_entry(rng.randint(1, 5), key=str(number))) for number in range(60)]
    spans = await asyncio.gather(*(journal.append(entry) for journal, entry in appends))
    total = sum(entry.event_count for _, entry in appends)
    records = [await collect_records(journal, 0, total) for journal in journals]
    assert records[0] == records[1] == records[2]
    assert sorted((span.first, span.last) for span in spans) == [(each.first, each.last) for each in records[0]]


async def test_concurrent_processes_append_a_key_once(open_another):
    journals = [await open_another() for _ in range(2)]
    spans = await asyncio.gather(*(journal.append(sample_entry(3, key="k")) for journal in journals))
    assert sorted(span.is_new for span in spans) == [False, True]
    later = await open_another()
    assert await later.append(sample_entry(3, key="k")) == spans[0]._replace(is_new=False)


async def test_a_newer_term_fences_the_older_one(open_another):
    old, new = await open_another(), await open_another()
    first = await old.append(named_entry("note", {})._replace(source="feed", term=NEW_TERM))
    claim = await new.append(named_entry("note", {})._replace(source="feed", term=NEW_TERM))
    with pytest.raises(JournalFenced, match="another process runs the feed feed"):
        await old.append(sample_entry(1)._replace(term=first.last))
    assert (await new.append(sample_entry(1)._replace(term=claim.last))).is_new


async def test_append_sends_again_after_a_reconnect(server, open_another):
    """The journal sends a message without an answer again, and the server stores the message once."""
    journal = await open_another()
    log = server.logs[-1]
    log.lost_sends = 1
    append = asyncio.create_task(journal.append(sample_entry(2)))
    await wait_until(lambda: log.send_count == 1)
    log.reconnect()
    assert await append == (1, 2, True)
    assert log.send_count == 2
    assert [decode_commit(message.data).first for message in server.messages] == [1]


async def test_append_fails_while_the_server_is_down(server, open_another):
    journal = await open_another()
    server.is_up = False
    assert journal.unavailable_reason() == "the server in memory cannot be reached"
    with pytest.raises(JournalUnavailable, match="cannot be reached"):
        await journal.append(sample_entry(1))


async def test_append_waits_while_the_server_is_silent(server, open_another):
    """A busy server may be silent for a moment, although the connection is up."""
    journal = await open_another()
    journal._consumer.stall_reason = "the server in memory is silent"
    append = asyncio.create_task(journal.append(sample_entry(1)))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(append), 0.05)
    journal._consumer.stall_reason = None
    assert await append == (1, 1, True)


async def test_waiting_appends_keep_their_order(open_another):
    """An append that begins when the server is no longer silent does not overtake the appends that wait."""
    journal = await open_another()
    journal._consumer.stall_reason = "the server in memory is silent"
    waiting = [asyncio.create_task(journal.append(sample_entry(count))) for count in (1, 2)]
    await asyncio.sleep(0)
    journal._consumer.stall_reason = None
    spans = await asyncio.gather(*waiting, journal.append(sample_entry(3)))
    assert spans == [(1, 1, True), (2, 3, True), (4, 6, True)]


async def test_last_key_waits_until_this_process_has_read_the_newest_entry(server, open_another, monkeypatch):
    """Each process reports the newest entry that the log contains, and never an older one."""
    one, two = await open_another(), await open_another()
    await one.append(sample_entry(1, key="a"))
    await wait_until(lambda: two.head == 1)
    two._consumer.is_delayed = True
    await one.append(sample_entry(1, key="b"))
    with monkeypatch.context() as patch:
        patch.setattr(shared_journal, "_READ_TIMEOUT_S", 0.01)
        message = r"^cannot read the journal within 0\.01 s: .* does not send message 2$"
        with pytest.raises(JournalUnavailable, match=message):
            await two.last_key("feed")
    readings = [asyncio.create_task(two.last_key("feed")) for _ in range(2)]
    await asyncio.sleep(0)
    two._consumer.is_delayed = False
    server.notify()
    assert await asyncio.gather(*readings) == ["b", "b"]


async def test_last_key_does_not_wait_for_a_journal_that_has_failed(open_another):
    one, two = await open_another(), await open_another()
    two._consumer.is_delayed = True
    await one.append(sample_entry(1, key="a"))
    reading = asyncio.create_task(two.last_key("feed"))
    await asyncio.sleep(0)
    two.fail(LogLost("the log was deleted"))
    with pytest.raises(LogLost, match="the log was deleted"):
        await reading


async def test_append_fails_if_the_server_stays_silent(server, open_another, monkeypatch):
    """An entry that has failed is not appended later."""
    monkeypatch.setattr(shared_journal, "_APPEND_TIMEOUT_S", 0.05)
    journal = await open_another()
    journal._consumer.stall_reason = "the server in memory is silent"
    message = r"^cannot append to the journal within 0\.05 s: the server in memory is silent$"
    with pytest.raises(JournalUnavailable, match=message):
        await journal.append(sample_entry(1))
    journal._consumer.stall_reason = None
    monkeypatch.undo()
    assert await journal.append(sample_entry(2)) == (1, 2, True)


async def test_append_names_the_setting_behind_the_size_limit(open_another):
    journal = await open_another()
    with pytest.raises(JournalEntryTooLarge, match=r"\(max_message_bytes is 1000000 bytes\).*raise max_message_bytes$"):
        await journal.append(named_entry("note", "x" * 1_000_000))


async def test_a_large_batch_is_split_and_its_key_is_accepted_once(server, open_another):
    """An append that fails between two parts continues with the missing parts."""
    journal = await open_another()
    first = await journal.append(sample_entry(30_000, key="a"))
    assert first == (1, 30_000, True)
    assert len(server.messages) == 4
    assert await journal.append(sample_entry(30_000, key="a")) == (1, 30_000, False)
    assert await journal.last_key("feed") == "a"
    del server.messages[2:]
    later = await open_another()
    assert later.head == 15_000
    assert await later.last_key("feed") is None
    assert await later.append(sample_entry(30_000, key="a")) == (1, 30_000, True)
    assert len(server.messages) == 4


async def test_a_newer_term_fences_the_parts_of_a_large_batch(open_another):
    journal = await open_another()
    old = await journal.append(named_entry("note", {})._replace(source="feed", term=NEW_TERM))
    await journal.append(named_entry("note", {})._replace(source="feed", term=NEW_TERM))
    with pytest.raises(JournalFenced):
        await journal.append(sample_entry(30_000, key="a")._replace(term=old.last))
    assert journal.head == 2


async def test_the_first_record_of_a_message_has_the_traceparents_of_all_entries(open_another):
    journal, other = await open_another(), await open_another()
    texts = [f"00-{number:032x}-{number:016x}-01" for number in range(1, MAX_TRACEPARENTS + 3)]
    entries = [sample_entry(1)._replace(traceparents=(text,)) for text in texts]
    await asyncio.gather(*map(journal.append, entries))
    for each in (journal, other):
        await wait_until(lambda each=each: each.head == len(texts))
        records = await each.read(0)
        found = [text for record in records for text in record.traceparents]
        assert found == texts[: len(found)]
        assert len(found) >= MAX_TRACEPARENTS
        assert max(len(record.traceparents) for record in records) > 1


def store_foreign(server, data):
    """Store a message that no Tickwire process has written."""
    server.store(LogMessage(server.last_number + 1, data, "", None))


def foreign_commit(first, count=1):
    return encode_packed(Commit(first, "stranger", [item_from_entry(sample_entry(count), 0)]))


UNREADABLE_MESSAGES = {
    "empty": lambda _: b"",
    "garbage": lambda _: b"hello",
    "cut off": lambda head: foreign_commit(head + 1)[:-3],
    "numbers of later events": lambda head: foreign_commit(head + 100),
    "numbers of earlier events": lambda head: foreign_commit(max(1, head - 1)),
    "no entries": lambda head: encode_packed(Commit(head + 1, "stranger", [])),
}


@pytest.mark.parametrize("make", UNREADABLE_MESSAGES.values(), ids=UNREADABLE_MESSAGES)
async def test_an_unreadable_message_counts_as_one_event(make, server, open_another):
    """All processes continue, including processes that start later. New events get the next numbers."""
    journals = [await open_another() for _ in range(2)]
    await journals[0].append(sample_entry(3))
    store_foreign(server, make(3))
    assert await journals[0].append(sample_entry(2)) == (5, 6, True)
    store_foreign(server, make(6))
    journals.append(await open_another())
    await wait_until(lambda: all(journal.head == 7 for journal in journals))
    assert await journals[2].append(sample_entry(1)) == (8, 8, True)
    journals.append(await open_another())
    for journal in journals:
        records = await collect_records(journal, 0, 8)
        assert [(each.first, each.last, each.kind) for each in records] == [
            (1, 3, RecordKind.TICKS),
            (4, 4, RecordKind.UNREADABLE),
            (5, 6, RecordKind.TICKS),
            (7, 7, RecordKind.UNREADABLE),
            (8, 8, RecordKind.TICKS),
        ]


async def test_all_processes_number_random_messages_equally(server, open_another):
    """The test stores valid messages, unreadable messages and snapshots, and starts processes, in a random order."""
    seed = random.randrange(2**32)
    # If the test fails, pytest shows the seed.
    print(f"seed {seed}")
    rng = random.Random(seed)
    journals = [await open_another()]
    for _ in range(300):
        step, journal = rng.random(), rng.choice(journals)
        await wait_until(lambda: {each.last_message for each in journals} == {server.last_number}, poll_interval_s=0)
        if step < 0.4:
            await journal.append(sample_entry(rng.randint(1, 9), key=rng.choice((None, rng.randbytes(4).hex()))))
        elif step < 0.7:
            store_foreign(server, rng.choice([*UNREADABLE_MESSAGES.values()])(journal.head))
        elif step < 0.8:
            await journal.save_snapshot(Snapshot(rng.randint(0, journal.head), b""))
        elif len(journals) < 6:
            journals.append(await open_another())
    await wait_until(lambda: {each.last_message for each in journals} == {server.last_number}, poll_interval_s=0)
    head = journals[0].head
    assert {journal.head for journal in journals} == {head}
    everything = await collect_records(journals[0], 0, head)
    later = await open_another()
    for journal in (*journals, later):
        assert [each._replace(appended_ts=0) for each in await collect_records(journal, 0, head)] == [
            each._replace(appended_ts=0) for each in everything
        ]
    for record in rng.sample(everything, min(40, len(everything))):
        (found,) = await later._history_reader.read(record.first - 1, later._message_range, 1, None)
        assert found[:3] == record[:3]


@pytest.mark.parametrize(("snapshot", "end"), [(6, "message 1"), (5, "event 3")])
async def test_a_log_without_its_newest_messages_is_lost(snapshot, end, server, open_another):
    """The journal must not assign the same event numbers twice."""
    journal = await open_another()
    await journal.append(sample_entry(3))
    await journal.append(sample_entry(3))
    await journal.save_snapshot(Snapshot(snapshot, b""))
    del server.messages[1:]
    with pytest.raises(LogRolledBack, match=f"ends at {end}, but its newest snapshot contains"):
        await open_another()


async def test_deleted_messages_are_unreadable_events(server, open_another):
    """The next valid message shows how many events the deleted messages contained."""
    journal = await open_another()
    for count in (1, 5, 2, 3):
        await journal.append(sample_entry(count))
    del server.messages[1:3]
    later = await open_another()
    assert [(each.first, each.last, each.kind) for each in await later.read(0)] == [
        (1, 1, RecordKind.TICKS),
        (2, 8, RecordKind.UNREADABLE),
        (9, 11, RecordKind.TICKS),
    ]


async def test_a_damaged_snapshot_is_skipped(open_another, monkeypatch):
    journal = await open_another()
    await journal.append(sample_entry(3))
    await journal.save_snapshot(Snapshot(1, b"one"))
    await journal.save_snapshot(Snapshot(3, b"three"))
    load = MemorySnapshotStore.load

    async def load_or_fail(store, stored):
        if stored.info.sequence == 3:
            raise JournalUnreadable("the snapshot is damaged")
        return await load(store, stored)

    monkeypatch.setattr(MemorySnapshotStore, "load", load_or_fail)
    assert await journal.load_snapshot() == Snapshot(1, b"one")


async def test_close_disconnects_from_the_server(server):
    journal = await open_journal(server)
    await journal.close()
    await journal.close()
    assert server.logs[-1].is_closed
