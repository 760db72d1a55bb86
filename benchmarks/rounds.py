"""Run all measurements in each of several rounds, so that a change of the machine's speed affects all measurements."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.peer_servers import PEERS, SEND_LOOP, SENDER_PEERS, Peer
from benchmarks.report import Row, has_figures
from tickwire.errors import InputError

# Even a single loss is a failure, so add the losses of all rounds. Use the median of all other figures.
_SUMMED_FIGURES = ("lost", "repeated", "late")
# Figures have small errors. So if a process uses at least this share of a core, it counts as busy all the time.
_BUSY_CPU = 0.95


class BenchmarkTask(NamedTuple):
    """A measurement that runs once per round."""

    name: str
    measure: Callable[[], Row]


def select_peers(only: str, variants: Sequence[Peer] = ()) -> list[Peer]:
    """Return the peers in the comma-separated list `only`, and the variants of Tickwire.

    If `only` is empty, return all peers. The result always includes SEND_LOOP, the limit that no server can exceed.
    """
    names = [name.strip() for name in only.split(",") if name.strip()]
    choices = [*PEERS, *SENDER_PEERS]
    peer_names = {peer.name for peer in choices}
    for name in names:
        if name not in peer_names:
            raise InputError(f"unknown peer {name!r}: choose from {', '.join(sorted(peer_names))}", field="only")
    return [peer for peer in choices if not names or peer.name in names or peer is SEND_LOOP] + [*variants]


def run_rounds(tasks: Sequence[BenchmarkTask], rounds: int) -> list[Row]:
    """Run every task once per round, and return one row of medians per task.

    A task is not repeated if its first row has no figures.
    """
    rows_by_task: list[list[Row]] = [[] for _ in tasks]
    for number in range(rounds):
        for task, rows in zip(tasks, rows_by_task, strict=True):
            if rows and not has_figures(rows[0]):
                continue
            _print_progress(f"round {number + 1} of {rounds}: {task.name}")
            rows.append(task.measure())
    _print_progress("")
    return [_median_row(rows) for rows in rows_by_task]


def unsupported_rows(reasons: Mapping[str, str], peers: Iterable[Peer]) -> list[Row]:
    """Return a row for each peer that does not support the workload.

    `reasons` maps names of peers to reasons. The reason under the empty name applies to every other peer except
    Tickwire.
    """
    return [
        {"name": peer.name, "what": peer.description, "cannot": reasons.get(peer.name, reasons.get("", ""))}
        for peer in peers
        if peer.name in reasons or ("" in reasons and not peer.is_tickwire)
    ]


def add_ratio(rows: list[Row], figure: str, baseline: str = SEND_LOOP.name) -> list[Row]:
    """Add `ratio` to each row: the row's figure, divided by the same figure of the row named `baseline`."""
    limit = next((row.get(figure) for row in rows if row["name"] == baseline), None)
    for row in rows:
        if limit and figure in row:
            row["ratio"] = round(row[figure] / limit, 3)
    return rows


def add_cpu_ratio(rows: list[Row]) -> list[Row]:
    """Add `cpu_ratio` to each row.

    The ratio compares the CPU time per delivery: the time of the C program (SEND_LOOP), divided by the time of the
    row's server.
    """
    limit = next((row.get("cpu_us") for row in rows if row["name"] == SEND_LOOP.name), None)
    for row in rows:
        if limit and row.get("cpu_us"):
            row["cpu_ratio"] = round(limit / row["cpu_us"], 3)
    return rows


def _print_progress(text: str) -> None:
    """Show the current measurement on one line of the terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _median_row(rows: Sequence[Row]) -> Row:
    failed = next((row for row in rows if not has_figures(row)), None)
    if failed is not None:
        return failed
    median: Row = {**rows[0], "rounds": len(rows)}
    for name, value in rows[0].items():
        if isinstance(value, int | float):
            values = [row[name] for row in rows]
            median[name] = sum(values) if name in _SUMMED_FIGURES else statistics.median(values)
    if "load_cpu" in median:
        # The server had idle time, but the load generator had none. So the server could have delivered more events.
        median["is_load_bound"] = median["load_cpu"] >= _BUSY_CPU > median["server_cpu"]
    return median
