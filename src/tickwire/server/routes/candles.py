"""Read candles over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import Query, Request
from starlette.responses import Response

from tickwire.candles.recorder import CandleQuery
from tickwire.core.candle import INTERVAL_SECONDS, Candle, parse_candle_interval
from tickwire.core.codec import encode_json
from tickwire.core.instrument import check_symbol
from tickwire.core.timestamps import MAX_TIMESTAMP_NS, parse_timestamp
from tickwire.errors import InputError
from tickwire.server.api_router import create_router
from tickwire.server.auth.access import request_rights
from tickwire.server.auth.readable import check_symbol_readable
from tickwire.server.hub_state import StateOfHub
from tickwire.server.problem import problem
from tickwire.server.service import Service

routes = create_router("candles")
# The maximum number of candles in one response. Such a response has about 0.7 MB, and the server encodes it in 10 ms.
MAX_CANDLES = 5_000
_DEFAULT_LIMIT = 500


CANDLE_SCHEMA: dict[str, Any] = msgspec.json.schema(Candle)["$defs"]["Candle"]
_PROBLEM_CONTENT: dict[str, Any] = {"content": {"application/problem+json": {}}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"schema": {"type": "array", "items": CANDLE_SCHEMA}}}},
    404: {"description": "the symbol has not traded on this server", **_PROBLEM_CONTENT},
}


@routes.get("/v1/candles/{symbol:path}", response_class=Response, responses=_RESPONSES)
async def read_candles(
    request: Request,
    symbol: str,
    state: StateOfHub,
    *,
    interval: Annotated[str, Query(description=f"one of {', '.join(INTERVAL_SECONDS)}")] = "1m",
    start: Annotated[
        str | None,
        Query(
            description="return candles that start at or after this time (ISO 8601, or microseconds since 1970). By "
            "default, return the newest candles"
        ),
    ] = None,
    end: Annotated[
        str | None,
        Query(description="return candles that start before this time (ISO 8601, or microseconds since 1970)"),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_CANDLES, description="the maximum number of candles")] = _DEFAULT_LIMIT,
) -> Response:
    """Return the candles of one symbol, oldest first. Only the last candle can be open; its `closed` is false."""
    service: Service = request.app.state.service
    seconds = parse_candle_interval(interval)
    start_ns = None if start is None else parse_timestamp(start, field="start")
    query = CandleQuery(check_symbol(symbol, field="symbol"), seconds, start_ns, _parse_end(start_ns, end), limit)
    rights = request_rights(request.scope)
    check_symbol_readable(rights, state.hub.board, symbol)
    delayed_hub = service.hub_pool.delayed_hub_for(rights)
    # A client with delayed data receives only candles that had closed at the delayed time, because the archive does not
    # store past states of an open candle.
    if delayed_hub is not None:
        query = query._replace(end=min(query.end, delayed_hub.closed_until(symbol, seconds)))
    candles = await service.runtime.candle_recorder.read(query)
    if not candles and state.hub.board.find_row(symbol) is None:
        return problem(404, f"{symbol!r} has not traded on this server", field="symbol")
    return Response(encode_json(candles), media_type="application/json")


def _parse_end(start: int | None, text: str | None) -> int:
    end = MAX_TIMESTAMP_NS if text is None else parse_timestamp(text, field="end")
    # Skip the check if `start` is 0. Every time before 1970 becomes 0. So a request with two such times has equal times
    # here, even if its end is later than its start.
    if start and end <= start:
        raise InputError("end is not after start: choose a later end", field="end")
    return end
