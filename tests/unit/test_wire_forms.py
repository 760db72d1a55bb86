"""Commits in every form in which they travel."""

from __future__ import annotations

import re
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.core.candle import CANDLE, INTERVALS
from tickwire.core.event import Entry, Kind, candles_entry, named_entry
from tickwire.core.tick import TICK
from tickwire.errors import JournalError
from tickwire.journal.nats.commit import Commit, item_of, parts
from tickwire.journal.nats.wire import tickwire_pb2
from tickwire.journal.nats.wire.forms import decode, form

FORMS = ["packed", "json", "protobuf", "flatbuffers"]
numbers = st.floats(width=64, allow_nan=True, allow_infinity=False) | st.just(float("inf"))
rows = st.tuples(st.from_regex(rb"[A-Z0-9.-]{1,16}", fullmatch=True), st.integers(0, 2**62), *[numbers] * 7)


def ticks_of(found):
    """Packed ticks; whatever NaN a number is, it is the usual one."""
    ticks = np.array(found, dtype=TICK)
    for name in TICK.names[2:]:
        ticks[name][np.isnan(ticks[name])] = np.nan
    return Entry(Kind.TICKS, len(ticks), ticks.tobytes())


bars = st.tuples(
    st.from_regex(rb"[A-Z0-9.-]{1,16}", fullmatch=True),
    st.sampled_from([*INTERVALS.values()]),
    st.integers(0, 2**62),
    *[st.floats(allow_nan=False, allow_infinity=False)] * 5,
)


entries = st.builds(
    lambda entry, source, key, term: entry._replace(source=source, key=key, term=term),
    st.lists(rows, min_size=1, max_size=5).map(ticks_of)
    | st.lists(bars, min_size=1, max_size=5).map(lambda found: candles_entry(np.array(found, dtype=CANDLE)))
    | st.builds(named_entry, st.text(), st.integers()),
    st.text(max_size=10),
    st.none() | st.text(max_size=10),
    st.none() | st.integers(0, 2**53),
)


@pytest.mark.parametrize("name", FORMS)
@given(found=st.lists(entries, min_size=1, max_size=4), first=st.integers(1, 2**60), ts=st.integers(0, 2**62))
def test_a_commit_comes_back_as_it_was(name, found, first, ts):
    """In every form, whatever it holds, and the form is recognised."""
    commit = Commit(first, "0f", [item_of(entry, ts) for entry in found])
    assert decode(form(name).encode(commit)) == commit


@pytest.mark.parametrize("data", [b"", b"{", b'{"first":1}', b"\x08\xff", b"\0\0\0\0TWB1", b"\xff" * 40, b"hello"])
def test_what_is_no_commit_is_an_error(data):
    """Bytes of a stranger are never guessed at."""
    with pytest.raises(JournalError):
        decode(data)


def test_numbers_run_on_through_a_commit():
    """Each entry begins after the one before."""
    commit = Commit(5, "", [item_of(Entry(Kind.TICKS, count, b""), 0) for count in (2, 1, 3)])
    assert [(part.span.first, part.span.last) for part in parts(commit)] == [(5, 6), (7, 7), (8, 10)]
    assert commit.last == 10


def test_the_schema_is_what_the_code_has():
    """Names and numbers of the fields in the shipped .proto are those of the module made from it."""
    text = (files("tickwire") / "schemas" / "tickwire.proto").read_text()
    for name, body in re.findall(r"message (\w+) \{(.*?)\n\}", text, re.DOTALL):
        said = {field: int(number) for field, number in re.findall(r"(\w+) = (\d+);", body)}
        fields = tickwire_pb2.DESCRIPTOR.message_types_by_name[name].fields
        assert said == {field.name: field.number for field in fields}


@pytest.mark.parametrize(("struct", "packed"), [("Tick", TICK), ("Candle", CANDLE)])
def test_a_flat_row_is_a_packed_row(struct, packed):
    """The structs in the shipped .fbs have the fields of what is packed, in their order."""
    text = (files("tickwire") / "schemas" / "tickwire.fbs").read_text()
    body = text.partition(f"struct {struct} {{")[2].partition("}")[0]
    assert tuple(re.findall(r"^ *(\w+):", body, re.MULTILINE)) == packed.names
