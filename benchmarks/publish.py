"""Measure single events: a publisher sends one event after the other, and one reader receives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.fanout import measure_peers
from benchmarks.peer_servers import Peer
from benchmarks.report import Row

COLUMNS = {
    "deliveries_per_s": "events/s",
    "cpu_us": "CPU us",
    "cpu_ratio": "CPU of limit",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "server_cpu": "cores",
    "lost": "lost",
}
_ALL_SYMBOLS_PATH = "/v1/stream?symbols=*&delivery=all&snapshot=false"


def measure_publish(peers: Sequence[Peer], seconds: float, rounds: int, *, symbols: int) -> list[Row]:
    """Publish one event per request. Publish the next event when the reader has received the previous event.

    The CPU time per event includes the request, the processing of the event in the server, and a single delivery. The
    events of Tickwire are ticks of `symbols` different symbols.
    """
    peers = [replace(peer, stream_path=_ALL_SYMBOLS_PATH) if peer.is_tickwire else peer for peer in peers]
    return measure_peers(peers, 1, seconds, rounds, window=1, symbols=symbols)
