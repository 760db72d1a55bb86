"""The benchmark of top-N screens."""

from __future__ import annotations

from benchmarks.top_screens import measure_top_screens


def test_the_benchmark_has_two_rows_for_each_screen() -> None:
    rows = measure_top_screens(0.01, symbol_count=2_000)
    assert len(rows) == 8
    assert all(row["ms"] > 0 and row["evaluations"] >= 5 for row in rows)
