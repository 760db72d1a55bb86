"""What it costs to bring readers up from far behind, and what is kept for it."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from tickwire.core.ids import EventId
from tickwire.errors import JournalDamaged
from tickwire.hub import made, past, pieces
from tickwire.hub.catchup import CatchUp
from tickwire.hub.channel import Channel
from tickwire.hub.head import Head
from tickwire.hub.start import after, earliest, fresh
from tickwire.hub.subscription import Subscription
from tickwire.hub.tally import Tally
from tickwire.testing.market import Market
from tickwire.testing.sink import HandSink

ALL = Subscription(delivery="all")


class Reads:
    """Counts what is read of a market's journal."""

    def __init__(self, market: Market) -> None:
        self.sizes: list[tuple[int, int]] = []  # events and bytes of each read
        self._read = market.journal.read
        market.journal.read = self  # type: ignore[method-assign,assignment]

    async def __call__(self, *given, **named):
        records = await self._read(*given, **named)
        self.sizes.append((sum(record.count for record in records), sum(len(record.data) for record in records)))
        return records


async def arrive(market: Market, reader) -> None:
    while not reader.live:
        await market.settle()


async def test_the_past_is_read_once_for_all_who_are_behind() -> None:
    """Not for every few events of every reader: what was read and is not yet wanted is kept."""
    market = Market(recent=100)
    await market.save()
    for number in range(200):
        await market.trade(*[(f"S{each}", float(number)) for each in range(20)])
    reads = Reads(market)
    sinks = [HandSink() for _ in range(3)]
    for sink in sinks:
        await arrive(market, market.read(ALL, earliest(market.hub.history(), ALL), sink))
    assert [[number for number, _, _ in sink.events()] for sink in sinks] == [[*range(1, 4_001)]] * 3
    assert sum(events for events, _ in reads.sizes) < 2 * 4_000
    await market.close()


async def test_what_is_kept_of_the_past_is_bounded_by_bytes_too(monkeypatch) -> None:
    """A message may be large: some are read at once, and few are kept."""
    monkeypatch.setattr(past, "STEP_BYTES", 100_000)
    monkeypatch.setattr(past, "_FEW", 16)
    monkeypatch.setattr(made, "MOST_BYTES", 300_000)
    market = Market(recent=10)
    await market.save()
    for number in range(300):
        await market.tell("note", {"number": number, "text": "x" * 5_000}, kind="message")
    wanted = Subscription(events=["message"], delivery="all")
    reads, sink = Reads(market), HandSink()
    await arrive(market, market.read(wanted, earliest(market.hub.history(), wanted), sink))
    assert [data["number"] for _, _, data in sink.events()] == [*range(300)]
    assert max(size for _, size in reads.sizes) < 400_000
    assert market.hub._past._made._bytes <= 300_000
    assert len(market.hub._past._made._firsts) == len(market.hub._past._made._items) < 70
    await market.close()


async def test_a_snapshot_is_made_while_it_is_sent() -> None:
    """A reader that stalls in the middle keeps none of it in memory; what came meanwhile follows, each event once."""
    market = Market()
    await market.trade(*[(f"S{each}", 1.0) for each in range(100)])
    sink = HandSink()
    sink.room = 3
    reader = market.read(ALL, fresh(market.hub.history(), snapshot=True), sink)
    await market.settle()
    await market.trade(*[(f"S{each}", 2.0) for each in range(50, 100)])
    sink.drain()
    await arrive(market, reader)
    events = sink.events()
    numbers = [number for number, _, _ in events]
    assert numbers == sorted(set(numbers))
    assert numbers[-50:] == [*range(101, 151)]
    assert sum(data["last"] == 1.0 for _, _, data in events) <= 64  # others were replaced before they could be sent
    await market.close()


