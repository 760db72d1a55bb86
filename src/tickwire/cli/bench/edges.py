"""Several edges: a busy market's readers on one edge and on two, beside one process with a journal of its own."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from tickwire.cli.bench.cluster import MISSING, Nats, nats_server
from tickwire.cli.bench.fanout import market
from tickwire.cli.bench.load import measure
from tickwire.cli.bench.machine import cores, pinned
from tickwire.cli.bench.peers import Peer, tickwire
from tickwire.cli.bench.process import Server, free_port, running
from tickwire.cli.bench.report import Row
from tickwire.cli.bench.rounds import Task, in_turn

COLUMNS = {
    "deliveries_per_s": "deliveries/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "server_cpu": "cores of edges",
    "beside_cpu": "of NATS, feed",
    "per_core": "deliveries/core s",
    "kb_per_reader": "KB/reader",
    "lost": "lost",
}
_GET = "/v1/stream?symbols="
_EDGES = (1, 2)


def edges(readers: int, seconds: float, rounds: int, *, symbols: int, watch: int, ticks: int) -> list[Row]:
    """The same market for the same readers. Edges may use all cores, and the load shares the second with them."""
    work: dict[str, Any] = {"readers": readers, "seconds": seconds, **market(symbols, watch, ticks)}
    alone = tickwire("--data", ".", name="sqlite, one process", get=_GET)
    tasks = [Task(alone.name, lambda: _per_core(measure(alone, **work)))]
    with tempfile.TemporaryDirectory(prefix="tickwire-bench-", dir=Path.cwd()) as name, nats_server(Path(name)) as nats:
        if nats is not None:
            names = (f"edges{number}" for number in count())
            tasks += [Task(_name(edges), partial(_measured, nats, names, Path(name), edges, work)) for edges in _EDGES]
        rows = in_turn(tasks, rounds)
    return rows if nats is not None else [*rows, {"name": _name(1), "missing": MISSING}]


def _name(edges: int) -> str:
    return f"nats, {edges} edge{'s' * (edges > 1)}"


def _measured(nats: Nats, names: Iterator[str], folder: Path, edges: int, work: dict[str, Any]) -> Row:
    """One row, in a journal of its own."""
    journal = f"{nats.url}/{next(names)}"
    with _feed(journal, folder / "feed") as feed:
        return _per_core(measure(replace(_edges(edges, journal), beside=nats.server + feed), **work))


def _per_core(row: Row) -> Row:
    """With what was delivered for a second of a core, NATS and the feed included."""
    if "server_cpu" in row:
        row["per_core"] = round(row["deliveries_per_s"] / (row["server_cpu"] + row["beside_cpu"]))
    return row


@contextmanager
def _feed(journal: str, folder: Path) -> Iterator[Server]:
    """The process that leads, beside the edges."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "tickwire", "serve", "--feed", "http", "--role", "feed", "--port", str(port)]
    with running([*command, "--journal", journal], port, folder, {}) as server:
        yield server


def _edges(number: int, journal: str) -> Peer:
    """So many edges behind one port, on all cores."""
    peer = tickwire("--journal", journal, "--role", "edge", "--workers", str(number), name=_name(number), get=_GET)
    spread = ["taskset", "-c", ",".join(map(str, cores()))] if pinned() else []
    command = peer.command
    return replace(peer, command=lambda port, folder: [*spread, *command(port, folder)], ready="curl -N")
