"""Send a busy market from several processes: workers on one machine, and edges on NATS. Compare with one process."""

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

from benchmarks.fanout import market_workload, watchlist_limit_task
from benchmarks.machine import available_cores, can_pin_cores
from benchmarks.measurement import measure_peer
from benchmarks.nats_journal import NATS_MISSING_HINT, NatsInstance, run_nats_server
from benchmarks.peer_servers import Peer, tickwire_peer
from benchmarks.process import ProcessGroup, run_program
from benchmarks.report import Row, has_figures
from benchmarks.rounds import BenchmarkTask, add_cpu_ratio, run_rounds
from tickwire.testing.ports import find_free_port

COLUMNS = {
    "deliveries_per_s": "deliveries/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "server_cpu": "cores",
    "beside_cpu": "NATS, feed",
    "per_core": "per core s",
    "per_core_ratio": "of 1",
    "cpu_us": "CPU us",
    "cpu_ratio": "of limit",
    "lost": "lost",
}
_STREAM_PATH = "/v1/stream?symbols="
_EDGE_COUNTS = (1, 2)
_ONE_PROCESS = "sqlite, one process"


def measure_workers(readers: int, seconds: float, rounds: int, *, symbols: int, watch: int, ticks: int) -> list[Row]:
    """Measure the same market and the same readers with each number of workers and edges.

    Workers and edges may run on all cores. The load generator runs on the second core, which it shares with them.
    """
    market = {"symbols": symbols, "watch": watch, "ticks": ticks}
    work: dict[str, Any] = {"readers": readers, "seconds": seconds, **market_workload(**market)}
    single = tickwire_peer("--data", ".", name=_ONE_PROCESS, stream_path=_STREAM_PATH)
    workers = _on_all_cores(
        tickwire_peer("--data", ".", "--workers", "2", name="sqlite, 2 workers", stream_path=_STREAM_PATH)
    )
    tasks = [
        watchlist_limit_task(readers, seconds, **market),
        *(BenchmarkTask(peer.name, partial(measure_peer, peer, **work)) for peer in (single, workers)),
    ]
    with (
        tempfile.TemporaryDirectory(prefix="tickwire-bench-", dir=Path.cwd()) as name,
        run_nats_server(Path(name)) as nats,
    ):
        if nats is not None:
            names = (f"edges{number}" for number in count())
            tasks += [
                BenchmarkTask(_row_name(edges), partial(_measure_edge_count, nats, names, Path(name), edges, work))
                for edges in _EDGE_COUNTS
            ]
        rows = add_cpu_ratio(_add_deliveries_per_core(run_rounds(tasks, rounds)))
    return rows if nats is not None else [*rows, {"name": _row_name(1), "missing": NATS_MISSING_HINT}]


def _row_name(edges: int) -> str:
    return f"nats, {edges} edge{'s' * (edges > 1)}"


def _measure_edge_count(
    nats: NatsInstance, names: Iterator[str], folder: Path, edges: int, work: dict[str, Any]
) -> Row:
    """Measure the server with `edges` edge processes and a new journal."""
    journal = f"{nats.url}/{next(names)}"
    with _run_feed(journal, folder / "feed") as feed:
        peer = replace(_edge_peer(edges, journal), companions=nats.processes + feed)
        return measure_peer(peer, **work)


def _add_deliveries_per_core(rows: list[Row]) -> list[Row]:
    """Add two figures: the deliveries per second of CPU time, and the ratio of this number to the number of one
    process.

    The CPU time includes NATS and the feed.
    """
    for row in filter(has_figures, rows):
        row["per_core"] = round(row["deliveries_per_s"] / (row["server_cpu"] + row["beside_cpu"]))
    one_process = next((row["per_core"] for row in rows if row["name"] == _ONE_PROCESS and has_figures(row)), None)
    for row in filter(has_figures, rows):
        if one_process is not None:
            row["per_core_ratio"] = round(row["per_core"] / one_process, 3)
    return rows


@contextmanager
def _run_feed(journal: str, folder: Path) -> Iterator[ProcessGroup]:
    """Run the feed process that the edges follow."""
    folder.mkdir(exist_ok=True)
    port = find_free_port()
    command = [sys.executable, "-m", "tickwire", "serve", "--feed", "http", "--role", "feed", "--port", str(port)]
    with run_program([*command, "--journal", journal], port, folder, {}, reports_ready=True) as server:
        yield server


def _edge_peer(edges: int, journal: str) -> Peer:
    """Return a peer that runs `edges` edges on one port and on all cores."""
    options = ("--journal", journal, "--role", "edge", "--workers", str(edges))
    peer = tickwire_peer(*options, name=_row_name(edges), stream_path=_STREAM_PATH)
    return _on_all_cores(peer)


def _on_all_cores(peer: Peer) -> Peer:
    spread = ["taskset", "-c", ",".join(map(str, available_cores()))] if can_pin_cores() else []
    command = peer.command
    return replace(peer, command=lambda port, folder: [*spread, *command(port, folder)])
