"""Read quotes over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

import numpy as np
from fastapi import Query, Request
from starlette.responses import Response

from tickwire.core.arrays import RowArray
from tickwire.core.instrument import check_symbol
from tickwire.market.board import Board
from tickwire.market.quote_columns import QuoteColumns
from tickwire.screens.field_table import SYMBOLS_PER_TABLE
from tickwire.server.api_router import create_router
from tickwire.server.auth.access import request_rights, restrict_subscription
from tickwire.server.auth.readable import check_symbol_readable, test_quotes
from tickwire.server.hub_state import StateOfHub
from tickwire.server.loop_slices import OBJECTS_PER_SLICE, json_array_response, run_steps, slice_bounds
from tickwire.server.problem import problem
from tickwire.server.service import Service
from tickwire.sessions.rights import Rights
from tickwire.sessions.subscription import Subscription, parse_symbols

routes = create_router("quotes")
MAX_COPIED_QUOTES = 500_000
"""The maximum number of quotes in the copies of all answers in progress. A quote occupies about 130 bytes."""


@routes.get("/v1/quotes", response_class=Response)
async def read_quotes(
    request: Request,
    state: StateOfHub,
    symbols: Annotated[str, Query(description="comma-separated list of symbols and patterns such as BTC-*")] = "*",
) -> Response:
    """Return the newest quote of each symbol. The response omits symbols that have not traded.

    All quotes are as of the event in the header `Tickwire-Head`.
    """
    service: Service = request.app.state.service
    copies: QuoteCopies = request.app.state.quote_copies
    board = state.hub.board
    rights = request_rights(request.scope)
    selection = restrict_subscription(
        rights,
        Subscription(parse_symbols(symbols, max_symbols=service.limits.max_symbols_per_subscription)),
    )
    await run_steps(selection.test_patterns_stepwise(board.symbol_column))
    state.record_head()
    return await json_array_response(copies.encode(board, _select_rows(board, selection), rights))


@routes.get("/v1/quotes/{symbol:path}", response_class=Response)
async def read_quote(request: Request, state: StateOfHub, symbol: str) -> Response:
    """Return the newest quote of one symbol."""
    board = state.hub.board
    check_symbol_readable(request_rights(request.scope), board, check_symbol(symbol, field="symbol"))
    row = board.find_row(symbol)
    if row is None:
        return problem(404, f"{symbol!r} has not traded on this server", field="symbol")
    return Response(board.quotes([row]).to_json_lines()[0], media_type="application/json")


class QuoteCopies:
    """Encodes the quotes of an answer slice by slice, from a copy of the quotes.

    With the copy, all quotes of an answer belong to the position in the header `Tickwire-Head`. A copy stays in memory
    until the client has read the answer. If all copies together would have more than MAX_COPIED_QUOTES quotes, the next
    answer has no copy. The later slices of this answer then contain newer quotes, and a stream that continues from the
    header repeats some of their changes.
    """

    def __init__(self) -> None:
        self._copied_quotes = 0

    async def encode(self, board: Board, rows: RowArray, rights: Rights) -> AsyncIterator[Sequence[bytes]]:
        """Yield the encoded quotes of the board rows in `rows`, without quotes that the client may not read."""
        quotes_per_part = OBJECTS_PER_SLICE if rights.filter is None else SYMBOLS_PER_TABLE
        if self._copied_quotes + len(rows) > MAX_COPIED_QUOTES:
            async for begin, end in slice_bounds(len(rows), quotes_per_part):
                async for encoded in _encode_readable(board, board.quotes(rows[begin:end]), rights):
                    yield encoded
            return
        quotes = board.quotes(rows)
        self._copied_quotes += len(rows)
        try:
            async for begin, end in slice_bounds(len(rows), quotes_per_part):
                async for encoded in _encode_readable(board, quotes.select(range(begin, end)), rights):
                    yield encoded
        finally:
            self._copied_quotes -= len(rows)


async def _encode_readable(board: Board, quotes: QuoteColumns, rights: Rights) -> AsyncIterator[Sequence[bytes]]:
    if rights.filter is None:
        yield quotes.to_json_lines()
        return
    is_readable = await run_steps(test_quotes(rights, board, quotes))
    readable = quotes.select(np.flatnonzero(is_readable).tolist())
    async for begin, end in slice_bounds(len(readable), OBJECTS_PER_SLICE):
        yield readable.select(range(begin, end)).to_json_lines()


def _select_rows(board: Board, selection: Subscription) -> RowArray:
    if selection.includes_all_symbols:
        return np.arange(len(board))
    is_selected = selection.pattern_mask(board.symbol_column)
    is_selected[[row for symbol in selection.symbols if (row := board.find_row(symbol)) is not None]] = True
    return np.flatnonzero(is_selected)
