"""Read instruments over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from tickwire.core.codec import encode_json
from tickwire.market.board import Board
from tickwire.server.api_router import create_router
from tickwire.server.auth.access import request_rights
from tickwire.server.auth.readable import select_readable
from tickwire.server.hub_state import StateOfHub
from tickwire.server.loop_slices import OBJECTS_PER_SLICE, in_slices, json_array_response
from tickwire.server.service import Service
from tickwire.sessions.rights import Rights
from tickwire.sessions.subscription import Subscription, parse_symbols

routes = create_router("instruments")


@routes.get("/v1/instruments", response_class=Response)
async def read_instruments(
    request: Request,
    state: StateOfHub,
    symbols: Annotated[str, Query(description="comma-separated list of symbols and patterns such as BTC-*")] = "*",
) -> Response:
    """Return the reference data of instruments, including instruments that have not traded."""
    service: Service = request.app.state.service
    rights = request_rights(request.scope)
    selection = Subscription(
        parse_symbols(symbols, max_symbols=service.limits.max_symbols_per_subscription), allowed=rights.symbols
    )
    return await json_array_response(_encode_instruments(service, selection, rights, state.hub.board))


async def _encode_instruments(
    service: Service, selection: Subscription, rights: Rights, board: Board
) -> AsyncIterator[Sequence[bytes]]:
    async for part in in_slices([*service.live_hub.board.instruments.values()], OBJECTS_PER_SLICE):
        selected = selection.select(frozenset(instrument.symbol for instrument in part))
        wanted = {*selected} if rights.filter is None else {*await select_readable(rights, board, selected)}
        yield [encode_json(instrument) for instrument in part if instrument.symbol in wanted]
