"""The benchmark that compares filter matchers."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from benchmarks.cli import bench


def test_filters_benchmark_writes_a_row_for_each_matcher(tmp_path: Path) -> None:
    """The JSON file contains the microseconds per tick of each matcher."""
    file = tmp_path / "figures.json"
    result = CliRunner().invoke(bench, ["filters", "--filters", "50", "--seconds", "0.2", "--json", str(file)])
    assert (result.exit_code, result.stderr) == (0, "")
    rows = json.loads(file.read_text())["rows"]
    assert len(rows) == 8
    assert all(row["us_per_tick"] > 0 for row in rows)
