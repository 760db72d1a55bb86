"""Reference data over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from tickwire.core.codec import encode
from tickwire.hub.subscription import Subscription, parse_symbols
from tickwire.server.access import rights_of
from tickwire.server.service import Service

routes = APIRouter(tags=["instruments"])


@routes.get("/v1/instruments", response_class=Response)
async def read_instruments(
    request: Request,
    symbols: Annotated[str, Query(description="comma list of symbols and patterns such as BTC-*")] = "*",
) -> Response:
    """What is known of the symbols before they trade."""
    service: Service = request.app.state.service
    wanted = Subscription(parse_symbols(symbols, most=service.limits.symbols), allowed=rights_of(request.scope).symbols)
    known = service.hub.board.instruments.values()
    found = [each for each in known if wanted.takes(each.symbol)]
    return Response(encode(found), media_type="application/json")
