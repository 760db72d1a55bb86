"""Measure many readers: connections per second, memory per reader, and the delivery of events to all readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from benchmarks.measurement import measure_peer
from benchmarks.peer_servers import Peer
from benchmarks.report import Row
from benchmarks.rounds import BenchmarkTask, add_cpu_ratio, run_rounds

COLUMNS = {
    "connects_per_s": "connects/s",
    "connect_us": "CPU us/connect",
    "first_s": "first s",
    "kb_per_reader": "KB/reader",
    "deliveries_per_s": "deliveries/s",
    "p99_ms": "p99 ms",
    "cpu_us": "CPU us",
    "cpu_ratio": "of limit",
    "lost": "lost",
}
_SNAPSHOT_STREAM_PATH = "/v1/stream?symbols=S0&delivery=all"


def measure_many_readers(peers: Sequence[Peer], readers: int, seconds: float, rounds: int) -> list[Row]:
    """Connect the readers as fast as possible, 512 at a time. Then send events to all, two events in flight."""
    tasks = [BenchmarkTask(peer.name, partial(_measure_connects, peer, readers, seconds)) for peer in peers]
    return add_cpu_ratio(run_rounds(tasks, rounds))


def _measure_connects(peer: Peer, readers: int, seconds: float) -> Row:
    if peer.is_tickwire:
        peer = replace(peer, stream_path=_SNAPSHOT_STREAM_PATH)
    row = measure_peer(peer, readers=readers, seconds=seconds)
    if "opened_s" in row:
        row["connects_per_s"] = round(readers / row["opened_s"])
    return row
