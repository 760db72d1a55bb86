"""The journal on NATS where several processes have it, servers die, and things are not as they should be."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal

import pytest

from tickwire.clock import SystemClock
from tickwire.core.event import CLAIM, Entry, Kind, named_entry, ticks_entry
from tickwire.core.tick import empty
from tickwire.errors import JournalAway, JournalError, JournalFenced
from tickwire.journal.base import Retention, State
from tickwire.journal.nats import fetch
from tickwire.journal.nats.address import parse_address
from tickwire.journal.nats.commit import Commit, Item, encode_packed
from tickwire.journal.nats.journal import NatsJournal
from tickwire.journal.nats.link import Link
from tickwire.journal.open import JournalOptions, opened_journal
from tickwire.testing.journal_contract import batch, take
from tickwire.testing.nats import NatsCluster, NatsServer


async def opened(server, name, retention=Retention()):  # noqa: B008  # a constant
    return await NatsJournal.open(parse_address(server.url, name), retention, SystemClock())


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


async def test_several_writers_give_one_order_without_holes(nats, name):
    """Three processes append at the same time: every number once, each entry where its answer says, all read alike."""
    journals = [await opened(nats, name) for _ in range(3)]
    rng = random.Random(4)
    appends = [(journals[number % 3], batch(rng.randint(1, 5), key=str(number))) for number in range(120)]
    spans = await asyncio.gather(*(journal.append(entry) for journal, entry in appends))
    total = sum(entry.count for _, entry in appends)
    records = [await take(journal, 0, total) for journal in journals]
    assert records[0] == records[1] == records[2]
    assert sorted((span.first, span.last) for span in spans) == [(each.first, each.last) for each in records[0]]
    assert records[0][-1].last == total
    for journal in journals:
        await journal.close()


async def test_a_key_is_taken_once_whoever_comes_with_it(nats, name):
    """Two processes with the same key at the same time, and one that starts later: one entry, one answer."""
    one, two = await opened(nats, name), await opened(nats, name)
    spans = await asyncio.gather(one.append(batch(3, key="k")), two.append(batch(3, key="k")))
    assert sorted(span.fresh for span in spans) == [False, True]
    later = await opened(nats, name)
    assert await later.append(batch(3, key="k")) == spans[0]._replace(fresh=False)
    assert await later.last_key("feed") == "k"
    assert later.head == 3
    for journal in (one, two, later):
        await journal.close()


async def test_history_is_read_by_who_was_not_there(nats, name):
    """A process that starts later reads the past by position, limit, kind and time, and finds the summaries."""
    writer = await opened(nats, name)
    for number in range(400):
        await writer.append(batch(number % 7 + 1) if number % 10 else named_entry("status", {"n": number}))
    await writer.save_state(State(700, b"x" * 600_000))
    everything = await writer.read(0, limit=10_000)
    reader = await opened(nats, name)
    assert list(await reader.read(0, limit=10_000)) == list(everything)
    middle = everything[200]
    assert [each.first for each in await reader.read(middle.first - 1, limit=1)] == [middle.first]
    assert all(each.kind is Kind.NAMED for each in await reader.read(0, limit=30, kind=Kind.NAMED))
    assert await reader.find(middle.ts) in {each.last for each in everything[190:200]}
    assert await take(reader, everything[5].last, everything[-1].last) == list(everything[6:])
    assert await reader.load_state() == State(700, b"x" * 600_000)
    await writer.close()
    await reader.close()


async def test_a_consumer_that_stays_silent_is_not_the_end_of_history(nats, name, monkeypatch):
    """As one may after a server has died: it is asked through another one, and what is there is read."""
    writer = await opened(nats, name)
    for _ in range(10):
        await writer.append(batch(3))
    reader, made = await opened(nats, name), []

    async def one_silent(link, stream, *given):
        made.append(await consumer(link, stream, *given))
        return made[-1] if len(made) > 1 else "nobody"

    consumer = fetch._consumer
    monkeypatch.setattr(fetch, "_consumer", one_silent)
    assert len(await reader.read(0)) == 10
    assert len(made) > 1
    await writer.close()
    await reader.close()


async def test_an_older_term_cannot_append(nats, name):
    """Who led and was held up finds its entries refused once another has claimed the feed, also those under way."""
    old, new = await opened(nats, name), await opened(nats, name)
    first = await old.append(named_entry("status", {})._replace(source="feed", term=CLAIM))
    assert (await old.append(batch(2)._replace(term=first.last))).fresh
    claim = new.append(named_entry("status", {})._replace(source="feed", term=CLAIM))
    late = old.append(batch(2)._replace(term=first.last))
    taken, refused = await asyncio.gather(claim, late, return_exceptions=True)
    if not isinstance(refused, JournalFenced):  # it came before the claim
        assert refused.last < taken.last
    with pytest.raises(JournalFenced, match="another process"):
        await old.append(batch(1)._replace(term=first.last))
    assert (await new.append(batch(1)._replace(term=taken.last))).fresh
    await old.close()
    await new.close()


@pytest.mark.timeout(30)
async def test_a_killed_server_loses_and_repeats_nothing(own_nats, name):
    """kill -9 while two processes append and one follows: after its return everything acknowledged is there, once."""
    writers, follower = [await opened(own_nats, name) for _ in range(2)], await opened(own_nats, name)
    acknowledged, seen = [], []

    async def write(place, journal):
        for number in range(400):
            entry = batch(2, key=f"{place}-{number}", source="s")._replace(term=1)  # waits as long as it takes
            acknowledged.append((await journal.append(entry), entry))

    async def follow():
        async for records in follower.follow(0):
            seen.extend(records)

    following = asyncio.create_task(follow())
    writing = [asyncio.create_task(write(place, journal)) for place, journal in enumerate(writers)]
    for goal in (150, 500):
        await until(lambda goal=goal: len(acknowledged) >= goal)
        own_nats.kill()
        await until(lambda: follower.fault() is not None)
        own_nats.start()
    await asyncio.gather(*writing)
    await until(lambda: seen and seen[-1].last == 1600)
    assert [(each.first, each.last) for each in seen] == sorted((span.first, span.last) for span, _ in acknowledged)
    for journal in (*writers, follower):
        await journal.close()
    await following


async def test_a_silent_server_is_noticed(own_nats, name):
    """A server that is stopped, not ended, leaves connections open: the journal says so within seconds, and goes on."""
    journal = await opened(own_nats, name)
    own_nats.signal(signal.SIGSTOP)
    await until(lambda: journal.fault() is not None)
    with pytest.raises(JournalAway):
        await journal.append(batch(1))
    own_nats.signal(signal.SIGCONT)
    await until(lambda: journal.fault() is None)
    assert (await journal.append(batch(1))).fresh
    await journal.close()


async def test_a_lost_stream_is_not_taken_for_the_old_one(nats, name):
    """Deleted under our feet: followers get an error, not numbers that mean something else; a new epoch is another."""
    journal = await opened(nats, name)
    await journal.append(batch(5))
    link = await Link.open(journal.link.address)
    following = asyncio.ensure_future(anext(journal.follow(5)))
    await link.api(f"STREAM.DELETE.{name}")
    with pytest.raises(JournalError, match="is gone from NATS"):
        await following
    again = await opened(nats, name)
    assert again.epoch != journal.epoch
    assert again.head == 0
    for each in (journal, again, link):
        await each.close()


async def test_an_emptied_stream_has_another_epoch(nats, name):
    """Where somebody purged the stream, the old numbers are unknown: they are not given again under the old name."""
    journal = await opened(nats, name)
    await journal.append(batch(5))
    await journal.close()
    link = await Link.open(journal.link.address)
    await link.api(f"STREAM.PURGE.{name}")
    again = await opened(nats, name)
    assert again.epoch != journal.epoch
    assert (await again.append(batch(2))).first == 1
    await again.close()
    await link.close()


async def test_what_stands_in_the_way_is_one_sentence(nats, name, tmp_path):
    """Nobody there, no JetStream, a stranger's stream, a stranger's subjects: each says what and what to do."""
    address = parse_address(nats.url, name)
    link = await Link.open(address)
    await link.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.other"], "storage": "memory"})
    with pytest.raises(JournalError, match="is not Tickwire's: name another journal"):
        await opened(nats, name)
    await link.api(f"STREAM.DELETE.{name}")
    await link.api(f"STREAM.CREATE.{name}x", {"name": f"{name}x", "subjects": [f"{name}.>"], "storage": "memory"})
    with pytest.raises(JournalError, match="another stream on NATS takes subjects"):
        await opened(nats, name)
    await link.close()
    plain = NatsServer(tmp_path, jetstream=False)
    with plain, pytest.raises(JournalError, match="start nats-server with -js"):
        await opened(plain, name)  # asked for a while: a cluster would choose a leader
    with pytest.raises(JournalError, match=r"cannot reach NATS at 127\.0\.0\.1"):
        await Link.open(parse_address(plain.url, name), seconds=0.2)


async def test_a_full_stream_refuses_and_goes_on(nats, name):
    """Where the stream may not grow, what is appended is refused by name and nothing is dropped for it."""
    journal = await opened(nats, name)
    await journal.append(batch(10))
    link = journal.link
    info = await link.api(f"STREAM.INFO.{name}")
    await link.api(f"STREAM.UPDATE.{name}", {**info["config"], "max_bytes": info["state"]["bytes"] + 100})
    with pytest.raises(JournalError, match="cannot be written: maximum bytes exceeded"):
        await journal.append(batch(10))
    await link.api(f"STREAM.UPDATE.{name}", {**info["config"], "max_bytes": -1})
    assert (await journal.append(batch(10))).first == 11
    await journal.close()


async def test_a_message_of_a_stranger_ends_it(nats, name):
    """What is no commit, or does not count on from the one before, is an error and never a guess."""
    journal = await opened(nats, name)
    await journal.append(batch(3))
    item = Item(int(Kind.TICKS), 1, 0, b"")
    await journal.link.stored(f"{name}.e", encode_packed(Commit(9, "stranger", [item])))
    with pytest.raises(JournalError, match="begins with event 9, not 4"):
        await anext(journal.follow(3))
    await journal.close()


async def test_too_large_an_entry_is_refused(nats, name):
    """NATS has a largest message; an entry beyond it is named with both sizes."""
    journal = await opened(nats, name)
    with pytest.raises(JournalError, match="larger than a message may be on NATS"):
        await journal.append(batch(20_000))
    assert (await journal.append(batch(10_000))).last == 10_000
    await journal.close()


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_many_may_start_at_once_with_the_cluster(name, tmp_path):
    """Servers that just begin know nothing of a stream that one of them has made: who is told so asks again."""
    with NatsCluster(tmp_path) as cluster:
        spec, options = f"{cluster.url}/{name}", JournalOptions(replicas=3)
        async with contextlib.AsyncExitStack() as leaving:
            opening = [leaving.enter_async_context(opened_journal(spec, options, SystemClock())) for _ in range(8)]
            journals = [journal for journal, _ in await asyncio.gather(*opening)]
            spans = await asyncio.gather(*(journal.append(batch(1)) for journal in journals))
    assert len({journal.epoch for journal in journals}) == 1
    assert sorted(span.first for span in spans) == [*range(1, 9)]


def wordy(count: int) -> Entry:
    """Ticks that say all there is with many digits: as JSON three times as long as packed."""
    ticks = empty(count)
    ticks["symbol"], ticks["ts"] = b"ABCDEFGHIJKLMNOP", 1_767_366_000_000_000_000
    for name in ("last", "bid", "ask", "bid_size", "ask_size", "size", "volume"):
        ticks[name] = 12_345.678901234
    return ticks_entry(ticks, source="test")


async def test_what_is_too_large_in_another_form_holds_nobody_up(nats, name):
    """Alone it is refused; together with others it goes in more than one message, and what follows goes on."""
    options = JournalOptions(codec="json")
    async with opened_journal(f"{nats.url}/{name}", options, SystemClock()) as (journal, _):
        with pytest.raises(JournalError, match="larger than a message may be"):
            await journal.append(wordy(9_000))
        spans = await asyncio.gather(*(journal.append(wordy(2_000)) for _ in range(6)))
        assert [span.last for span in spans] == [2_000 * number for number in range(1, 7)]
        assert [record.last for record in await take(journal, 0, 12_000)] == [span.last for span in spans]
