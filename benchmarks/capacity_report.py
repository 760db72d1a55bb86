"""The capacity report: one HTML page with the tables and plots of one run of the benchmarks, or of two runs.

The page contains its styles and plots, so it can be sent and stored as one file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import Row, format_value, has_figures, names_by_reason
from tickwire.errors import InputError

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1180px; padding: 0 1rem; color: #1d2939 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0 1rem }
td, th { padding: .2rem .9rem .2rem 0; text-align: right; white-space: nowrap } th { border-bottom: 1px solid #98a2b3 }
td:first-child, th:first-child { text-align: left } .before { color: #667085 } .changed { font-weight: 700 }
.note { color: #667085 } .warning { color: #b42318 } svg { max-width: 100%; height: auto }
"""
_COLOURS = ("#2563eb", "#98a2b3")
# The smallest change that the report marks. Smaller changes are usual if other programs use the machine.
_NOTABLE_CHANGE = 0.1
_NAME_WIDTH, _BAR_WIDTH, _BAR_HEIGHT, _ROW_GAP, _VALUE_WIDTH = 260, 520, 12, 8, 120


class BenchmarkFile(NamedTuple):
    """The file of one benchmark: its machine, and a table of rows. `columns` maps figures to headings."""

    machine: Mapping[str, Any]
    title: str
    columns: Mapping[str, str]
    rows: Sequence[Row]


Run = Mapping[str, BenchmarkFile]
"""Maps the name of each benchmark to its file, for one run of the benchmarks."""


