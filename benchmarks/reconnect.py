"""Measure a reconnect storm: all readers reconnect at once with the id of an old event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from benchmarks.measurement import measure_peer
from benchmarks.peer_servers import Peer, tickwire_peer
from benchmarks.report import Row
from benchmarks.rounds import BenchmarkTask, run_rounds, unsupported_rows

COLUMNS = {
    "seconds": "all s",
    "deliveries_per_s": "events/s",
    "first_p50_ms": "first p50 ms",
    "first_p99_ms": "first p99 ms",
    "caught_p50_ms": "caught p50",
    "caught_p99_ms": "caught p99",
    "server_cpu": "cores",
    "cpu_us": "CPU us",
    "lost": "lost",
    "repeated": "doubled",
}
# The maximum duration of the reconnects. The load generator adds its own time limit for connecting the readers.
_MAX_DURATION_S = 60.0
_SYMBOL_COUNT = 500
# The number of events in one publish request, if the server accepts several events in a request.
_EVENTS_PER_REQUEST = 50
_UNSUPPORTED_REASONS = dict.fromkeys(("limit", "queue-asgi", "sse-starlette", "node"), "it stores no past events") | {
    "centrifugo": "its event streams do not read Last-Event-ID (its own SDKs recover over other transports)"
}


def measure_reconnect(peers: Sequence[Peer], readers: int, rounds: int, *, behind: int) -> list[Row]:
    """Reconnect all readers with the id of the event that is `behind` events older than the newest event."""
    work = {"behind": behind, "batch": _EVENTS_PER_REQUEST, "symbols": _SYMBOL_COUNT}
    latest_work = {**work, "missed": min(behind, _SYMBOL_COUNT)}
    path = "/v1/stream?symbols=*&snapshot=false&delivery="
    workloads = [
        (tickwire_peer("--journal", "memory", name="tickwire, all", stream_path=path + "all"), work),
        (tickwire_peer("--data", ".", name="tickwire-sqlite, all", stream_path=path + "all"), work),
        (tickwire_peer("--journal", "memory", name="tickwire, latest", stream_path=path + "latest"), latest_work),
        *((_with_history_paths(peer), work) for peer in peers if _supports_resume(peer)),
    ]
    tasks = [
        BenchmarkTask(peer.name, partial(measure_peer, peer, readers=readers, seconds=_MAX_DURATION_S, **options))
        for peer, options in workloads
    ]
    return run_rounds(tasks, rounds) + unsupported_rows(_UNSUPPORTED_REASONS, peers)


def _supports_resume(peer: Peer) -> bool:
    return peer.name not in _UNSUPPORTED_REASONS and not peer.is_tickwire


def _with_history_paths(peer: Peer) -> Peer:
    """If the peer is nchan, return it with the path of a channel that has a long history.

    Return any other peer unchanged.
    """
    return replace(peer, stream_path="/history/sub", publish_path="/history/pub") if peer.name == "nchan" else peer
