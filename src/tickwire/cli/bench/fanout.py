"""Fan-out benchmarks: the same events to the same readers, through one server after the other."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence

from tickwire.cli.bench.load import measure
from tickwire.cli.bench.peers import LIMIT, PEERS, Peer, tickwire
from tickwire.cli.bench.report import Row
from tickwire.errors import InputError

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
_WINDOW = 2  # one event being sent, the next waiting: the server never idles, and nothing is joined into one write
_LATENCY_DELIVERIES = 100_000  # a second
_FLUSH = 0.02  # seconds between batches of the watchlist market


def chosen(only: str) -> list[Peer]:
    """The peers in a comma list, or all; the limit is always among them."""
    names = [name.strip() for name in only.split(",") if name.strip()]
    known = {peer.name for peer in PEERS}
    for name in names:
        if name not in known:
            raise InputError(f"there is no peer {name!r}; there are {', '.join(sorted(known))}", field="only")
    return [peer for peer in PEERS if not names or peer.name in names or peer is LIMIT]


def fanout(peers: Sequence[Peer], readers: int, seconds: float, rounds: int) -> list[Row]:
    """One event to all readers, as fast as the server can: the median of some rounds, peers taking turns."""
    return _with_ratio(_rounds(peers, readers, seconds, rounds, window=_WINDOW), "deliveries_per_s")


def latency(peers: Sequence[Peer], readers: int, seconds: float, rounds: int) -> list[Row]:
    """From publish to receipt at 100,000 deliveries a second."""
    return _with_ratio(_rounds(peers, readers, seconds, rounds, rate=_LATENCY_DELIVERIES / readers), "p99_ms")


def watchlists(readers: int, seconds: float, rounds: int, *, symbols: int, watch: int, ticks: int) -> list[Row]:
    """Each reader with its own list of symbols in a busy market; the peers have no such thing."""
    batch = round(ticks * _FLUSH)
    work = {"symbols": symbols, "watch": watch, "batch": batch, "rate": 1 / _FLUSH}
    get = "/v1/stream?symbols="
    peers = [
        tickwire("--journal", "memory", get=get),
        tickwire("--data", ".", name="tickwire-sqlite", get=get),
    ]
    return _rounds(peers, readers, seconds, rounds, **work)


def _rounds(peers: Sequence[Peer], readers: int, seconds: float, rounds: int, **work: object) -> list[Row]:
    return [_median(peer, rows) for peer, rows in _measured(peers, readers, seconds, rounds, **work)]


def _measured(
    peers: Sequence[Peer], readers: int, seconds: float, rounds: int, **work: object
) -> Iterator[tuple[Peer, list[Row]]]:
    found: dict[str, list[Row]] = {peer.name: [] for peer in peers}
    for number in range(rounds):
        for peer in peers:
            rows = found[peer.name]
            if rows and ("missing" in rows[0] or "failed" in rows[0]):
                continue
            _progress(f"round {number + 1} of {rounds}: {peer.name}")
            rows.append(measure(peer, readers=readers, seconds=seconds, **work))
    _progress("")
    yield from ((peer, found[peer.name]) for peer in peers)


def _progress(text: str) -> None:
    """Say in a terminal what is being done."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _median(peer: Peer, rows: Sequence[Row]) -> Row:
    """Each figure's median over the rounds; losses are added up."""
    bad = next((row for row in rows if "missing" in row or "failed" in row), None)
    if bad is not None:
        return bad
    row: Row = {"name": peer.name, "what": peer.what, "rounds": len(rows)}
    for name, value in rows[0].items():
        if isinstance(value, int | float):
            values = [each[name] for each in rows]
            row[name] = sum(values) if name in ("lost", "repeated", "late") else statistics.median(values)
    return row


def _with_ratio(rows: list[Row], figure: str) -> list[Row]:
    limit = next((row.get(figure) for row in rows if row["name"] == LIMIT.name), None)
    for row in rows:
        if limit and figure in row:
            row["ratio"] = round(row[figure] / limit, 3)
    return rows
