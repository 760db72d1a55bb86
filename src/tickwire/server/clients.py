"""Who is connected, over HTTP."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from tickwire.core.codec import encode
from tickwire.server.problem import problem
from tickwire.server.service import Service

routes = APIRouter(tags=["clients"])
_COME_BACK_MS = 60_000  # what an evicted reader is told to wait: who sends it away does not want it back at once


@routes.get("/v1/clients", response_class=Response)
async def read_clients(request: Request) -> Response:
    """Every connected reader."""
    service: Service = request.app.state.service
    return Response(encode(service.hub.clients()), media_type="application/json")


@routes.get("/v1/clients/{client_id}", response_class=Response)
async def read_client(request: Request, client_id: str) -> Response:
    """The connected readers with one client id."""
    service: Service = request.app.state.service
    found = service.hub.clients(client_id)
    if not found:
        return problem(404, f"no reader is connected as {client_id}")
    return Response(encode(found), media_type="application/json")


@routes.delete("/v1/clients/{client_id}", response_class=Response)
async def evict_client(request: Request, client_id: str) -> Response:
    """End the streams of one client id, with a `bye`."""
    service: Service = request.app.state.service
    count = service.hub.evict(client_id, _COME_BACK_MS)
    if not count:
        return problem(404, f"no reader is connected as {client_id}")
    return Response(encode({"evicted": count}), media_type="application/json")
