"""Searches of patterns in a column of texts, compared with the reference implementation `fnmatch`."""

from __future__ import annotations

import random
from fnmatch import fnmatchcase

import numpy as np
import pytest

from tickwire.core.text_column import GLOB, LIKE, TextColumn, parse_pattern

LONG_NAME = "A" * 70 + "B"
TEXTS = ["AAPL", "BRK.A", "BRK.B", "BTC-USD", None, "", LONG_NAME, "Zürich", "Čez", "Žez", "a\0b", "[x]", "B" * 60]


@pytest.mark.parametrize(
    ("pattern", "wildcards", "matching"),
    [
        ("BRK.%", LIKE, ["BRK.A", "BRK.B"]),
        ("BRK._", LIKE, ["BRK.A", "BRK.B"]),
        ("B*", GLOB, ["BRK.A", "BRK.B", "BTC-USD", "B" * 60]),
        ("*", GLOB, [text for text in TEXTS if text is not None]),
        ("", GLOB, [""]),
        ("AAPL", GLOB, ["AAPL"]),
        ("aapl", GLOB, []),
        ("AAP", GLOB, []),
        ("*A*B", GLOB, [LONG_NAME]),
        ("Čez", LIKE, ["Čez"]),
        ("%ü%", LIKE, ["Zürich"]),
        ("a?b", GLOB, ["a\0b"]),
        ("[x]", GLOB, ["[x]"]),
        ("A" * 100 + "*", GLOB, []),
    ],
)
def test_a_pattern_matches_whole_texts(pattern, wildcards, matching) -> None:
    column = TextColumn(TEXTS)
    found = column.matches(parse_pattern(pattern, wildcards)).tolist()
    assert [text for text, matches in zip(TEXTS, found, strict=True) if matches] == matching


def test_random_patterns_match_the_same_texts_as_fnmatch() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(300):
        alphabet = rng.choice(["AB", "ABC.", "AaBÿŽ\x00"])
        texts = ["".join(rng.choices(alphabet, k=rng.choice([0, 1, 3, 6, 16, 61]))) for _ in range(40)]
        column, first = TextColumn(), rng.randrange(40)
        column.extend(texts[:first])
        column.extend(texts[first:])
        pattern = "".join(rng.choices(alphabet + "*?", [*[1] * len(alphabet), 2, 1], k=rng.randrange(12)))
        expected = [fnmatchcase(text, pattern) for text in texts]
        assert column.matches(parse_pattern(pattern, GLOB)).tolist() == expected, (pattern, texts)
        assert column.matches(parse_pattern(pattern, GLOB), first).tolist() == expected[first:]
        assert [parse_pattern(pattern, GLOB).matches(text) for text in texts] == expected


def test_a_missing_text_is_neither_present_nor_equal() -> None:
    column = TextColumn(["A", None, "B", LONG_NAME])
    assert column.present().tolist() == [True, False, True, True]
    assert column.present(1).tolist() == [False, True, True]
    assert column.equal_to_any(frozenset({"A", LONG_NAME})).tolist() == [True, False, False, True]


def test_rows_in_alphabetical_order() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    texts = [*{"".join(rng.choices("AB1.", k=rng.randint(1, 32))) for _ in range(500)}]
    column = TextColumn(texts)
    for count in (1, 2, 50, len(texts)):
        rows = np.array(rng.sample(range(len(texts)), len(texts)))
        first = column.first_in_order(rows, count)
        assert sorted(texts[row] for row in first.tolist()) == sorted(texts)[:count]
