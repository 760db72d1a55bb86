"""Measure 100,000 published ticks a second, in batches of 1,000, beside 100 readers with watchlists."""

from __future__ import annotations

from benchmarks.measurement import measure_peer
from benchmarks.peer_servers import tickwire_peer
from benchmarks.report import Row, has_figures

COLUMNS = {
    "ticks_per_s": "ticks/s",
    "deliveries_per_s": "quotes/s to readers",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "server_cpu": "cores",
    "lost": "lost",
}
_READERS = 100
_WORKLOAD = {"symbols": 500, "watch": 20, "batch": 1_000, "rate": 100.0}
_JOURNALS = ("memory", "sqlite:ingest.journal")


def measure_ingest(seconds: float) -> list[Row]:
    """Publish over one HTTP connection at a fixed rate. Each reader watches 20 of 500 symbols."""
    rows = []
    for journal in _JOURNALS:
        peer = tickwire_peer("--journal", journal, name=journal.partition(":")[0], stream_path="/v1/stream?symbols=")
        row = measure_peer(peer, readers=_READERS, seconds=seconds, **_WORKLOAD)
        if has_figures(row):
            row["ticks_per_s"] = round(row["published"] / row["working_s"])
        rows.append(row)
    return rows
