"""Several measurements in turn, some rounds of them: what the machine does meanwhile then falls on all alike."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from tickwire.cli.bench.peers import LIMIT, PEERS, Peer
from tickwire.cli.bench.report import NO_FIGURES, Row
from tickwire.errors import InputError

_ADDED_UP = ("lost", "repeated", "late")  # over the rounds: one loss is one too many


class Task(NamedTuple):
    """Something to measure once a round."""

    name: str
    measure: Callable[[], Row]


def chosen(only: str) -> list[Peer]:
    """The peers in a comma list, or all; the limit is always among them."""
    names = [name.strip() for name in only.split(",") if name.strip()]
    known = {peer.name for peer in PEERS}
    for name in names:
        if name not in known:
            raise InputError(f"there is no peer {name!r}; there are {', '.join(sorted(known))}", field="only")
    return [peer for peer in PEERS if not names or peer.name in names or peer is LIMIT]


def in_turn(tasks: Sequence[Task], rounds: int) -> list[Row]:
    """Measure every task once a round; the median of each figure."""
    found: list[list[Row]] = [[] for _ in tasks]
    for number in range(rounds):
        for task, rows in zip(tasks, found, strict=True):
            if rows and not _measured(rows[0]):
                continue
            _progress(f"round {number + 1} of {rounds}: {task.name}")
            rows.append(task.measure())
    _progress("")
    return [_median(rows) for rows in found]


def cannot(reasons: Mapping[str, str], peers: Iterable[Peer]) -> list[Row]:
    """Rows of the peers that cannot do the work, by their names; an empty name stands for every other peer."""
    return [
        {"name": peer.name, "what": peer.what, "cannot": reasons.get(peer.name, reasons.get("", ""))}
        for peer in peers
        if peer.name in reasons or ("" in reasons and not peer.name.startswith("tickwire"))
    ]


def with_ratio(rows: list[Row], figure: str, to: str = LIMIT.name) -> list[Row]:
    """The rows with `ratio`: the figure against that of the row `to`."""
    limit = next((row.get(figure) for row in rows if row["name"] == to), None)
    for row in rows:
        if limit and figure in row:
            row["ratio"] = round(row[figure] / limit, 3)
    return rows


def _measured(row: Row) -> bool:
    return not any(word in row for word in NO_FIGURES)


def _progress(text: str) -> None:
    """Say in a terminal what is being done."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _median(rows: Sequence[Row]) -> Row:
    bad = next((row for row in rows if not _measured(row)), None)
    if bad is not None:
        return bad
    row: Row = {**rows[0], "rounds": len(rows)}
    for name, value in rows[0].items():
        if isinstance(value, int | float):
            values = [each[name] for each in rows]
            row[name] = sum(values) if name in _ADDED_UP else statistics.median(values)
    return row
