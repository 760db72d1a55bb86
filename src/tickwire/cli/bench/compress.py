"""Compression: what it saves on the wire, what it costs, shared and with a stream for each reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from tickwire.cli.bench.load import measure
from tickwire.cli.bench.peers import GZIP_ASGI, Peer, behind_nginx, tickwire
from tickwire.cli.bench.report import Row
from tickwire.cli.bench.rounds import Task, cannot, in_turn

COLUMNS = {
    "kb_per_s": "KB/s a reader",
    "share": "of plain",
    "deliveries_per_s": "deliveries/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "server_cpu": "cores",
    "load_cpu": "load's cores",
    "kb_per_reader": "KB/reader",
    "lost": "lost",
}
_FLUSHES = 10.0  # batches a second
_CASES = {
    "channel": ("/v1/stream?symbols=*", {"symbols": 50, "batch": 20, "rate": _FLUSHES}),
    "watchlists": ("/v1/stream?symbols=", {"symbols": 500, "watch": 20, "batch": 500, "rate": _FLUSHES}),
}
_CANNOT = {
    "": "it does not compress an event stream piece by piece",
    "queue-asgi": "it is measured as gzip-asgi",
    "limit": "it sends what it got",
}


def compress(peers: Sequence[Peer], readers: int, seconds: float, rounds: int) -> list[Row]:
    """200 events a second to each reader in ten pieces, of one channel or each of its own 20 of 500 symbols."""
    tasks = [
        Task(peer.name, partial(_compressed, peer, encoding, readers, seconds, work))
        for peer, encoding, work in _works()
    ]
    rows = in_turn(tasks, rounds)
    return _with_share(rows) + cannot(_CANNOT, peers)


def _works() -> Iterator[tuple[Peer, str, dict[str, object]]]:
    for case, (get, work) in _CASES.items():
        for encoding in ("identity", "gzip", "zstd"):
            yield tickwire("--journal", "memory", name=f"{case}: tickwire {encoding}", get=get), encoding, {**work}
        plain = tickwire("--journal", "memory", name=f"{case}: tickwire, nginx gzip", get=get)
        yield behind_nginx(plain), "gzip", {**work}
        yield replace(GZIP_ASGI, name=f"{case}: {GZIP_ASGI.name}", get=get), "gzip", {**work}


def _compressed(peer: Peer, encoding: str, readers: int, seconds: float, work: dict[str, object]) -> Row:
    row = measure(peer, readers=readers, seconds=seconds, encoding=encoding, fill=1, **work)
    if "bytes" not in row:
        return row
    if encoding != "identity" and row["decoded"] < readers:
        return {"name": peer.name, "what": peer.what, "cannot": f"it answers without {encoding}"}
    row["kb_per_s"] = round(row["bytes"] / readers / row["seconds"] / 1000, 2)
    return row


def _with_share(rows: list[Row]) -> list[Row]:
    plain = {row["name"].partition(":")[0]: row.get("kb_per_s") for row in rows if row["name"].endswith("identity")}
    for row in rows:
        all_of_it = plain[row["name"].partition(":")[0]]
        if all_of_it and "kb_per_s" in row:
            row["share"] = round(row["kb_per_s"] / all_of_it, 3)
    return rows
