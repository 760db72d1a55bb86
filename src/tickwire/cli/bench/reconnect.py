"""The resume storm: everybody comes back at once, with the id of an event that is long past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from tickwire.cli.bench.load import measure
from tickwire.cli.bench.peers import Peer, tickwire
from tickwire.cli.bench.report import Row
from tickwire.cli.bench.rounds import Task, cannot, in_turn

COLUMNS = {
    "seconds": "all s",
    "deliveries_per_s": "events/s",
    "first_p50_ms": "first p50 ms",
    "first_p99_ms": "first p99 ms",
    "caught_p50_ms": "caught p50",
    "caught_p99_ms": "caught p99",
    "server_cpu": "cores",
    "lost": "lost",
    "repeated": "doubled",
}
_MOST_SECONDS = 60.0  # beside what the load allows for setting up
_SYMBOLS = 500
_BATCH = 50  # events of the history in one request, where a server takes several
_CANNOT = dict.fromkeys(("limit", "queue-asgi", "sse-starlette", "node"), "it keeps no past events") | {
    "centrifugo": "its event streams do not read Last-Event-ID (its own SDKs recover over other transports)"
}


def reconnect(peers: Sequence[Peer], many: int, repeats: int, *, behind: int) -> list[Row]:
    """All readers come back with the id of one event, `behind` events ago."""
    work = {"behind": behind, "batch": _BATCH, "symbols": _SYMBOLS}
    newest = {**work, "missed": min(behind, _SYMBOLS)}
    get = "/v1/stream?symbols=*&snapshot=false&delivery="
    works = [
        (tickwire("--journal", "memory", name="tickwire, all", get=get + "all"), work),
        (tickwire("--data", ".", name="tickwire-sqlite, all", get=get + "all"), work),
        (tickwire("--journal", "memory", name="tickwire, latest", get=get + "latest"), newest),
        *((_with_history(peer), work) for peer in peers if _resumes(peer)),
    ]
    tasks = [
        Task(peer.name, partial(measure, peer, readers=many, seconds=_MOST_SECONDS, **work)) for peer, work in works
    ]
    return in_turn(tasks, repeats) + cannot(_CANNOT, peers)


def _resumes(peer: Peer) -> bool:
    return peer.name not in _CANNOT and not peer.name.startswith("tickwire")


def _with_history(peer: Peer) -> Peer:
    """The peer where it keeps enough: nchan has a channel for that."""
    return replace(peer, get="/history/sub", post="/history/pub") if peer.name == "nchan" else peer
