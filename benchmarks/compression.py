"""Measure the bytes that compression saves and its CPU time, with shared and with separate encoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from benchmarks.measurement import measure_peer
from benchmarks.peer_servers import GZIP_ASGI, Peer, behind_nginx, tickwire_peer
from benchmarks.report import Row
from benchmarks.rounds import BenchmarkTask, run_rounds, unsupported_rows

COLUMNS = {
    "kb_per_s": "KB/s a reader",
    "share": "of plain",
    "deliveries_per_s": "deliveries/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "server_cpu": "cores",
    "cpu_us": "CPU us",
    "load_cpu": "load's cores",
    "kb_per_reader": "KB/reader",
    "lost": "lost",
}
_BATCHES_PER_S = 10.0
_WORKLOADS = {
    "channel": ("/v1/stream?symbols=*", {"symbols": 50, "batch": 20, "rate": _BATCHES_PER_S}),
    "watchlists": ("/v1/stream?symbols=", {"symbols": 500, "watch": 20, "batch": 500, "rate": _BATCHES_PER_S}),
}
_UNSUPPORTED_REASONS = {
    "": "it does not compress an event stream piece by piece",
    "queue-asgi": "gzip-asgi replaces it",
    "limit": "it does not compress",
}


def measure_compression(peers: Sequence[Peer], readers: int, seconds: float, rounds: int) -> list[Row]:
    """Send 200 events a second in ten batches to each reader.

    Measure two cases: all readers share one channel, and each reader watches 20 of 500 symbols.
    """
    tasks = [
        BenchmarkTask(peer.name, partial(_measure_encoding, peer, encoding, readers, seconds, work))
        for peer, encoding, work in _peer_workloads()
    ]
    rows = run_rounds(tasks, rounds)
    return _add_share_of_plain(rows) + unsupported_rows(_UNSUPPORTED_REASONS, peers)


def _peer_workloads() -> Iterator[tuple[Peer, str, dict[str, object]]]:
    for case, (path, options) in _WORKLOADS.items():
        work: dict[str, object] = {**options}
        for encoding in ("identity", "gzip", "zstd"):
            peer = tickwire_peer("--journal", "memory", name=f"{case}: tickwire {encoding}", stream_path=path)
            yield peer, encoding, work
        plain = tickwire_peer("--journal", "memory", name=f"{case}: tickwire, nginx gzip", stream_path=path)
        yield behind_nginx(plain), "gzip", work
        yield replace(GZIP_ASGI, name=f"{case}: {GZIP_ASGI.name}", stream_path=path), "gzip", work


def _measure_encoding(peer: Peer, encoding: str, readers: int, seconds: float, work: dict[str, object]) -> Row:
    row = measure_peer(peer, readers=readers, seconds=seconds, encoding=encoding, fill=1, **work)
    if "bytes" not in row:
        return row
    if encoding != "identity" and row["decoded"] < readers:
        return {"name": peer.name, "what": peer.description, "cannot": f"the answer is not encoded with {encoding}"}
    row["kb_per_s"] = round(row["bytes"] / readers / row["seconds"] / 1000, 2)
    return row


def _add_share_of_plain(rows: list[Row]) -> list[Row]:
    plain = {row["name"].partition(":")[0]: row.get("kb_per_s") for row in rows if row["name"].endswith("identity")}
    for row in rows:
        plain_kb_per_s = plain[row["name"].partition(":")[0]]
        if plain_kb_per_s and "kb_per_s" in row:
            row["share"] = round(row["kb_per_s"] / plain_kb_per_s, 3)
    return rows
