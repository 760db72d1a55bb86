"""Check a filter over HTTP before a client subscribes with it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
from fastapi import Request
from starlette.responses import Response

from tickwire.core.arrays import RowArray
from tickwire.core.codec import encode_json
from tickwire.core.instrument import check_symbol
from tickwire.market.board import Board
from tickwire.screens.explanation import FilterCheckResult, SymbolExplanation
from tickwire.screens.field_table import SYMBOLS_PER_TABLE, FieldTable
from tickwire.screens.screen import Screen, combine_screens, parse_screen
from tickwire.server.api_router import create_router
from tickwire.server.auth.access import request_rights
from tickwire.server.auth.readable import check_symbol_readable
from tickwire.server.hub_state import StateOfHub
from tickwire.server.loop_slices import in_slices, run_steps
from tickwire.server.transport.body import decode_body, read_body

routes = create_router("screens")
# The maximum size of a request body. The longest filter fits in this size, even if the JSON text escapes every
# character.
_MAX_BODY_BYTES = 64 * 1024
_EXAMPLE_HINT = 'example: {"filter": "last > 5"}'


class ScreenCheckRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A filter to check, and optionally a symbol for which to explain the result."""

    filter: Annotated[str, msgspec.Meta(description="a filter expression, such as volume > 1M and change_rate > 5%")]
    symbol: Annotated[str | None, msgspec.Meta(description="explain why this symbol matches or does not match")] = None


_OPENAPI: dict[str, Any] = {
    "responses": {
        "400": {
            "description": "the filter is invalid (with position, caret and hint), or the request is invalid",
            "content": {"application/problem+json": {}},
        }
    },
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": msgspec.json.schema(ScreenCheckRequest)["$defs"]["ScreenCheckRequest"]}
        },
    },
}


@routes.post("/v1/screens/check", response_class=Response, openapi_extra=_OPENAPI)
async def check_screen(request: Request, state: StateOfHub) -> Response:
    """Return the symbols that match a filter now.

    If the filter is invalid, return the position of the error and a hint.
    """
    check = decode_body(
        await read_body(request, _MAX_BODY_BYTES), ScreenCheckRequest, "the filter check", hint=_EXAMPLE_HINT
    )
    rights, screen = request_rights(request.scope), parse_screen(check.filter)
    board = state.hub.board
    if check.symbol is not None:
        check_symbol_readable(rights, board, check_symbol(check.symbol, field="symbol"))
    await run_steps(rights.symbols.test_patterns_stepwise(board.symbol_column))
    state.record_head()
    visible = np.flatnonzero(rights.symbols.mask(board.symbol_column))
    symbols, readable = list[str](), combine_screens(screen, rights.filter) or screen
    async for part in in_slices(visible.tolist(), SYMBOLS_PER_TABLE):
        rows = np.array(part, np.intp)
        matches = await run_steps(_field_table(board, rows).match_stepwise(readable.compiled))
        symbols += [board.symbols[row] for row in rows[matches].tolist()]
    explanation = None
    if check.symbol is not None:
        # Check the right again, because the symbol may have ceased to match the filter in the token.
        check_symbol_readable(rights, board, check.symbol)
        explanation = _explain_symbol(screen, board, check.symbol)
    result = FilterCheckResult(
        filter=screen.text, fields=screen.field_names, cost=screen.cost, symbols=symbols, explained=explanation
    )
    return Response(encode_json(result), media_type="application/json")


def _explain_symbol(screen: Screen, board: Board, symbol: str) -> SymbolExplanation:
    row = board.find_row(symbol)
    if row is None:
        return SymbolExplanation(symbol, traded=False, matches=False, reasons=[])
    fields = _field_table(board, np.array([row]))
    matches = bool(fields.match_mask(screen.compiled)[0])
    return SymbolExplanation(symbol, traded=True, matches=matches, reasons=screen.explain(fields))


def _field_table(board: Board, rows: RowArray) -> FieldTable:
    return FieldTable([board.symbols[row] for row in rows.tolist()], board.instruments, board.quotes(rows).to_numbers())
