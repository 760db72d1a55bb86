"""Measure fan-out: each server in turn sends the same events to the same number of readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from benchmarks.measurement import measure_peer
from benchmarks.peer_servers import SEND_LOOP, Peer
from benchmarks.report import Row, has_figures
from benchmarks.rounds import BenchmarkTask, add_cpu_ratio, add_ratio, run_rounds, unsupported_rows

COLUMNS = {
    "deliveries_per_s": "deliveries/s",
    "ratio": "of limit",
    "cpu_us": "CPU us",
    "cpu_ratio": "CPU of limit",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "p999_ms": "p99.9 ms",
    "server_cpu": "cores",
    "kb_per_reader": "KB/reader",
    "lost": "lost",
}
PACED_COLUMNS = {
    "deliveries_per_s": "deliveries/s",
    "of_published": "of all",
    "p50_ms": "age p50 ms",
    "p99_ms": "age p99 ms",
    "spacing_p50_ms": "apart p50 ms",
    "spacing_p99_ms": "apart p99 ms",
    "server_cpu": "cores",
    "cpu_us": "CPU us",
    "lost": "not newest",
}
# While the server sends one event, the next event waits. The server is never idle, and never sends two events in one
# write.
_EVENTS_IN_FLIGHT = 2
_DELIVERIES_PER_S = 100_000
# The time between two batches of the market.
_FLUSH_INTERVAL_S = 0.02
# The approximate size of a frame with all fields of a quote.
_QUOTE_FRAME_BYTES = 292
_WATCHLIST_PATH = "/v1/stream?symbols="
_WATCHLISTS_UNSUPPORTED = {"": "a reader cannot choose symbols; a topic per symbol would be a different workload"}
_PACING_UNSUPPORTED = {"": "it sends every event to every reader, without an interval"}


def measure_fanout(peers: Sequence[Peer], readers: int, seconds: float, rounds: int) -> list[Row]:
    """Send one event after the other to all readers, as fast as the server can send."""
    return add_ratio(measure_peers(peers, readers, seconds, rounds, window=_EVENTS_IN_FLIGHT), "deliveries_per_s")


def measure_latency(peers: Sequence[Peer], readers: int, seconds: float, rounds: int) -> list[Row]:
    """Measure the time from publish to receipt at 100,000 deliveries per second."""
    return add_ratio(measure_peers(peers, readers, seconds, rounds, rate=_DELIVERIES_PER_S / readers), "p99_ms")


def measure_watchlists(
    peers: Sequence[Peer], readers: int, seconds: float, rounds: int, *, symbols: int, watch: int, ticks: int
) -> list[Row]:
    """Send a busy market to readers with watchlists. SEND_LOOP sends the same bytes with one send(2) per flush."""
    work = market_workload(symbols, watch, ticks)
    tasks = [
        watchlist_limit_task(readers, seconds, symbols=symbols, watch=watch, ticks=ticks),
        *_peer_tasks(_tickwire_peers(peers, _WATCHLIST_PATH), readers, seconds, **work),
    ]
    return add_cpu_ratio(run_rounds(tasks, rounds)) + unsupported_rows(
        _WATCHLISTS_UNSUPPORTED, [peer for peer in peers if peer is not SEND_LOOP]
    )


def measure_paced(
    peers: Sequence[Peer],
    readers: int,
    seconds: float,
    rounds: int,
    *,
    symbols: int,
    watch: int,
    ticks: int,
    interval: int,
) -> list[Row]:
    """Send watchlists with an `interval` in milliseconds. A reader receives each symbol at most once per interval.

    The figures are the age of a value on receipt, and the time between two values of one symbol.
    """
    work = {**market_workload(symbols, watch, ticks), "conflated": 1, "fill": 4 * interval / 1000}
    rows = measure_peers(
        _tickwire_peers(peers, f"/v1/stream?interval={interval}ms&symbols="), readers, seconds, rounds, **work
    )
    for row in rows:
        if "expected" in row:
            row["of_published"] = round(row["deliveries"] / row["expected"], 3)
    return rows + unsupported_rows(_PACING_UNSUPPORTED, peers)


def market_workload(symbols: int, watch: int, ticks: int) -> dict[str, float]:
    """Return the load options of a market with `symbols` symbols and `ticks` ticks per second.

    Each reader watches `watch` of these symbols.
    """
    return {
        "symbols": symbols,
        "watch": watch,
        "batch": round(ticks * _FLUSH_INTERVAL_S),
        "rate": 1 / _FLUSH_INTERVAL_S,
    }


def watchlist_limit_task(readers: int, seconds: float, *, symbols: int, watch: int, ticks: int) -> BenchmarkTask:
    """Return a task that measures SEND_LOOP as the limit for watchlists, with one send(2) per reader and flush.

    SEND_LOOP sends the same bytes as the other servers. The figures count each quote in a flush as a delivery, like the
    figures of the other servers.
    """
    quotes_per_flush = round(watch * ticks * _FLUSH_INTERVAL_S / symbols)
    limit = replace(SEND_LOOP, body_suffix=" " * (quotes_per_flush - 1) * _QUOTE_FRAME_BYTES)

    def measure() -> Row:
        row = measure_peer(limit, readers=readers, seconds=seconds, rate=1 / _FLUSH_INTERVAL_S)
        if has_figures(row):
            row["deliveries_per_s"] *= quotes_per_flush
            row["cpu_us"] /= quotes_per_flush
        return row

    return BenchmarkTask(limit.name, measure)


def _tickwire_peers(peers: Sequence[Peer], stream_path: str) -> list[Peer]:
    return [replace(peer, stream_path=stream_path) for peer in peers if peer.is_tickwire]


def measure_peers(peers: Sequence[Peer], readers: int, seconds: float, rounds: int, **work: object) -> list[Row]:
    """Measure each peer with the same work. `work` contains options of the load generator."""
    return add_cpu_ratio(run_rounds(_peer_tasks(peers, readers, seconds, **work), rounds))


def _peer_tasks(peers: Sequence[Peer], readers: int, seconds: float, **work: object) -> list[BenchmarkTask]:
    return [
        BenchmarkTask(peer.name, partial(measure_peer, peer, readers=readers, seconds=seconds, **work))
        for peer in peers
    ]
