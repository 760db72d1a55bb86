"""Readers that never read, beside good ones: whether those notice, and what the others cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from tickwire.cli.bench.fanout import market
from tickwire.cli.bench.load import measure
from tickwire.cli.bench.peers import Peer, tickwire
from tickwire.cli.bench.report import NO_FIGURES, Row
from tickwire.cli.bench.rounds import Task, in_turn

COLUMNS = {
    "p50_alone_ms": "p50 alone",
    "p50_ms": "p50 ms",
    "p99_alone_ms": "p99 alone",
    "p99_ms": "p99 ms",
    "ratio": "p99 ratio",
    "kb_per_stalled": "KB/stalled",
    "kernel_kb_per_stalled": "kernel KB",
    "lost": "lost",
}
_RATE = 50.0  # events a second to everybody: what most peers can send to 1,000 readers
_FILL = 4.0  # seconds until the buffers of the stalled are as full as they get (Ethernet segments, 17 KB/s)
_SLOWEST = 1_000.0  # ms: a p99 above that without anybody stalled is a server that cannot take the work
_MOST_OF_THEM = 0.5
_BUSY = {**market(symbols=500, watch=20, ticks=20_000), "stalled_get": "/v1/stream?symbols=*"}


def stalled(peers: Sequence[Peer], readers: int, seconds: float, repeats: int, *, silent: int) -> list[Row]:
    """`readers` in all, `silent` of them never read, against the good ones alone, one run after the other."""
    tasks = [
        Task(peer.name, partial(_beside, peer, readers - silent, silent, seconds, work)) for peer, work in _works(peers)
    ]
    return in_turn(tasks, repeats)


def _works(peers: Sequence[Peer]) -> Iterator[tuple[Peer, dict[str, object]]]:
    memory = ("--journal", "memory")
    for delivery in ("all", "latest"):
        get = f"/v1/stream?symbols=S0&snapshot=false&delivery={delivery}"
        yield tickwire(*memory, name=f"tickwire, {delivery}", get=get), {"rate": _RATE}
    yield tickwire(*memory, name="tickwire, 20,000 ticks/s", get="/v1/stream?symbols="), {**_BUSY}
    for peer in peers:
        if not peer.name.startswith("tickwire"):
            yield peer, {"rate": _RATE}


def _beside(peer: Peer, good: int, silent: int, seconds: float, work: dict[str, object]) -> Row:
    alone = measure(peer, readers=good, seconds=seconds, fill=_FILL, **work)
    if any(word in alone for word in NO_FIGURES):
        return alone
    if alone["p99_ms"] > _SLOWEST:
        return _cannot(peer, f"it falls behind with nobody stalled (p99 {alone['p99_ms']:,.0f} ms)")
    both = measure(peer, readers=good, seconds=seconds, fill=_FILL, stalled=silent, **work)
    if any(word in both for word in NO_FIGURES):
        return both
    if both["deliveries"] < alone["deliveries"] * _MOST_OF_THEM:
        return _cannot(
            peer, f"the stalled stop everybody ({both['deliveries']:,} of {alone['deliveries']:,} events came)"
        )
    return both | {
        "p50_alone_ms": alone["p50_ms"],
        "p99_alone_ms": alone["p99_ms"],
        "ratio": round(both["p99_ms"] / alone["p99_ms"], 3),
        "kb_per_stalled": round((both["used_kb"] - alone["used_kb"]) / silent, 1),
        "kernel_kb_per_stalled": round(both["queued_kb"] / silent, 1),
        "lost": alone["lost"] + both["lost"],
    }


def _cannot(peer: Peer, reason: str) -> Row:
    return {"name": peer.name, "what": peer.what, "cannot": reason}
