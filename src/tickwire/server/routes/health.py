"""Check liveness and readiness over HTTP."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import Response

from tickwire.core.codec import encode_json
from tickwire.server.api_router import create_router
from tickwire.server.auth.access import request_rights
from tickwire.server.problem import problem
from tickwire.server.service import Service

routes = create_router("health")


@routes.get("/healthz", response_class=Response)
async def healthz() -> Response:
    """Answer 200 as long as the process runs."""
    return healthy()


def healthy() -> Response:
    """Return the response of /healthz: status 200."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@routes.get("/readyz", response_class=Response)
async def readyz(request: Request) -> Response:
    """Answer 200 if prices are fresh and the journal accepts events, else 503 with the reasons.

    The server is also ready if it cannot read some old events from the journal. The member `unreadable` counts the
    failed reads.

    The server stays ready for some time after the feed has lost the connection to its source of prices, because the
    feed reconnects. The member `connection` contains the state of this connection. If the feed stays disconnected for
    too long, the prices become stale and the server is no longer ready.
    """
    service: Service = request.app.state.service
    # A probe has no token, so if clients need tokens, the response to a probe omits the details. Admins can read the
    # details in /v1/operations. Without authentication, every client is an admin.
    is_admin = request_rights(request.scope).has_scope("admin")
    health = service.runtime.health()
    connection = health.connection
    details: dict[str, Any] = {
        "feed": health.feed,
        "mode": health.mode,
        "state": health.state,
        "last_tick_age": health.last_tick_age_s,
        "connection": None if connection is None else connection.state.value,
        "connection_reason": None if connection is None or not is_admin else connection.reason,
        "last_message_age": min((part.last_message_age_s or 0.0 for part in health.parts), default=None),
        "sources": [
            {
                "feed": part.name,
                "state": health.part_states.get(part.name),
                "connection": part.connection.state.value,
                "connection_reason": part.connection.reason if is_admin else None,
                "vendor_error": part.vendor_error if is_admin else None,
                "last_message_age": part.last_message_age_s,
                "last_tick_age": part.last_tick_age_s,
            }
            for part in health.parts
        ],
        "head": str(service.live_hub.head),
        "readers": len(service.hub_pool),
        "leads": health.runs_feed,
        "unreadable": service.hub_pool.stats().unreadable_gaps,
    }
    if health.problems:
        reasons = "; ".join(each.describe(with_detail=is_admin) for each in health.problems)
        return problem(503, reasons, headers={"retry-after": "5"}, **details)
    return Response(encode_json({"status": "ready", **details}), media_type="application/json")
