"""What a filter means, before somebody subscribes with it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from tickwire.core.codec import encode
from tickwire.core.instrument import check_symbol
from tickwire.market.board import Board
from tickwire.screens.answer import Checked, Explained
from tickwire.screens.screen import Screen, screen
from tickwire.screens.sheet import Sheet
from tickwire.server.access import check_symbol_allowed, rights_of
from tickwire.server.body import decode_body, read_body
from tickwire.server.service import Service

routes = APIRouter(tags=["screens"])
_BODY_BYTES = 64 * 1024  # the longest filter, every character of it written as an escape
_EXAMPLE = 'example: {"filter": "last > 5"}'


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A filter, and a symbol of which to say why it matches or why not."""

    filter: Annotated[str, msgspec.Meta(description="a filter, such as volume > 1M and change_rate > 5%")]
    symbol: Annotated[str | None, msgspec.Meta(description="say of this symbol why it matches, or why not")] = None


_OPENAPI: dict[str, Any] = {
    "responses": {
        "400": {
            "description": "the filter is none (with position, caret and hint), or the question is wrong",
            "content": {"application/problem+json": {}},
        }
    },
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": msgspec.json.schema(Question)["$defs"]["Question"]}},
    },
}


@routes.post("/v1/screens/check", response_class=Response, openapi_extra=_OPENAPI)
async def check_screen(request: Request) -> Response:
    """What a filter means and which symbols match it now. A wrong one is answered with its position and a hint."""
    service: Service = request.app.state.service
    question = decode_body(await read_body(request, _BODY_BYTES), Question, "the question", hint=_EXAMPLE)
    rights, wanted = rights_of(request.scope), screen(question.filter)
    if question.symbol is not None:
        check_symbol_allowed(rights, check_symbol(question.symbol, field="symbol"))
    board = (await service.hubs.of(rights)).board
    taken = _sheet(board, np.arange(len(board))).matching(wanted.form)
    matching = (board.symbols[row] for row in np.flatnonzero(taken).tolist())
    symbols = [symbol for symbol in matching if rights.symbols.takes(symbol)]
    explained = None if question.symbol is None else _explained(wanted, board, question.symbol)
    answer = Checked(filter=wanted.text, fields=wanted.needs, cost=wanted.cost, symbols=symbols, explained=explained)
    return Response(encode(answer), media_type="application/json")


def _explained(wanted: Screen, board: Board, symbol: str) -> Explained:
    row = board.row(symbol)
    if row is None:
        return Explained(symbol, traded=False, matches=False, reasons=[])
    sheet = _sheet(board, np.array([row]))
    matches = bool(sheet.matching(wanted.form)[0])
    return Explained(symbol, traded=True, matches=matches, reasons=wanted.explain(sheet))


def _sheet(board: Board, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Sheet:
    return Sheet([board.symbols[row] for row in rows.tolist()], board.instruments, board.quotes(rows).numbers())
