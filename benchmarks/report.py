"""Report figures as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine
from tickwire.errors import InputError

Row = dict[str, Any]
FAILURE_KEYS = ("missing", "failed", "cannot")
"""The keys that mark a row without figures. The value of such a key is the reason why the figures are missing."""

LOAD_BOUND_MARK = "*"
"""Marks the name of a row in which the load generator, not the server, limits the deliveries per second."""


def has_figures(row: Row) -> bool:
    """Return whether the row contains figures. A row without figures contains a reason."""
    return not any(key in row for key in FAILURE_KEYS)


def print_table(title: str, rows: Sequence[Row], columns: Mapping[str, str]) -> None:
    """Print the rows. `columns` maps figures to headings. Rows without figures are listed below the table."""
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in columns.values():
        table.add_column(heading, justify="right")
    for row in filter(has_figures, rows):
        table.add_row(_marked_name(row), *(format_value(row.get(key)) for key in columns))
    console = Console(width=120)
    console.print(table)
    if any(row.get("is_load_bound") for row in rows):
        console.print(f"  {LOAD_BOUND_MARK} the load generator was the bottleneck; the server had idle time")
    for reason, names in names_by_reason(rows).items():
        console.print(f"  {', '.join(names)} {reason}", highlight=False)
    console.print()


def save_json(path: Path, title: str, rows: Iterable[Row], columns: Mapping[str, str]) -> None:
    """Write a JSON file with the title, the rows, the headings of their columns and a description of the machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": describe_machine(), "title": title, "columns": columns, "rows": list(rows)}
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def replace_tables(page: Path, files: Iterable[Path]) -> None:
    """Replace tables of a Markdown page. The file `fanout.json` replaces the table after `<!-- table fanout -->`.

    Raise InputError if the page has no such comment.
    """
    text = page.read_text(encoding="utf-8")
    for file in files:
        comment = f"<!-- table {file.stem} -->\n\n"
        before, found, after = text.partition(comment)
        if not found:
            raise InputError(f"cannot replace a table of {page} with {file}: the page has no line {comment.strip()!r}")
        _, _, rest = after.partition("\n\n")
        text = f"{before}{comment}{markdown_table(file)}\n\n{rest}"
    page.write_text(text, encoding="utf-8")


def markdown_table(path: Path) -> str:
    """Read a file that `save_json` has written, and return its table as Markdown.

    The first heading is the title, which contains the options of the run. The rows without figures contain the reason.
    """
    report = json.loads(path.read_text(encoding="utf-8"))
    columns, rows = report["columns"], report["rows"]
    lines = [[report["title"], *columns.values()], ["---"] * (len(columns) + 1)]
    lines += [
        [_emphasized_name(row), *(format_value(row.get(key)) for key in columns)] for row in filter(has_figures, rows)
    ]
    for reason, names in names_by_reason(rows).items():
        lines.append([", ".join(names), reason, *[""] * (len(columns) - 1)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _emphasized_name(row: Row) -> str:
    """Return the name of the row in Markdown, in bold type for Tickwire."""
    name = row["name"] if not row["name"].startswith("tickwire") else f"**{row['name']}**"
    return f"{name} {LOAD_BOUND_MARK}" if row.get("is_load_bound") else name


def _marked_name(row: Row) -> str:
    name: str = row["name"]
    return f"{name} {LOAD_BOUND_MARK}" if row.get("is_load_bound") else name


def names_by_reason(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Group the names of the rows without figures by the reason for the missing figures."""
    names: dict[str, list[str]] = {}
    for row in rows:
        for key in FAILURE_KEYS:
            if key in row:
                names.setdefault(f"{key}: {row[key]}", []).append(row["name"])
    return names


def format_value(value: Any) -> str:
    """Return a figure as text. A small figure has two digits after the point, and any other figure has none."""
    if value is None:
        return "–"
    if isinstance(value, float) and abs(value) < 100:
        return f"{value:.2f}"
    return f"{value:,.0f}"
