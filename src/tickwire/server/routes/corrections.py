"""Correct and cancel trades over HTTP."""

from __future__ import annotations

import msgspec
from fastapi import Request
from starlette.responses import Response

from tickwire.core.codec import encode_json
from tickwire.core.correction import TradeCorrection, correction_ticks
from tickwire.core.event import PublishReceipt, ticks_entry
from tickwire.core.published_tick import MAX_CANCELS
from tickwire.errors import InputError
from tickwire.server.api_router import create_router
from tickwire.server.auth.access import request_rights
from tickwire.server.http_errors import Forbidden
from tickwire.server.middleware.audit import add_audit_details
from tickwire.server.publishing import publish_corrections, publisher_source
from tickwire.server.routes.publish import idempotency_key
from tickwire.server.service import Service
from tickwire.server.transport.body import decode_body, read_body

routes = create_router("quotes")
# A request may have as many corrections as a batch may have cancels, because each correction and each cancel is a
# separate event in the journal.
_MAX_CORRECTIONS = MAX_CANCELS
_MAX_BODY_BYTES = 64 * 1024


_SCHEMA = {
    "type": "array",
    "minItems": 1,
    "maxItems": _MAX_CORRECTIONS,
    "items": msgspec.json.schema(TradeCorrection)["$defs"]["TradeCorrection"],
}
_OPENAPI = {"requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}}


@routes.post("/v1/corrections", response_class=Response, openapi_extra=_OPENAPI)
async def correct_trades(request: Request) -> Response:
    """Correct or cancel trades. Readers that subscribe to `correction` events receive each correction."""
    service: Service = request.app.state.service
    rights, key = request_rights(request.scope), idempotency_key(request.scope)
    corrections = decode_body(await read_body(request, _MAX_BODY_BYTES), list[TradeCorrection], "the corrections")
    if not 1 <= len(corrections) <= _MAX_CORRECTIONS:
        raise InputError(f"the request has {len(corrections)} corrections: send 1 to {_MAX_CORRECTIONS}")
    for index, correction in enumerate(corrections):
        if not rights.symbols.includes(correction.symbol):
            raise Forbidden(f"correction {index}: the token does not allow {correction.symbol!r}", field="symbol")
        if (correction.corrected_last is None) != (correction.corrected_size is None):
            raise InputError(
                f"correction {index}: send corrected_last and corrected_size to correct the trade, or neither of "
                "them to cancel the trade",
                field="corrected_size",
            )
    unknown = service.live_hub.board.unknown_symbols(each.symbol.encode("ascii") for each in corrections)
    if unknown:
        raise InputError(f"{min(unknown)!r} has no trades to correct: publish its trades first", field="symbol")
    source = publisher_source(rights)
    await publish_corrections(service, corrections, source=source, key=key)
    ticks = correction_ticks(corrections)
    sequences = await service.runtime.publish(ticks_entry(ticks, source=source, key=key))
    add_audit_details(request.scope, corrections=len(corrections), first=sequences.first, last=sequences.last)
    epoch, is_repeated = service.live_hub.head.epoch, not sequences.is_new
    receipt = PublishReceipt(
        len(corrections), f"{epoch}-{sequences.first}", f"{epoch}-{sequences.last}", repeated=is_repeated
    )
    return Response(encode_json(receipt), 200 if is_repeated else 201, media_type="application/json")
