"""What an operator wants to see, in one answer: the figures of now and those of the last quarter of an hour."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from tickwire.core.codec import encode
from tickwire.journal.base import JournalStats
from tickwire.server.monitor import EVERY, KEPT, Figures
from tickwire.server.service import Service

routes = APIRouter(tags=["health"])
_VERSION = version("tickwire")


@routes.get("/v1/operations", response_class=Response)
async def read_operations(
    request: Request,
    samples: Annotated[int, Query(ge=0, le=KEPT, description="at most so many of the newest samples")] = KEPT,
) -> Response:
    """This server's readers, flows, latencies, losses, memory, feeds and journal, with samples of 15 minutes."""
    service: Service = request.app.state.service
    now = service.monitor.figures()
    answer = {
        "version": _VERSION,
        "uptime": round(now.uptime, 3),
        "head": str(service.hub.head),
        **_feeds(service),
        "journal": _journal(now.journal),
        "readers": now.hub.readers,
        "behind": now.hub.readers - now.hub.live,
        "max_readers": service.limits.readers,
        "channels": now.hub.channels,
        "lag": now.lag,
        "memory": now.memory,
        "totals": _totals(now, service),
        "history": {"seconds": EVERY, **service.monitor.samples.newest(samples)},
    }
    return Response(encode(answer), media_type="application/json")


def _feeds(service: Service) -> dict[str, Any]:
    health = service.health()
    feed = {"feed": health.feed, "mode": health.mode, "state": health.state, "last_tick_age": health.last_tick_age}
    return {"problems": health.problems, "feeds": [feed]}


def _journal(stats: JournalStats) -> dict[str, Any]:
    return {"kind": stats.kind, "events": stats.head - stats.first + 1, "bytes": stats.bytes, "expired": stats.expired}


def _totals(now: Figures, service: Service) -> dict[str, Any]:
    """What was counted since the server began."""
    names = ("events", "ticks", "deliveries", "bytes", "spared", "stalls", "conflated", "gaps", "opened", "closed")
    return {name: getattr(now.hub, name) for name in names} | {"refused": dict(service.refused)}
