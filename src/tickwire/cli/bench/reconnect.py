"""The resume storm: everybody comes back at once, with the id of an event that is long past."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tickwire.cli.bench.load import measure
from tickwire.cli.bench.peers import Peer, tickwire
from tickwire.cli.bench.report import Row
from tickwire.cli.bench.rounds import Task, cannot, in_turn

COLUMNS = {
    "seconds": "all caught up, s",
    "deliveries_per_s": "events/s",
    "first_p50_ms": "first p50 ms",
    "first_p99_ms": "first p99 ms",
    "caught_p50_ms": "caught up p50",
    "caught_p99_ms": "caught up p99",
    "server_cpu": "cores",
    "lost": "lost",
    "repeated": "doubled",
}
_SYMBOLS = 500
_BATCH = 50  # events of the history in one request, where a server takes several
_CANNOT = dict.fromkeys(("limit", "queue-asgi", "sse-starlette", "node"), "it keeps no past events") | {
    "centrifugo": "its event streams do not read Last-Event-ID (its own SDKs recover over other transports)"
}


def reconnect(peers: Sequence[Peer], readers: int, seconds: float, rounds: int, *, behind: int) -> list[Row]:
    """All readers come back with the id of one event, `behind` events ago; `seconds` bounds nothing that makes way."""
    work = {"behind": behind, "batch": _BATCH, "symbols": _SYMBOLS}
    newest = {**work, "missed": min(behind, _SYMBOLS)}
    get = "/v1/stream?symbols=*&snapshot=false&delivery="
    works = [
        (tickwire("--journal", "memory", name="tickwire, all", get=get + "all"), work),
        (tickwire("--data", ".", name="tickwire-sqlite, all", get=get + "all"), work),
        (tickwire("--journal", "memory", name="tickwire, latest", get=get + "latest"), newest),
        *((peer, work) for peer in peers if peer.name not in _CANNOT and not peer.name.startswith("tickwire")),
    ]
    tasks = [Task(peer.name, partial(measure, peer, readers=readers, seconds=seconds, **work)) for peer, work in works]
    return in_turn(tasks, rounds) + cannot(_CANNOT, peers)
