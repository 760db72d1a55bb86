"""The board over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from tickwire.core.instrument import check_symbol
from tickwire.hub.subscription import Subscription, parse_symbols
from tickwire.market.board import Board
from tickwire.server.access import check_symbol_allowed, permitted, rights_of
from tickwire.server.problem import problem
from tickwire.server.service import Service

routes = APIRouter(tags=["quotes"])


@routes.get("/v1/quotes", response_class=Response)
async def read_quotes(
    request: Request,
    symbols: Annotated[str, Query(description="comma list of symbols and patterns such as BTC-*")] = "*",
) -> Response:
    """The latest quotes. Symbols that have not traded are left out."""
    service: Service = request.app.state.service
    rights = rights_of(request.scope)
    board = (await service.hubs.of(rights)).board
    wanted = permitted(rights, Subscription(parse_symbols(symbols, most=service.limits.symbols)))
    return _json(board.quotes(_rows(board, wanted)).json())


@routes.get("/v1/quotes/{symbol:path}", response_class=Response)
async def read_quote(request: Request, symbol: str) -> Response:
    """The latest quote of one symbol."""
    service: Service = request.app.state.service
    rights = rights_of(request.scope)
    check_symbol_allowed(rights, check_symbol(symbol, field="symbol"))
    board = (await service.hubs.of(rights)).board
    row = board.row(symbol)
    if row is None:
        return problem(404, f"{symbol} has not traded here", field="symbol")
    return Response(board.quotes([row]).json()[0], media_type="application/json")


def _rows(board: Board, wanted: Subscription) -> Sequence[int]:
    if wanted.everything:
        return range(len(board))
    named = {row for symbol in wanted.symbols if (row := board.row(symbol)) is not None}
    if wanted.globs:
        named |= {row for row, symbol in enumerate(board.symbols) if wanted.matches(symbol)}
    return sorted(named)


def _json(objects: Sequence[bytes]) -> Response:
    return Response(b"[" + b",".join(objects) + b"]", media_type="application/json")
