"""The journal on NATS with several processes, failing servers and unexpected streams."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal

import pytest

from tickwire.clock import SystemClock
from tickwire.core.event import NEW_TERM, JournalEntry, RecordKind, named_entry, ticks_entry
from tickwire.core.tick import blank_ticks
from tickwire.errors import JournalEntryTooLarge, JournalError, JournalFenced, JournalUnavailable
from tickwire.journal.base import Retention, Snapshot
from tickwire.journal.codecs.commit import Commit, encode_packed, item_from_entry
from tickwire.journal.nats import consumer, fetch
from tickwire.journal.nats.address import parse_nats_address
from tickwire.journal.nats.connection import NatsConnection
from tickwire.journal.nats.journal import NatsJournal
from tickwire.journal.nats.stream import parse_epoch, read_stream_info
from tickwire.journal.options import JournalOptions
from tickwire.journal.registry import open_journal_and_cluster
from tickwire.journal.shared import open as opening
from tickwire.testing.journal_contract import collect_records, sample_entry
from tickwire.testing.nats_server import NatsCluster, NatsServer
from tickwire.testing.waiting import wait_until


async def open_journal(server, name, retention=Retention()):  # noqa: B008  # a constant
    return await NatsJournal.open(parse_nats_address(server.url, name), retention, SystemClock())


async def test_concurrent_processes_append_in_one_order_without_gaps(nats, name):
    """All processes read the same records, and each append returns the numbers of the events in its entry."""
    journals = [await open_journal(nats, name) for _ in range(3)]
    rng = random.Random(4)
    appends = [(journals[number % 3], sample_entry(rng.randint(1, 5), key=str(number))) for number in range(120)]
    spans = await asyncio.gather(*(journal.append(entry) for journal, entry in appends))
    total = sum(entry.event_count for _, entry in appends)
    records = [await collect_records(journal, 0, total) for journal in journals]
    assert records[0] == records[1] == records[2]
    assert sorted((span.first, span.last) for span in spans) == [(each.first, each.last) for each in records[0]]
    assert records[0][-1].last == total
    for journal in journals:
        await journal.close()


async def test_concurrent_and_later_processes_append_a_key_once(nats, name):
    one, two = await open_journal(nats, name), await open_journal(nats, name)
    spans = await asyncio.gather(one.append(sample_entry(3, key="k")), two.append(sample_entry(3, key="k")))
    assert sorted(span.is_new for span in spans) == [False, True]
    later = await open_journal(nats, name)
    assert await later.append(sample_entry(3, key="k")) == spans[0]._replace(is_new=False)
    assert await later.last_key("feed") == "k"
    assert later.head == 3
    for journal in (one, two, later):
        await journal.close()


async def test_process_that_starts_later_reads_history_and_snapshots(nats, name):
    """The later process reads records by position, limit, kind and time."""
    writer = await open_journal(nats, name)
    for number in range(400):
        await writer.append(sample_entry(number % 7 + 1) if number % 10 else named_entry("note", {"n": number}))
    await writer.save_snapshot(Snapshot(700, b"x" * 600_000))
    everything = await writer.read(0, limit=10_000)
    reader = await open_journal(nats, name)
    assert list(await reader.read(0, limit=10_000)) == list(everything)
    middle = everything[200]
    assert [each.first for each in await reader.read(middle.first - 1, limit=1)] == [middle.first]
    assert all(
        each.kind is RecordKind.NAMED_EVENT for each in await reader.read(0, limit=30, kind=RecordKind.NAMED_EVENT)
    )
    assert await reader.find_sequence_before(middle.appended_ts) in {each.last for each in everything[190:200]}
    assert await collect_records(reader, everything[5].last, everything[-1].last) == list(everything[6:])
    assert await reader.load_snapshot() == Snapshot(700, b"x" * 600_000)
    await writer.close()
    await reader.close()


async def test_read_replaces_a_silent_consumer(nats, name, monkeypatch):
    """After the death of a NATS server, a consumer may send no messages. The journal then creates another consumer."""
    writer = await open_journal(nats, name)
    for _ in range(10):
        await writer.append(sample_entry(3))
    # The reader starts at the snapshot, and must fetch older events.
    await writer.save_snapshot(Snapshot(30, b""))
    reader, consumers = await open_journal(nats, name), []

    async def create_silent_consumer_first(connection, stream, *arguments):
        consumers.append(await create_consumer(connection, stream, *arguments))
        return consumers[-1] if len(consumers) > 1 else "missing"

    create_consumer = fetch._create_consumer
    monkeypatch.setattr(fetch, "_create_consumer", create_silent_consumer_first)
    assert len(await reader.read(0)) == 10
    assert len(consumers) > 1
    await writer.close()
    await reader.close()


async def test_append_of_an_older_term_is_fenced(nats, name):
    """After another process has claimed the feed, the paused process cannot append an entry, not even a pending one."""
    old, new = await open_journal(nats, name), await open_journal(nats, name)
    first = await old.append(named_entry("note", {})._replace(source="feed", term=NEW_TERM))
    assert (await old.append(sample_entry(2)._replace(term=first.last))).is_new
    claim = new.append(named_entry("note", {})._replace(source="feed", term=NEW_TERM))
    pending = old.append(sample_entry(2)._replace(term=first.last))
    claim_span, outcome = await asyncio.gather(claim, pending, return_exceptions=True)
    # The pending append may precede the claim.
    if not isinstance(outcome, JournalFenced):
        assert outcome.last < claim_span.last
    with pytest.raises(JournalFenced, match="another process"):
        await old.append(sample_entry(1)._replace(term=first.last))
    assert (await new.append(sample_entry(1)._replace(term=claim_span.last))).is_new
    await old.close()
    await new.close()


async def test_killed_server_loses_and_repeats_no_event(own_nats, name):
    """Two processes append and one follows while the server is killed and restarted twice."""
    writers, follower = [await open_journal(own_nats, name) for _ in range(2)], await open_journal(own_nats, name)
    acknowledged, seen = [], []

    async def write(index, journal):
        for number in range(400):
            # The append of an entry with a term waits until the server runs again.
            entry = sample_entry(2, key=f"{index}-{number}", source="s")._replace(term=1)
            acknowledged.append((await journal.append(entry), entry))

    async def follow():
        async for records in follower.follow(0):
            seen.extend(records)

    following = asyncio.create_task(follow())
    writing = [asyncio.create_task(write(index, journal)) for index, journal in enumerate(writers)]
    for goal in (150, 500):
        await wait_until(lambda goal=goal: len(acknowledged) >= goal)
        own_nats.kill()
        await wait_until(lambda: follower.unavailable_reason() is not None)
        own_nats.start()
    await asyncio.gather(*writing)
    await wait_until(lambda: seen and seen[-1].last == 1600)
    assert [(each.first, each.last) for each in seen] == sorted((span.first, span.last) for span, _ in acknowledged)
    for journal in (*writers, follower):
        await journal.close()
    await following


async def test_journal_is_unavailable_while_the_server_is_stopped(own_nats, name):
    """A server that SIGSTOP suspends keeps its connections open, so the journal must notice that it is silent."""
    journal = await open_journal(own_nats, name)
    own_nats.send_signal(signal.SIGSTOP)
    await wait_until(lambda: journal.unavailable_reason() is not None)
    with pytest.raises(JournalUnavailable):
        await journal.append(sample_entry(1))
    own_nats.send_signal(signal.SIGCONT)
    await wait_until(lambda: journal.unavailable_reason() is None)
    assert (await journal.append(sample_entry(1))).is_new
    await journal.close()


async def test_follower_of_a_deleted_stream_fails(nats, name):
    """A new stream with the same name gets another epoch."""
    journal = await open_journal(nats, name)
    await journal.append(sample_entry(5))
    connection = await NatsConnection.open(journal.connection.address)
    following = asyncio.ensure_future(anext(journal.follow(5)))
    await connection.call_api(f"STREAM.DELETE.{name}")
    with pytest.raises(JournalError, match="no longer exists on NATS"):
        await following
    reopened = await open_journal(nats, name)
    assert reopened.epoch != journal.epoch
    assert reopened.head == 0
    for each in (journal, reopened, connection):
        await each.close()


async def test_purged_stream_begins_a_new_epoch(nats, name):
    """The event numbers of the purged messages are unknown and must not be assigned again under the old epoch."""
    journal = await open_journal(nats, name)
    await journal.append(sample_entry(5))
    await journal.close()
    connection = await NatsConnection.open(journal.connection.address)
    await connection.call_api(f"STREAM.PURGE.{name}")
    reopened = await open_journal(nats, name)
    assert reopened.epoch != journal.epoch
    assert (await reopened.append(sample_entry(2))).first == 1
    await reopened.close()
    await connection.close()


async def test_open_names_the_problem_and_the_remedy(nats, name, tmp_path):
    """The server or JetStream is missing, another program owns the stream, or another stream uses its subjects."""
    address = parse_nats_address(nats.url, name)
    connection = await NatsConnection.open(address)
    await connection.call_api(
        f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.other"], "storage": "memory"}
    )
    with pytest.raises(JournalError, match="is not a Tickwire journal: choose another journal name"):
        await open_journal(nats, name)
    await connection.call_api(f"STREAM.DELETE.{name}")
    await connection.call_api(
        f"STREAM.CREATE.{name}x", {"name": f"{name}x", "subjects": [f"{name}.>"], "storage": "memory"}
    )
    with pytest.raises(JournalError, match="another stream on NATS already uses the subjects"):
        await open_journal(nats, name)
    await connection.close()
    plain = NatsServer(tmp_path, jetstream=False)
    with plain, pytest.raises(JournalError, match="start nats-server with -js"):
        await open_journal(plain, name)
    with pytest.raises(JournalError, match=r"cannot reach NATS at 127\.0\.0\.1"):
        await NatsConnection.open(parse_nats_address(plain.url, name), timeout_s=0.2)


async def test_journal_fails_if_the_client_has_closed_its_connection_for_ever(nats, name):
    """The client never reconnects after an error such as expired credentials, so the process must end."""
    journal = await open_journal(nats, name)
    journal.connection._client._transport.write(b"no command of NATS\r\n")
    await wait_until(lambda: "this process must be restarted" in (journal.unavailable_reason() or ""))
    with pytest.raises(JournalError, match=r"has closed the connection \(nats: unknown protocol operation\)"):
        await journal.append(sample_entry(1))
    await journal.close()


async def test_append_to_a_full_stream_fails_and_drops_nothing(nats, name):
    journal = await open_journal(nats, name)
    await journal.append(sample_entry(10))
    connection = journal.connection
    info = await connection.call_api(f"STREAM.INFO.{name}")
    await connection.call_api(f"STREAM.UPDATE.{name}", {**info["config"], "max_bytes": info["state"]["bytes"] + 100})
    with pytest.raises(JournalError, match="cannot be written: maximum bytes exceeded"):
        await journal.append(sample_entry(10))
    await connection.call_api(f"STREAM.UPDATE.{name}", {**info["config"], "max_bytes": -1})
    assert (await journal.append(sample_entry(10))).first == 11
    await journal.close()


async def test_a_message_with_wrong_numbers_is_unreadable(nats, name):
    """The process that reads the message and a process that starts later continue with the same event numbers."""
    journal = await open_journal(nats, name)
    await journal.append(sample_entry(3))
    commit = Commit(9, "stranger", [item_from_entry(sample_entry(1), 0)])
    await journal.connection.publish_to_stream(f"{name}.e", encode_packed(commit))
    assert await journal.append(sample_entry(2)) == (5, 6, True)
    later = await open_journal(nats, name)
    for each in (journal, later):
        kinds = [(record.last, record.kind) for record in await collect_records(each, 0, 6)]
        assert kinds == [(3, RecordKind.TICKS), (4, RecordKind.UNREADABLE), (6, RecordKind.TICKS)]
        await each.close()


async def test_deleted_messages_are_unreadable_events(nats, name):
    """An operator deletes messages in the middle of the stream, and its newest message."""
    journal = await open_journal(nats, name)
    for count in (1, 5, 2, 3):
        await journal.append(sample_entry(count))
    await journal.connection.publish_to_stream(f"{name}.e", b"garbage")
    await wait_until(lambda: journal.head == 12)
    for number in (2, 5):
        await journal.connection.call_api(f"STREAM.MSG.DELETE.{name}", {"seq": number})
    later = await open_journal(nats, name)
    assert await later.append(sample_entry(1)) == (13, 13, True)
    for each in (journal, later):
        await wait_until(lambda each=each: each.head == 13)
        records = await each._history_reader.read(0, each._message_range, 100, None)
        assert [(record.first, record.last) for record in records] == [
            (1, 1),
            (2, 6),
            (7, 8),
            (9, 11),
            (12, 12),
            (13, 13),
        ]
        assert [record.first for record in records if record.kind is RecordKind.UNREADABLE] == [2, 12]
        await each.close()


async def test_messages_with_other_contents_in_the_snapshot_stream_are_ignored(nats, name):
    journal = await open_journal(nats, name)
    await journal.append(sample_entry(3))
    await journal.save_snapshot(Snapshot(2, b"two"))
    for subject in (f"{name}.s.{journal.epoch}.x", f"{name}.s.{journal.epoch}.1.1.3.5.ab.1"):
        await journal.connection.publish_to_stream(subject, b"garbage")
    assert await journal.load_snapshot() == Snapshot(2, b"two")
    later = await open_journal(nats, name)
    assert (later.head, await later.load_snapshot()) == (3, Snapshot(2, b"two"))
    for each in (journal, later):
        await each.close()


async def test_append_rejects_an_entry_above_the_size_limit(nats, name):
    journal = await open_journal(nats, name)
    with pytest.raises(JournalEntryTooLarge, match=r"exceeds the message limit of NATS .* raise max_payload"):
        await journal.append(named_entry("note", "x" * 1_100_000))
    assert (await journal.append(sample_entry(20_000))).last == 20_000
    await journal.close()


async def test_a_stream_that_loses_messages_begins_a_new_epoch(own_nats, name):
    """The stream ends before the position of the process, for example after a server has lost its disk."""
    journal = await open_journal(own_nats, name)
    for _ in range(3):
        await journal.append(sample_entry(1))
    connection = journal.connection
    following = asyncio.ensure_future(anext(journal.follow(3)))
    # The consumer believes that it has read more messages than the stream contains.
    journal._consumer.position += 5
    journal._consumer._restart_needed.set()
    with pytest.raises(JournalError, match="has lost messages: it ends at message 3"):
        await following
    epoch = parse_epoch(await read_stream_info(connection, name))
    assert epoch != journal.epoch
    reopened = await open_journal(own_nats, name)
    assert (reopened.epoch, reopened.head) == (epoch, 3)
    for each in (journal, reopened):
        await each.close()


async def test_a_server_that_is_behind_for_a_moment_ends_no_process(nats, name, monkeypatch):
    """A new leader may report a stream end that is older than the true end."""
    journal = await open_journal(nats, name)
    await journal.append(sample_entry(1))
    answers = []

    async def report_old_end_once(connection, stream, subject_filter=""):
        info = await read_stream_info(connection, stream, subject_filter)
        answers.append(info)
        if len(answers) == 1:
            info["state"]["last_seq"] = 0
        return info

    monkeypatch.setattr(consumer, "read_stream_info", report_old_end_once)
    journal._consumer._restart_needed.set()
    await wait_until(lambda: len(answers) > 1 and journal.unavailable_reason() is None)
    assert (await journal.append(sample_entry(1))).last == 2
    await journal.close()


async def test_a_stream_behind_its_snapshot_is_opened_with_a_new_epoch(nats, name, monkeypatch):
    monkeypatch.setattr(opening, "_OPEN_TIMEOUT_S", 0.0)
    journal = await open_journal(nats, name)
    await journal.append(sample_entry(5))
    await journal.save_snapshot(Snapshot(3, b"three"))
    await journal.connection.publish_to_stream(f"{name}.s.{journal.epoch}.9.9.9.1.ab.1", b"")
    await journal.close()
    async with open_journal_and_cluster(f"{nats.url}/{name}", JournalOptions(), SystemClock()) as (reopened, _):
        assert reopened.epoch != journal.epoch
        assert (reopened.head, await reopened.load_snapshot()) == (5, None)


async def test_processes_can_start_together_with_the_cluster(name, tmp_path):
    """A server that has just started may not know a stream that another server has created."""
    with NatsCluster(tmp_path) as cluster:
        spec, options = f"{cluster.url}/{name}", JournalOptions(replicas=3)
        async with contextlib.AsyncExitStack() as cleanup:
            openings = [
                cleanup.enter_async_context(open_journal_and_cluster(spec, options, SystemClock())) for _ in range(8)
            ]
            journals = [journal for journal, _ in await asyncio.gather(*openings)]
            spans = await asyncio.gather(*(journal.append(sample_entry(1)) for journal in journals))
    assert len({journal.epoch for journal in journals}) == 1
    assert sorted(span.first for span in spans) == [*range(1, 9)]


def verbose_ticks(count: int) -> JournalEntry:
    """Return ticks with all fields and many digits, whose JSON is three times as large as their packed form."""
    ticks = blank_ticks(count)
    ticks["symbol"], ticks["ts"] = b"ABCDEFGHIJKLMNOP", 1_767_366_000_000_000_000
    for name in ("last", "bid", "ask", "bid_size", "ask_size", "size", "volume"):
        ticks[name] = 12_345.678901234
    return ticks_entry(ticks, source="test")


async def test_entries_that_are_too_large_as_json_do_not_block_others(nats, name):
    """A single entry and a group of entries are split into several messages."""
    options = JournalOptions(codec="json")
    async with open_journal_and_cluster(f"{nats.url}/{name}", options, SystemClock()) as (journal, _):
        assert await journal.append(verbose_ticks(9_000)) == (1, 9_000, True)
        spans = await asyncio.gather(*(journal.append(verbose_ticks(2_000)) for _ in range(6)))
        assert [span.last for span in spans] == [9_000 + 2_000 * number for number in range(1, 7)]
        records = await collect_records(journal, 9_000, 21_000)
        assert [record.last for record in records] == [span.last for span in spans]
