"""The entries and records of a journal."""

from __future__ import annotations

import numpy as np
import pytest

from tickwire.core.correction import TradeCorrection, correction_ticks
from tickwire.core.event import (
    MAX_EVENTS_PER_TURN,
    MAX_RECORDS_PER_TURN,
    JournalRecord,
    RecordKind,
    Turn,
    decode_named_event,
    named_entry,
    split_into_turns,
    ticks_entry,
)
from tickwire.core.tick import Tick, pack_ticks


def test_named_event_round_trips() -> None:
    entry = named_entry("status", {"state": "running"})
    named = decode_named_event(JournalRecord(1, 1, RecordKind.NAMED_EVENT, 0, entry.data))
    assert (named.name, bytes(named.data)) == ("status", b'{"state":"running"}')


def test_ticks_entry_rejects_other_arrays() -> None:
    with pytest.raises(TypeError, match="expected an array of"):
        ticks_entry(np.zeros(1))


@pytest.mark.parametrize(
    ("counts", "turns"),
    [
        ([], []),
        ([1, 2], [[1, 2]]),
        ([MAX_EVENTS_PER_TURN], [[MAX_EVENTS_PER_TURN]]),
        ([1, MAX_EVENTS_PER_TURN + 1, 2], [[1], [MAX_EVENTS_PER_TURN], [1], [2]]),
        ([MAX_EVENTS_PER_TURN - 1, 1, 1], [[MAX_EVENTS_PER_TURN - 1, 1], [1]]),
        ([1] * (MAX_RECORDS_PER_TURN + 1), [[1] * MAX_RECORDS_PER_TURN, [1]]),
    ],
)
def test_a_turn_is_small_and_contains_every_event_once(counts: list[int], turns: list[list[int]]) -> None:
    records, first = [], 1
    for count in counts:
        ticks = [Tick(symbol=f"S{number}", last=1.0) for number in range(first, first + count)]
        records.append(JournalRecord(first, count, RecordKind.TICKS, 5, pack_ticks(ticks, now=0).tobytes(), "a"))
        first += count
    split = list(split_into_turns(records))
    assert [[part.event_count for part in turn.parts] for turn in split] == turns
    assert [record for turn in split for record in turn.starting_records] == records
    parts = [part for turn in split for part in turn.parts]
    assert b"".join(part.data for part in parts) == b"".join(record.data for record in records)
    assert [part.first for part in parts] == [
        1 + sum(each.event_count for each in parts[:n]) for n in range(len(parts))
    ]


def test_a_record_of_candles_is_never_split() -> None:
    record = JournalRecord(1, MAX_EVENTS_PER_TURN + 1, RecordKind.CANDLES, 5, b"")
    assert [*split_into_turns([record])] == [Turn([record], [record])]


def test_a_corrected_trade_is_in_the_same_turn_as_the_wrong_one() -> None:
    """The hub applies the parts of a record one by one, but a catch-up applies the whole record to its board."""
    correction = TradeCorrection(symbol="A", ts=5, last=10.0, size=1.0, corrected_last=11.0, corrected_size=2.0)
    trades = pack_ticks([Tick(symbol=f"S{number}", last=1.0) for number in range(MAX_EVENTS_PER_TURN)], now=0)
    ticks = np.concatenate([trades[1:], correction_ticks([correction]), trades])
    record = JournalRecord(1, len(ticks), RecordKind.TICKS, 5, ticks.tobytes(), "a")
    parts = [part for turn in split_into_turns([record]) for part in turn.parts]
    assert [(part.first, part.event_count) for part in parts] == [
        (1, MAX_EVENTS_PER_TURN + 1),
        (MAX_EVENTS_PER_TURN + 2, MAX_EVENTS_PER_TURN),
    ]
    assert b"".join(part.data for part in parts) == record.data
