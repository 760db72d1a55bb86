"""While symbols are appended, the stored results of patterns equal the results of a search."""

from __future__ import annotations

import random

import pytest

from tickwire.core.text_column import GLOB, TextColumn, parse_pattern
from tickwire.market import symbol_column
from tickwire.market.symbol_column import SymbolColumn
from tickwire.testing.marks import short_and_long


@short_and_long("rounds", 30, 1_000)
def test_stored_results_equal_a_search(rounds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbol_column, "MAX_ROWS_PER_STEP", 50)
    monkeypatch.setattr(symbol_column, "MAX_STORED_PATTERNS", 4)
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(rounds):
        stored, plain = SymbolColumn(), TextColumn()
        for _ in range(20):
            added = ["".join(rng.choices("AB-", k=rng.randint(1, 6))) for _ in range(rng.randint(0, 120))]
            stored.extend(added)
            plain.extend(added)
            pattern = parse_pattern("".join(rng.choices("AB*?", k=rng.randint(1, 3))), GLOB)
            for _ in stored.test_stepwise(pattern) if rng.random() < 0.5 else ():
                if rng.random() < 0.1:
                    break
            first = rng.randint(0, len(plain)) if rng.random() < 0.5 else 0
            assert stored.matches(pattern, first).tolist() == plain.matches(pattern, first).tolist()
            assert len(stored._results) <= 4
