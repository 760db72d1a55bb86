"""Is the process alive, and should it get readers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from tickwire.core.codec import encode
from tickwire.server.problem import problem
from tickwire.server.service import Service

routes = APIRouter(tags=["health"])


@routes.get("/healthz", response_class=Response)
async def healthz() -> Response:
    """200 as long as the process answers at all."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@routes.get("/readyz", response_class=Response)
async def readyz(request: Request) -> Response:
    """200 if prices are fresh and can be stored, else 503 and the reasons.

    A past that is damaged is told (`unreadable`, as in the metrics), but is no reason to send readers elsewhere.
    """
    service: Service = request.app.state.service
    health = service.health()
    more: dict[str, Any] = {
        "feed": health.feed,
        "mode": health.mode,
        "state": health.state,
        "last_tick_age": health.last_tick_age,
        "head": str(service.hub.head),
        "readers": len(service.hubs),
        "leads": health.leads,
        "unreadable": service.hubs.stats().unreadable,
    }
    if health.problems:
        return problem(503, "; ".join(health.problems), headers={"retry-after": "5"}, **more)
    return Response(encode({"status": "ready", **more}), media_type="application/json")
