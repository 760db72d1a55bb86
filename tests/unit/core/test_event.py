"""The entries and records of a journal."""

from __future__ import annotations

import numpy as np
import pytest

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
