"""Many readers: how fast they come in, what they weigh, and an event to all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from tickwire.cli.bench.load import measure
from tickwire.cli.bench.peers import Peer
from tickwire.cli.bench.report import Row
from tickwire.cli.bench.rounds import Task, in_turn

COLUMNS = {
    "connects_per_s": "connects/s",
    "opened_s": "in s",
    "first_s": "first s",
    "kb_per_reader": "KB/reader",
    "deliveries_per_s": "deliveries/s",
    "p99_ms": "p99 ms",
    "server_cpu": "cores",
    "lost": "lost",
}
_WITH_SNAPSHOT = "/v1/stream?symbols=S0&delivery=all"


def crowd(peers: Sequence[Peer], many: int, seconds: float, repeats: int) -> list[Row]:
    """Readers connect as fast as they can, 512 at once; then events go to all, two under way."""
    tasks = [Task(peer.name, partial(_crowd, peer, many, seconds)) for peer in peers]
    return in_turn(tasks, repeats)


def _crowd(peer: Peer, readers: int, seconds: float) -> Row:
    if peer.name.startswith("tickwire"):
        peer = replace(peer, get=_WITH_SNAPSHOT)
    row = measure(peer, readers=readers, seconds=seconds)
    if "opened_s" in row:
        row["connects_per_s"] = round(readers / row["opened_s"])
    return row
