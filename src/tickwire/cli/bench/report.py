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
NO_FIGURES = ("missing", "failed", "cannot")
"""Keys of a row that has no figures; the value says why."""


def show(title: str, rows: Sequence[Row], columns: Mapping[str, str]) -> None:
    """Print the rows; `columns` are the figures to show and their headings. Who has none is named below."""
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in columns.values():
        table.add_column(heading, justify="right")
    for row in rows:
        if not any(word in row for word in NO_FIGURES):
            table.add_row(row["name"], *(_text(row.get(name)) for name in columns))
    console = Console(width=120)
    console.print(table)
    for reason, names in _without(rows).items():
        console.print(f"  {', '.join(names)} {reason}", highlight=False)
    console.print()


def save(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows and the machine as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": describe(), "rows": list(rows)}, indent=1) + "\n", encoding="utf-8")


def _without(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Why rows have no figures, and which those are."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for word in NO_FIGURES:
            if word in row:
                found.setdefault(f"{word}: {row[word]}", []).append(row["name"])
    return found


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float) and abs(value) < 100:
        return f"{value:.2f}"
    return f"{value:,.0f}"
