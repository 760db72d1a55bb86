"""The tables of faults in docs/operations.md: each row names a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEST_PATTERN = re.compile(r"\| `(\S+\.py)::(\w+)` \|$")


def read_rows() -> list[str]:
    """Return the rows of the two tables."""
    text = (ROOT / "docs" / "operations.md").read_text()
    rows = []
    for heading in ("## What happens during a fault", "## Probes during a fault"):
        section = text.partition(heading)[2].partition("\n## ")[0]
        rows += [line for line in section.splitlines() if line.startswith("| ")][1:]
    return rows


def test_the_tables_have_rows() -> None:
    assert len(read_rows()) > 30


@pytest.mark.parametrize("row", read_rows(), ids=lambda row: row.split("|")[1].strip())
def test_each_fault_names_its_test(row: str) -> None:
    match = TEST_PATTERN.search(row)
    assert match is not None, row
    assert f"def {match[2]}(" in (ROOT / "tests" / match[1]).read_text()
