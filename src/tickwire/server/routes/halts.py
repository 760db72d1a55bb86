"""Halt and resume trading in symbols over HTTP."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import Request
from starlette.responses import Response

from tickwire.core.codec import encode_json
from tickwire.core.tick import Symbol
from tickwire.errors import InputError
from tickwire.server.api_router import create_router
from tickwire.server.auth.access import request_rights
from tickwire.server.auth.readable import select_readable
from tickwire.server.http_errors import Forbidden, QuotaExceeded
from tickwire.server.hub_state import StateOfHub
from tickwire.server.middleware.audit import add_audit_details
from tickwire.server.service import Service
from tickwire.server.transport.body import decode_body, read_body

routes = create_router("quotes")
# The maximum number of halted symbols, because every status event lists all halted symbols.
MAX_HALTED_SYMBOLS = 1_000
# The maximum number of symbols in a request, because each symbol causes a status event.
_MAX_CHANGES = 100
_MAX_BODY_BYTES = 64 * 1024

_Symbols = Annotated[list[Symbol], msgspec.Meta(max_length=_MAX_CHANGES)]


class Halts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The symbols whose trading stops, and the symbols whose trading resumes."""

    halt: _Symbols = []
    resume: _Symbols = []


_SCHEMA = msgspec.json.schema(Halts)["$defs"]["Halts"]
_OPENAPI = {"requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}}


@routes.post("/v1/halts", response_class=Response, openapi_extra=_OPENAPI)
async def change_trading(request: Request, state: StateOfHub) -> Response:
    """Halt and resume trading in symbols. Readers that subscribe to `status` events receive each change."""
    service: Service = request.app.state.service
    rights = request_rights(request.scope)
    halts = decode_body(await read_body(request, _MAX_BODY_BYTES), Halts, "the halts")
    changes = dict.fromkeys(halts.halt, False) | dict.fromkeys(halts.resume, True)
    if len(changes) < len(halts.halt) + len(halts.resume) or not changes:
        raise InputError("list at least one symbol, and each symbol only once, in halt or in resume", field="halt")
    for symbol in changes:
        if not rights.symbols.includes(symbol):
            raise Forbidden(f"the token does not allow {symbol!r}", field="symbol")
    unknown = service.live_hub.board.unknown_symbols(symbol.encode("ascii") for symbol in halts.halt)
    if unknown:
        raise InputError(f"{min(unknown)!r} has no prices: publish its prices first", field="halt")
    halted = {*service.live_hub.halted_symbols, *halts.halt}.difference(halts.resume)
    if len(halted) > MAX_HALTED_SYMBOLS:
        raise QuotaExceeded(
            f"the limit of {MAX_HALTED_SYMBOLS} halted symbols is reached: resume other symbols first", field="halt"
        )
    await service.feed_proxy.change_trading(changes)
    add_audit_details(request.scope, halted=halts.halt[:10], resumed=halts.resume[:10])
    readable = await select_readable(rights, state.hub.board, sorted(halted))
    return Response(encode_json({"halted": readable}), media_type="application/json")
