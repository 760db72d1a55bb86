"""Measure stalled readers, which never read: their effect on other readers, and their memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from benchmarks.fanout import market_workload
from benchmarks.measurement import measure_peer
from benchmarks.peer_servers import Peer, tickwire_peer
from benchmarks.report import Row, has_figures
from benchmarks.rounds import BenchmarkTask, add_cpu_ratio, run_rounds

COLUMNS = {
    "p50_alone_ms": "p50 alone",
    "p50_ms": "p50 ms",
    "p99_alone_ms": "p99 alone",
    "p99_ms": "p99 ms",
    "ratio": "p99 ratio",
    "cpu_us": "CPU us",
    "kb_per_stalled": "KB/stalled",
    "kernel_kb_per_stalled": "kernel KB",
    "lost": "lost",
}
# Most peers can send this number of events per second to 1,000 readers.
_EVENTS_PER_S = 50.0
# After this time, the buffers of stalled readers are full. The load sends 17 KB/s to each reader, in segments of the
# size of Ethernet packets.
_FILL_BUFFERS_S = 4.0
# If the 99th percentile (p99) exceeds this limit even without stalled readers, the server is overloaded. A comparison
# then has no meaning.
_MAX_P99_MS = 1_000.0
_MIN_DELIVERED_SHARE = 0.5
_BUSY_MARKET = {**market_workload(symbols=500, watch=20, ticks=20_000), "stalled_get": "/v1/stream?symbols=*"}


def measure_stalled_readers(
    peers: Sequence[Peer], readers: int, seconds: float, rounds: int, *, silent: int
) -> list[Row]:
    """Measure the good readers alone, then beside `silent` stalled readers. `readers` is the number of all readers."""
    tasks = [
        BenchmarkTask(peer.name, partial(_measure_with_stalled, peer, readers - silent, silent, seconds, work))
        for peer, work in _peer_workloads(peers)
    ]
    return add_cpu_ratio(run_rounds(tasks, rounds))


def _peer_workloads(peers: Sequence[Peer]) -> Iterator[tuple[Peer, dict[str, object]]]:
    memory = ("--journal", "memory")
    for delivery in ("all", "latest"):
        path = f"/v1/stream?symbols=S0&snapshot=false&delivery={delivery}"
        yield tickwire_peer(*memory, name=f"tickwire, {delivery}", stream_path=path), {"rate": _EVENTS_PER_S}
    yield tickwire_peer(*memory, name="tickwire, 20,000 ticks/s", stream_path="/v1/stream?symbols="), {**_BUSY_MARKET}
    for peer in peers:
        if not peer.is_tickwire:
            yield peer, {"rate": _EVENTS_PER_S}


def _measure_with_stalled(peer: Peer, good: int, silent: int, seconds: float, work: dict[str, object]) -> Row:
    alone = measure_peer(peer, readers=good, seconds=seconds, fill=_FILL_BUFFERS_S, **work)
    if not has_figures(alone):
        return alone
    if alone["p99_ms"] > _MAX_P99_MS:
        return _unsupported_row(peer, f"it falls behind without stalled readers (p99 {alone['p99_ms']:,.0f} ms)")
    both = measure_peer(peer, readers=good, seconds=seconds, fill=_FILL_BUFFERS_S, stalled=silent, **work)
    if not has_figures(both):
        return both
    if both["deliveries"] < alone["deliveries"] * _MIN_DELIVERED_SHARE:
        return _unsupported_row(
            peer, f"stalled readers stop all others ({both['deliveries']:,} of {alone['deliveries']:,} events arrived)"
        )
    return both | {
        "p50_alone_ms": alone["p50_ms"],
        "p99_alone_ms": alone["p99_ms"],
        "ratio": round(both["p99_ms"] / alone["p99_ms"], 3),
        "kb_per_stalled": round((both["used_kb"] - alone["used_kb"]) / silent, 1),
        "kernel_kb_per_stalled": round(both["queued_kb"] / silent, 1),
        "lost": alone["lost"] + both["lost"],
    }


def _unsupported_row(peer: Peer, reason: str) -> Row:
    return {"name": peer.name, "what": peer.description, "cannot": reason}
