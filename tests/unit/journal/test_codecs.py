"""The encodings of a commit."""

from __future__ import annotations

import re
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.core.candle import CANDLE_DTYPE, INTERVAL_SECONDS
from tickwire.core.event import JournalEntry, RecordKind, candles_entry, named_entry
from tickwire.core.event_id import MAX_SEQUENCE
from tickwire.core.record_check import check_record
from tickwire.core.tick import MAX_PRICE, MAX_SIZE, TICK_DTYPE
from tickwire.core.timestamps import MAX_TIMESTAMP_NS
from tickwire.errors import JournalUnreadable
from tickwire.journal.codecs import tickwire_pb2
from tickwire.journal.codecs.commit import Commit, CommitItem, encode_packed, item_from_entry, number_items
from tickwire.journal.codecs.registry import decode_commit, find_codec

CODECS = ["packed", "json", "protobuf", "flatbuffers"]
not_reported = st.just(float("nan"))
empty_side = st.just(float("inf"))
prices = st.floats(-MAX_PRICE, MAX_PRICE)
sizes = st.floats(0, MAX_SIZE).map(abs)
times = st.integers(0, MAX_TIMESTAMP_NS)
symbols = st.from_regex(rb"[A-Z0-9.-]{1,32}|NIFTY 50", fullmatch=True)
tick_rows = st.tuples(
    symbols,
    times,
    prices | not_reported,
    *[prices | not_reported | empty_side] * 2,
    *[sizes | not_reported | empty_side] * 2,
    *[sizes | not_reported] * 2,
)


def build_ticks_entry(rows):
    """Return an entry of packed ticks in which every NaN has the same bits."""
    ticks = np.array(rows, dtype=TICK_DTYPE)
    for name in TICK_DTYPE.names[2:]:
        ticks[name][np.isnan(ticks[name])] = np.nan
    return JournalEntry(RecordKind.TICKS, len(ticks), ticks.tobytes())


candle_rows = st.tuples(
    symbols,
    st.sampled_from([*INTERVAL_SECONDS.values()]),
    times,
    *[st.floats(allow_nan=False, allow_infinity=False)] * 5,
)


entries = st.builds(
    lambda entry, source, key, term: entry._replace(source=source, key=key, term=term),
    st.lists(tick_rows, min_size=1, max_size=5).map(build_ticks_entry)
    | st.lists(candle_rows, min_size=1, max_size=5).map(lambda rows: candles_entry(np.array(rows, dtype=CANDLE_DTYPE)))
    | st.builds(named_entry, st.from_regex(r"x[a-z0-9_.-]{0,63}", fullmatch=True), st.integers()),
    st.text(max_size=10),
    st.none() | st.text(max_size=10),
    st.none() | st.integers(0, 4),
)


@pytest.mark.parametrize("name", CODECS)
@given(batch=st.lists(entries, min_size=1, max_size=4), first=st.integers(5, MAX_SEQUENCE - 1_000), ts=times)
def test_decode_commit_detects_the_codec_and_returns_the_commit(name, batch, first, ts):
    commit = Commit(first, "0f", [item_from_entry(entry, ts) for entry in batch])
    assert decode_commit(find_codec(name).encode(commit)) == commit


FUZZ_COMMIT = Commit(
    7,
    "0f",
    [
        item_from_entry(build_ticks_entry([(b"AA", 5, *[1.0] * 7), (b"B", 6, *[float("nan")] * 7)]), 10**18),
        item_from_entry(named_entry("note", {"a": [1, "x"]}, kind="message", target="user:a"), 10**18),
        item_from_entry(candles_entry(np.array([(b"AA", 60, 0, *[1.0] * 5)], CANDLE_DTYPE), source="c", key="1"), 5),
    ],
)
# The messages of each encoding begin with one of these byte strings.
PREFIXES = [b"", b"\x94\xaatickwire.1", b"{", b"\x08", b"\0\0\0\0TWB1"]
edits = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6)


def check_decodes_or_is_unreadable(data):
    """Decode a message. Any exception other than JournalUnreadable is a failure."""
    message, commit = "", None
    try:
        commit = decode_commit(data)
    except JournalUnreadable as error:
        message = str(error)
    assert len(message) < 300, "the error contains only a part of the data"
    if commit is None:
        return
    for part in number_items(commit):
        assert part.span.first <= part.span.last
        check_record(part.item.kind, part.item.count, part.item.ts, part.item.data)
    assert sum(len(item.data) for item in commit.items) <= 8 * len(data)


