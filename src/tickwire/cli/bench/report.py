"""Figures as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tickwire.cli.bench.machine import describe

Row = dict[str, Any]


def show(title: str, rows: Sequence[Row], columns: Mapping[str, str]) -> None:
    """Print the rows; `columns` are the figures to show and their headings. What is missing is said below."""
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    for heading in columns.values():
        table.add_column(heading, justify="right")
    for row in rows:
        if "missing" not in row and "failed" not in row:
            table.add_row(row["name"], *(_text(row.get(name)) for name in columns))
    console = Console(width=120)
    console.print(table)
    for row in rows:
        for word in ("missing", "failed"):
            if word in row:
                console.print(f"  {row['name']} {word}: {row[word]}")
    console.print()


def save(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows and the machine as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": describe(), "rows": list(rows)}, indent=1) + "\n", encoding="utf-8")


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float) and abs(value) < 100:
        return f"{value:.2f}"
    return f"{value:,.0f}"
