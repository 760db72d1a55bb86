"""Untrusted text with any content is escaped and bounded in logs."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickwire.core.log_text import MAX_DETAILS_BYTES, MAX_FIELD_BYTES, escape_controls, safe_details, safe_text

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=2_000),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)
# The maximum length of the note that replaces the cut end of a text.
_NOTE_BYTES = 40


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("AAPL 中文 é", "AAPL 中文 é"),
        ("a\nb\r\x1b[2Jc", r"a\nb\r\u001b[2Jc"),
        ("\x7f\x85\x9b\u2028\u2029\u202e", r"\u007f\u0085\u009b\u2028\u2029\u202e"),
        ("\ud800\U000e0001", r"\ud800\udb40\udc01"),
    ],
)
def test_characters_that_are_not_printable_are_escaped(text: str, escaped: str) -> None:
    assert escape_controls(text) == escaped


def test_no_character_of_unicode_passes_unless_it_is_printable() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    assert escape_controls(everything).isprintable()


@given(ANY_TEXT | ANY_TEXT.map(lambda text: text * 50))
def test_safe_text_is_printable_and_bounded(text: str) -> None:
    safe = safe_text(text)
    assert safe.isprintable()
    assert len(safe.encode()) <= MAX_FIELD_BYTES + _NOTE_BYTES
    assert safe == text or not text.isprintable() or len(text.encode()) > MAX_FIELD_BYTES


def test_a_note_with_the_length_follows_a_text_that_was_cut() -> None:
    assert safe_text("a" * 250_000) == "a" * MAX_FIELD_BYTES + "... (250,000 characters)"


@settings(max_examples=30)
@given(st.dictionaries(st.text(), JSON_VALUES))
def test_safe_details_are_printable_and_bounded(details: dict[str, object]) -> None:
    encoded = json.dumps(safe_details(details), ensure_ascii=False)
    assert encoded.isprintable()
    # In JSON, each quotation mark and each backslash occupies two bytes.
    assert len(encoded.encode()) <= 2 * MAX_DETAILS_BYTES + _NOTE_BYTES * 2


def test_small_details_keep_their_form_and_large_ones_their_beginning() -> None:
    small = {"client": "desk", "wish": {"add": ["AAPL"], "filter": None}, "readers": 1}
    assert safe_details(small) == small
    large = safe_details({"client": "desk", "wish": {"filter": "a" * 250_000}})
    assert large["truncated"].startswith('{"client":"desk","wish":{"filter":"aaa')
    assert large["truncated"].endswith("a... (250,038 characters)")
