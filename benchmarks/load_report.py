"""The report of a load test: one HTML file with the table of targets and plots, and the plots as SVG file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.load_test import LoadResult, Target
from benchmarks.machine import describe_machine
from tickwire.calibration.svg_chart import MODEL_COLOUR, Panel, axis_range, render_document

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1180px; color: #1d2939 }
table { border-collapse: collapse } td, th { padding: .3rem 1rem .3rem 0; text-align: left }
th { border-bottom: 1px solid #98a2b3 } .no { color: #b42318; font-weight: 600 } .yes { color: #067647 }
"""
_MAX_POINTS = 5_000


def write_report(path: Path, result: LoadResult, targets: Sequence[Target]) -> None:
    """Write the report of a load test, and its plots to the SVG file beside it."""
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    options, machine = result.options, describe_machine()
    load = f"{options.rate:,.0f} requests/s and {options.readers:,} streams for {options.seconds} s"
    head = (
        f"{load}, {options.processes} load processes; Tickwire {version('tickwire')}; "
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}; {moment}"
    )
    plots = render_document("Load test", load, _plots(result), legend=())
    path.with_suffix(".svg").write_text(plots, encoding="utf-8")
    failures = "".join(f"<li>{escape(name)}: {count:,}</li>" for name, count in result.failures.items())
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Tickwire load test</title><style>{_STYLE}</style>'
        f"<h1>Load test</h1><p>{escape(head)}</p>{_table(targets)}{plots}"
        f"<h2>Unexpected answers</h2><ul>{failures or '<li>none</li>'}</ul></html>\n",
        encoding="utf-8",
    )


def _table(targets: Sequence[Target]) -> str:
    rows = "".join(
        f"<tr><td>{escape(row.item)}</td><td>{escape(row.target)}</td><td>{escape(row.measured)}</td>"
        f"<td>{_verdict(row)}</td></tr>"
        for row in targets
    )
    return f"<table><tr><th>item</th><th>target</th><th>measured</th><th>met</th></tr>{rows}</table>"


def _verdict(row: Target) -> str:
    return "" if row.is_met is None else '<span class="yes">yes</span>' if row.is_met else '<span class="no">no</span>'


def _plots(result: LoadResult) -> list[Panel]:
    seconds = np.arange(result.options.seconds)
    second_of, latencies = result.latency_seconds, result.latencies_ms
    counts = [int((second_of == second).sum()) for second in seconds]
    p95 = [float(np.percentile(latencies[second_of == second], 95)) if counts[second] else 0.0 for second in seconds]
    times = [sample.at_s for sample in result.samples]
    cpu = np.diff([sample.cpu_s for sample in result.samples]) / np.diff(times) * 100
    memory = [sample.memory_bytes / 1e6 for sample in result.samples]
    first_events = sorted(result.first_event_ms)[:: max(1, len(result.first_event_ms) // _MAX_POINTS)]
    if len(first_events) < 2:
        # Repeat a single value, because a line needs at least two points.
        first_events = 2 * (first_events or [0.0])
    return [
        _line("Successful requests", "per second", seconds, counts),
        _line("Latency of requests", "95 % of each second, ms", seconds, p95),
        _line("CPU of the server", "% of a core", times[1:], cpu),
        _line("Memory of the server", "MB", times, memory),
        _line("Readers", "connected", times, [sample.readers for sample in result.samples]),
        _line("Time to the first event", "ms, by share of the readers",
              np.linspace(0, 1, len(first_events)), first_events),
    ]  # fmt: skip


def _line(title: str, subtitle: str, xs: Sequence[float] | np.ndarray, ys: Sequence[float] | np.ndarray) -> Panel:
    panel = Panel(title, subtitle, axis_range(xs, padding=0.01), axis_range(ys, include_zero=True))
    panel.draw_line(map(float, xs), map(float, ys), MODEL_COLOUR)
    return panel
