"""Candles over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from tickwire.core.candle import INTERVALS, Candle, check_interval
from tickwire.core.codec import encode
from tickwire.core.instrument import check_symbol
from tickwire.core.moment import LATEST, read_moment
from tickwire.errors import InputError
from tickwire.history.chronicle import Asked
from tickwire.server.access import check_symbol_allowed, rights_of
from tickwire.server.problem import problem
from tickwire.server.service import Service

routes = APIRouter(tags=["candles"])
MOST_CANDLES = 5_000  # in one answer: some 0.7 MB, 10 ms to make
_CANDLES = 500


CANDLE_SCHEMA: dict[str, Any] = msgspec.json.schema(Candle)["$defs"]["Candle"]
_PROBLEM: dict[str, Any] = {"content": {"application/problem+json": {}}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"schema": {"type": "array", "items": CANDLE_SCHEMA}}}},
    404: {"description": "the symbol has not traded here", **_PROBLEM},
}


@routes.get("/v1/candles/{symbol:path}", response_class=Response, responses=_ANSWERS)
async def read_candles(
    request: Request,
    symbol: str,
    *,
    interval: Annotated[str, Query(description=f"one of {', '.join(INTERVALS)}")] = "1m",
    start: Annotated[
        str | None, Query(description="the earliest start: ISO 8601, or microseconds; left out, the newest candles")
    ] = None,
    end: Annotated[str | None, Query(description="candles that start before: ISO 8601, or microseconds")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_CANDLES, description="how many at most")] = _CANDLES,
) -> Response:
    """The candles of one symbol, oldest first. The last one may still be forming: it is not `closed`."""
    service: Service = request.app.state.service
    seconds = check_interval(interval)
    begin = None if start is None else read_moment(start, field="start")
    asked = Asked(check_symbol(symbol, field="symbol"), seconds, begin, _end(begin, end), limit)
    rights = rights_of(request.scope)
    check_symbol_allowed(rights, symbol)
    board = (await service.hubs.of(rights)).board
    late = service.hubs.late(rights)
    if late is not None:  # those that had closed then: what others have seen of the one that was forming is not kept
        asked = asked._replace(end=min(asked.end, late.closed_until(symbol, seconds)))
    candles = await service.candles(asked)
    if not candles and board.row(symbol) is None:
        return problem(404, f"{symbol} has not traded here", field="symbol")
    return Response(encode(candles), media_type="application/json")


def _end(begin: int | None, text: str | None) -> int:
    end = LATEST if text is None else read_moment(text, field="end")
    if begin and end <= begin:  # of 0 nobody knows how long before it was
        raise InputError("end is not after start", field="end")
    return end