async def test_a_journal_that_cannot_be_read_is_no_journal_that_has_expired(caplog) -> None:
    """The reader is told so in the gap, and whoever runs the server what is wrong."""
    market = Market(recent=10)
    for number in range(100):
        await market.trade(("A", float(number)))

    async def damaged(*given, **named):
        raise JournalDamaged("event 7 is missing")

    market.journal.read = damaged  # type: ignore[method-assign]
    sink = HandSink()
    with caplog.at_level(logging.ERROR):
        await arrive(market, market.read(ALL, earliest(market.hub.history(), ALL), sink))
    assert sink.events()[0][1:] == (
        "gap",
        {"from": market.hub.history().id(0), "to": market.hub.history().id(100), "reason": "unreadable"},
    )
    assert "event 7 is missing" in caplog.text
    assert (market.hub.stats().gaps, market.hub.stats().unreadable) == (1, 1)
    await market.close()


@pytest.mark.parametrize("fields", [None, ["last"]])
async def test_equal_frames_are_made_once_for_all_filters(fields) -> None:
    """A projection is no reason to encode a quote for every reader."""
    market = Market()
    await market.trade(("A", 1.0))
    readers = [
        market.read(
            Subscription(filter=f"last > {least}", fields=fields),
            fresh(market.hub.history(), snapshot=True),
            HandSink(),
        )
        for least in range(5)
    ]
    await market.settle()
    await market.trade(("A", 9.0))
    (item,) = market.hub._recent.after(1, 1)
    wanted = market.hub.roster.channels[readers[0]].subscription.fields
    assert item.frames([0], wanted)[0] is item.frames([0], wanted)[0]
    await market.close()


@pytest.mark.parametrize("delivery", ["all", "latest"])
async def test_what_a_crowd_misses_is_put_together_once(monkeypatch, delivery: str) -> None:
    """Readers at one place share each piece, with a snapshot too; what is for one of them is only that one's."""
    calls = Counter[str]()

    def count(name: str, real) -> None:
        def counted(*given):
            calls[name] += 1
            return real(*given)

        monkeypatch.setattr(CatchUp, name, counted)

    count("_newest", CatchUp._newest)
    count("_first", CatchUp._first)
    market = Market()
    await market.trade(*[(f"S{each}", 1.0) for each in range(100)])
    wanted = Subscription(events=["quote", "message"], delivery=delivery)
    for _ in range(30):
        await arrive(market, market.read(wanted, fresh(market.hub.history(), snapshot=True), HandSink()))
    most = 100 // 16 + 2  # and a look whether there is more
    assert calls["_newest"] <= 2 * most  # the first comes alone, and nothing is kept for it
    history = market.hub.history()
    await market.trade(*[(f"S{each}", 2.0) for each in range(80)])
    await market.tell("note", {"to": "all"}, kind="message")
    await market.tell("note", {"to": "one"}, kind="message", target="c0")
    calls.clear()
    behind = after(history, EventId(history.epoch, history.head), wanted)
    sinks = [HandSink() for _ in range(30)]
    for number, sink in enumerate(sinks):
        await arrive(market, market.read(wanted, behind, sink, f"c{number}"))
    events = [sink.events() for sink in sinks]
    assert all(found == events[1] for found in events[2:])
    assert [data for _, name, data in events[1] if name == "note"] == [{"to": "all"}]
    assert [data for _, name, data in events[0] if name == "note"] == [{"to": "all"}, {"to": "one"}]
    assert len(events[1]) == 81
    assert sum(calls.values()) < 30 * 3, calls
    await market.close()


async def test_pieces_are_kept_in_a_bounded_number_of_bytes(monkeypatch) -> None:
    """And only while the head stands still."""
    monkeypatch.setattr(pieces, "_MOST_BYTES", 10_000)
    head = Head("e", 5)
    kept = pieces.Pieces(head)
    channel = Channel(ALL, head, Tally())
    kept.keep(channel, 0, None, pieces.Piece(b"x", 1))
    assert kept.at(channel, 0) is None  # nobody to share it
    channel.readers = 2
    for position in range(100):
        kept.keep(channel, position, None, pieces.Piece(b"x" * 1_000, position + 1))
        assert kept.at(channel, position) == (b"x" * 1_000, position + 1, 0)
    assert kept._bytes <= 10_000 + 1_300
    assert len(kept._made) <= 9
    head.sequence = 6
    assert kept.at(channel, 99) is None
