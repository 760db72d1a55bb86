"""The benchmark of reconnect strategies."""

from __future__ import annotations

import random

import pytest

from benchmarks import reconnect_strategies
from benchmarks.reconnect_strategies import measure_strategies


def test_each_strategy_has_its_waits() -> None:
    waits = {
        name: [each.next_wait() for _ in range(4)]
        for name, (strategy, _reference) in reconnect_strategies._STRATEGIES.items()
        for each in [strategy(random.Random(1))]
    }
    assert waits["immediate"] == [0, 0, 0, 0]
    assert waits["fixed, 1 s"] == [1, 1, 1, 1]
    assert waits["exponential from 0.5 s"] == [0.5, 1, 2, 4]
    bounds = zip(waits["exponential, full jitter"], [0.5, 1, 2, 4], strict=True)
    assert all(0 <= wait <= bound for wait, bound in bounds)


def test_the_peak_is_the_busiest_interval() -> None:
    assert reconnect_strategies._peak([0.01, 0.02, 0.09, 0.15, 5.0]) == 30


@pytest.mark.long
def test_all_readers_come_back_with_each_strategy() -> None:
    rows = measure_strategies(20, 1, seed=1)
    assert len(rows) == 4
    for row in rows:
        assert 0 <= row["mean_ms"] <= row["p99_ms"]
        assert row["attempts"] >= 1