def read_run(path: Path) -> Run:
    """Read a file that `--json` has written, or all such files in a folder. Raise InputError if there is none."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path} contains no JSON files: write them with `python -m benchmarks all --folder {path}`")
    return {file.stem: _read_file(file) for file in files}


def write_report(path: Path, run: Run, earlier: Run | None = None) -> None:
    """Write the report of a run. If `earlier` is given, the page compares the run with the earlier run."""
    machine = next(iter(run.values())).machine
    parts = [f"<h1>Capacity report</h1><p>{_describe(machine)}</p>"]
    if earlier is not None:
        machine_before = next(iter(earlier.values())).machine
        parts.append(f'<p class="before">Compared with: {_describe(machine_before)}</p>{_legend()}')
        if _hardware(machine) != _hardware(machine_before):
            parts.append('<p class="warning">The machines differ, so compare only ratios.</p>')
    for name, file in run.items():
        before = None if earlier is None else earlier.get(name)
        parts.append(_render_benchmark(name, file, before, compares=earlier is not None))
    parts += [
        f"<h2>{escape(name)}</h2><p class='note'>Only the earlier run measured this.</p>"
        for name in earlier or ()
        if name not in run
    ]
    path.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Tickwire capacity report</title>'
        f"<style>{_STYLE}</style>{''.join(parts)}</html>\n",
        encoding="utf-8",
    )


def _read_file(path: Path) -> BenchmarkFile:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return BenchmarkFile(report["machine"], report["title"], report["columns"], report["rows"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a file with results of a benchmark ({error}): run a benchmark with --json or --folder"
        ) from None


def _hardware(machine: Mapping[str, Any]) -> tuple[Any, Any]:
    return machine.get("cpu"), machine.get("cores")


def _describe(machine: Mapping[str, Any]) -> str:
    programs = ", ".join(f"{name} {machine[name]}" for name in ("python", "uvicorn", "uvloop") if name in machine)
    moment = f"; {machine['measured_at']}" if "measured_at" in machine else ""
    return escape(
        f"Tickwire {machine.get('tickwire', '?')}; {machine.get('cpu', '?')}, {machine.get('cores', '?')} cores, "
        f"{machine.get('system', '?')}; {programs}{moment}"
    )


def _legend() -> str:
    marks = "".join(
        f'<svg width="12" height="12"><rect width="12" height="12" fill="{colour}"/></svg> {name} &nbsp; '
        for colour, name in zip(_COLOURS, ("this run", "the earlier run"), strict=True)
    )
    return f"<p>{marks}Changes of {_NOTABLE_CHANGE:.0%} and more are bold.</p>"


def _render_benchmark(name: str, file: BenchmarkFile, before: BenchmarkFile | None, *, compares: bool) -> str:
    note = "" if before is not None or not compares else "<p class='note'>The earlier run did not measure this.</p>"
    if before is not None and before.title != file.title:
        note = f"<p class='warning'>The earlier run had other options: {escape(before.title)}</p>"
    reasons = "".join(
        f"<p class='note'>{escape(', '.join(names))} {escape(reason)}</p>"
        for reason, names in names_by_reason(file.rows).items()
    )
    rows_before = {} if before is None else {row["name"]: row for row in before.rows if has_figures(row)}
    return (
        f"<h2 id='{escape(name)}'>{escape(file.title)}</h2>{note}{_plot(file, rows_before)}"
        f"{_table(file, rows_before)}{reasons}"
    )


def _table(file: BenchmarkFile, rows_before: Mapping[str, Row]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in file.columns.values())
    lines = "".join(
        f"<tr><td>{escape(row['name'])}</td>"
        + "".join(f"<td>{_cell(row, rows_before.get(row['name'], {}), key)}</td>" for key in file.columns)
        + "</tr>"
        for row in filter(has_figures, file.rows)
    )
    return f"<table><tr><th></th>{head}</tr>{lines}</table>"


def _cell(row: Row, before: Row, key: str) -> str:
    """Return the value of a cell, and its change since the earlier run."""
    value, old = row.get(key), before.get(key)
    text = format_value(value)
    if not isinstance(value, int | float) or not isinstance(old, int | float) or not old:
        return text
    change = value / old - 1
    style = "changed" if abs(change) >= _NOTABLE_CHANGE else "before"
    return f'{text} <span class="{style}">{change:+.0%}</span>'


def _plot(file: BenchmarkFile, rows_before: Mapping[str, Row]) -> str:
    """Return a bar chart of the first column, which contains the main figure of the benchmark."""
    key, heading = next(iter(file.columns.items()))
    rows = [row for row in filter(has_figures, file.rows) if isinstance(row.get(key), int | float)]
    pairs = [(row["name"], [row, *filter(None, [rows_before.get(row["name"])])]) for row in rows]
    largest = max((each.get(key) or 0 for _, group in pairs for each in group), default=0)
    if not largest:
        return ""
    bars = [*_bars(pairs, key, largest)]
    height = sum(group_height for _, group_height in bars) + _ROW_GAP
    y, shapes = 0, []
    for shape, group_height in bars:
        shapes.append(f'<g transform="translate(0,{y})">{shape}</g>')
        y += group_height
    width = _NAME_WIDTH + _BAR_WIDTH + _VALUE_WIDTH
    return (
        f"<p class='note'>{escape(heading)}</p><svg viewBox='0 0 {width} {height}' width='{width}' "
        f"font-family='system-ui, sans-serif' font-size='12' role='img' aria-label='{escape(heading)}'>"
        f"{''.join(shapes)}</svg>"
    )


def _bars(pairs: Sequence[tuple[str, Sequence[Row]]], key: str, largest: float) -> Iterator[tuple[str, int]]:
    """Yield a pair for each name: the SVG text of its bars (one bar for each run), and the height of these bars in
    pixels."""
    for name, group in pairs:
        shape = f'<text x="{_NAME_WIDTH - 8}" y="11" text-anchor="end" fill="#344054">{escape(name[:40])}</text>'
        for index, (row, colour) in enumerate(zip(group, _COLOURS, strict=False)):
            value = row.get(key) or 0
            width, y = max(1.0, _BAR_WIDTH * value / largest), index * _BAR_HEIGHT
            shape += (
                f'<rect x="{_NAME_WIDTH}" y="{y}" width="{width:.1f}" height="{_BAR_HEIGHT - 1}" fill="{colour}"/>'
                f'<text x="{_NAME_WIDTH + width + 6:.1f}" y="{y + 11}" fill="#667085">{format_value(value)}</text>'
            )
        yield shape, len(group) * _BAR_HEIGHT + _ROW_GAP