@given(data=st.binary(max_size=300), prefix=st.sampled_from(PREFIXES))
def test_random_bytes_are_unreadable_or_valid(data, prefix):
    check_decodes_or_is_unreadable(prefix + data)


@pytest.mark.parametrize("name", CODECS)
@given(edits=edits, cut=st.none() | st.integers(0, 1_000), repeat=st.integers(1, 2))
def test_mutated_commits_are_unreadable_or_valid(name, edits, cut, repeat):
    data = bytearray(find_codec(name).encode(FUZZ_COMMIT))
    for position, value in edits:
        data[position % len(data)] = value
    check_decodes_or_is_unreadable(bytes(data[:cut]) * repeat)


def test_a_flatbuffers_message_cannot_expand_in_memory():
    """All entries of the vector refer to the same entry with 64 KB of data."""
    item = item_from_entry(named_entry("note", "x" * 65_000), 1)
    data = bytearray(find_codec("flatbuffers").encode(Commit(1, "", [item] * 3)))
    root = int.from_bytes(data[:4], "little")
    vtable = root - int.from_bytes(data[root : root + 4], "little", signed=True)
    field = root + int.from_bytes(data[vtable + 8 : vtable + 10], "little")
    vector = field + int.from_bytes(data[field : field + 4], "little")
    target = vector + 4 + int.from_bytes(data[vector + 4 : vector + 8], "little")
    for index in range(3):
        start = vector + 4 + 4 * index
        data[start : start + 4] = (target - start).to_bytes(4, "little")
    assert decode_commit(bytes(data)).last == 3, "three references fit into the size of the message"
    tail = vector + 4 + 4 * 3
    grown = data[:vector] + (3_000).to_bytes(4, "little") + data[vector + 4 : tail]
    with pytest.raises(JournalUnreadable):
        decode_commit(bytes(grown + data[tail:]))


INVALID_COMMITS = {
    "no entries": Commit(5, "", []),
    "first event 0": Commit(0, "", FUZZ_COMMIT.items),
    "first event below 0": Commit(-5, "", FUZZ_COMMIT.items),
    "event numbers above the limit": Commit(MAX_SEQUENCE, "", FUZZ_COMMIT.items),
    "a term above the limit": Commit(5, "", [CommitItem(2, 1, 0, FUZZ_COMMIT.items[1].data, term=10**18)]),
    "a term below 0": Commit(5, "", [CommitItem(2, 1, 0, FUZZ_COMMIT.items[1].data, term=-1)]),
    "an unreadable entry": Commit(5, "", [CommitItem(int(RecordKind.UNREADABLE), 1, 0, b"")]),
}


@pytest.mark.parametrize("commit", INVALID_COMMITS.values(), ids=INVALID_COMMITS)
def test_decode_commit_rejects_an_invalid_commit(commit):
    with pytest.raises(JournalUnreadable, match="invalid message in the journal: "):
        decode_commit(encode_packed(commit))


@pytest.mark.parametrize("data", [b"", b"{", b'{"first":1}', b"\x08\xff", b"\0\0\0\0TWB1", b"\xff" * 40, b"hello"])
def test_decode_commit_rejects_other_data(data):
    with pytest.raises(JournalUnreadable, match="invalid message in the journal: "):
        decode_commit(data)


def test_number_items_continues_from_entry_to_entry():
    commit = Commit(5, "", [item_from_entry(JournalEntry(RecordKind.TICKS, count, b""), 0) for count in (2, 1, 3)])
    assert [(part.span.first, part.span.last) for part in number_items(commit)] == [(5, 6), (7, 7), (8, 10)]
    assert commit.last == 10


def test_protobuf_schema_matches_the_generated_module():
    text = (files("tickwire") / "schemas" / "tickwire.proto").read_text()
    for name, body in re.findall(r"message (\w+) \{(.*?)\n\}", text, re.DOTALL):
        numbers = {field: int(number) for field, number in re.findall(r"(\w+) = (\d+);", body)}
        fields = tickwire_pb2.DESCRIPTOR.message_types_by_name[name].fields
        assert numbers == {field.name: field.number for field in fields}


@pytest.mark.parametrize(("struct", "packed"), [("Tick", TICK_DTYPE), ("Candle", CANDLE_DTYPE)])
def test_flatbuffers_structs_have_the_fields_of_packed_rows(struct, packed):
    text = (files("tickwire") / "schemas" / "tickwire.fbs").read_text()
    body = text.partition(f"struct {struct} {{")[2].partition("}")[0]
    assert tuple(re.findall(r"^ *(\w+):", body, re.MULTILINE)) == packed.names
