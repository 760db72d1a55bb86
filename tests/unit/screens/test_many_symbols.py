"""Batches of many symbols: the matches do not depend on whether the index iterates over screens or over symbols."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tickwire.screens.fields import QUOTE_NUMBER_FIELDS
from tickwire.screens.index import screen_index
from tickwire.screens.index.screen_index import ScreenIndex
from tickwire.screens.screen import parse_screen

FILTERS = ["last > 0.5", 'symbol like "%1%" or last > bid', 'symbol = "S7" and last < 0.9', 'not symbol like "%2%"']


def replay(min_rows_per_screen: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> list[list[list[int]]]:
    """Return the matching screens of each quote of each batch. The batches add symbols, and screens come and go."""
    monkeypatch.setattr(screen_index, "_MIN_ROWS_PER_SCREEN", min_rows_per_screen)
    # A small limit divides each batch into parts.
    monkeypatch.setattr(screen_index, "_MAX_MATRIX_BYTES", 40)
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    symbols, results = list[str](), list[list[list[int]]]()
    index = ScreenIndex(symbols, {})
    ids = [index.add(parse_screen(text)) for text in FILTERS[:2]]
    for count in (50, 200, 300):
        symbols += [f"S{number}" for number in range(len(symbols), count)]
        rows = np.array([rng.randrange(count) for _ in range(400)])
        changes = index.apply(rows, numbers.random((len(QUOTE_NUMBER_FIELDS), len(rows))))
        results.append([sorted(changes.matching_screens(each).tolist()) for each in range(len(rows))])
        ids += [index.add(parse_screen(text)) for text in FILTERS[2:]]
        index.remove(ids.pop(0))
    return results


def test_the_order_of_the_tests_does_not_change_the_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    results = replay(0, seed, monkeypatch)
    assert results == replay(10**9, seed, monkeypatch)
    assert any(len(screens) > 1 for batch in results for screens in batch)
