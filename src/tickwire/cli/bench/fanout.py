"""Fan-out benchmarks: the same events to the same readers, through one server after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from tickwire.cli.bench.load import measure
from tickwire.cli.bench.peers import LIMIT, Peer, tickwire
from tickwire.cli.bench.report import Row
from tickwire.cli.bench.rounds import Task, cannot, in_turn, with_ratio

COLUMNS = {
    "deliveries_per_s": "deliveries/s",
    "ratio": "of limit",
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
    "lost": "not newest",
}
_WINDOW = 2  # one event being sent, the next waiting: the server never idles, and nothing is joined into one write
_LATENCY_DELIVERIES = 100_000  # a second
_FLUSH = 0.02  # seconds between batches of the watchlist market
_QUOTE_BYTES = 292  # of a full quote's frame, about
_NO_WATCHLISTS = {"": "a reader cannot have symbols of its own; a topic for each would be another work"}
_NO_PACE = {"": "every reader gets every event; there is no interval"}


def fanout(peers: Sequence[Peer], readers: int, seconds: float, rounds: int) -> list[Row]:
    """One event to all readers, as fast as the server can: the median of some rounds, peers taking turns."""
    return with_ratio(_rounds(peers, readers, seconds, rounds, window=_WINDOW), "deliveries_per_s")


def latency(peers: Sequence[Peer], readers: int, seconds: float, rounds: int) -> list[Row]:
    """From publish to receipt at 100,000 deliveries a second."""
    return with_ratio(_rounds(peers, readers, seconds, rounds, rate=_LATENCY_DELIVERIES / readers), "p99_ms")


def watchlists(
    peers: Sequence[Peer], readers: int, seconds: float, rounds: int, *, symbols: int, watch: int, ticks: int
) -> list[Row]:
    """Each reader with its own list of symbols in a busy market, beside one send(2) of as many bytes a flush."""
    together = round(watch * ticks * _FLUSH / symbols)  # quotes of a reader in a flush
    bare = replace(LIMIT, suffix=" " * (together - 1) * _QUOTE_BYTES)
    work = market(symbols, watch, ticks)
    tasks = [
        *_tasks([bare], readers, seconds, rate=1 / _FLUSH),
        *_tasks(_both("/v1/stream?symbols="), readers, seconds, **work),
    ]
    rows = in_turn(tasks, rounds)
    if "deliveries_per_s" in rows[0]:
        rows[0]["deliveries_per_s"] *= together
    return rows + cannot(_NO_WATCHLISTS, [peer for peer in peers if peer is not LIMIT])


def paced(
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
    """Watchlists, each symbol at most once an interval (ms): how old the newest value is when it comes, and how far
    two values of one symbol are apart."""
    work = {**market(symbols, watch, ticks), "conflated": 1, "fill": 4 * interval / 1000}
    rows = _rounds(_both(f"/v1/stream?interval={interval}ms&symbols="), readers, seconds, rounds, **work)
    for row in rows:
        if "expected" in row:
            row["of_published"] = round(row["deliveries"] / row["expected"], 3)
    return rows + cannot(_NO_PACE, peers)


def market(symbols: int, watch: int, ticks: int) -> dict[str, float]:
    """The work of a busy market: `ticks` a second on `symbols`, of which each reader watches some."""
    return {"symbols": symbols, "watch": watch, "batch": round(ticks * _FLUSH), "rate": 1 / _FLUSH}


def _both(get: str) -> list[Peer]:
    return [
        tickwire("--journal", "memory", get=get),
        tickwire("--data", ".", name="tickwire-sqlite", get=get),
    ]


def _rounds(peers: Sequence[Peer], readers: int, seconds: float, rounds: int, **work: object) -> list[Row]:
    return in_turn(_tasks(peers, readers, seconds, **work), rounds)


def _tasks(peers: Sequence[Peer], readers: int, seconds: float, **work: object) -> list[Task]:
    return [Task(peer.name, partial(measure, peer, readers=readers, seconds=seconds, **work)) for peer in peers]
