"""Subscriptions put down for a stream to name: for watchlists longer than a URL should be."""

from __future__ import annotations

from math import ceil
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from tickwire.core.candle import INTERVALS
from tickwire.core.codec import encode
from tickwire.hub.control import Keep, control_entry
from tickwire.hub.kept import UNUSED_SECONDS, USER_BYTES, identify
from tickwire.server.access import permitted, rights_of, writer
from tickwire.server.body import decode_body, read_body
from tickwire.server.refusal import Full, TooMany
from tickwire.server.request import SUBSCRIPTION_PARAMETERS, check_name, parse_subscription
from tickwire.server.service import Service

routes = APIRouter(tags=["subscriptions"])
_BODY_BYTES = 256 * 1024

_LIST = {"description": "a list, or a comma list", "type": ["array", "string"], "items": {"type": "string"}}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "symbols": _LIST,
        "filter": {"type": "string", "example": "volume > 1M and change_rate > 5%"},
        "events": _LIST,
        "candles": {"type": "string", "enum": [*INTERVALS]},
        "fields": _LIST,
        "interval": {"type": "string", "example": "250ms"},
        "delivery": {"type": "string", "enum": ["latest", "all"]},
    },
}
_OPENAPI = {"requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}}


class Put(msgspec.Struct, frozen=True):
    """What a client goes on with. `expires_in` is in seconds, and counts while no stream uses it."""

    id: str
    url: str
    expires_in: float
    subscription: dict[str, Any]


@routes.post("/v1/subscriptions", response_class=Response, openapi_extra=_OPENAPI)
async def put_subscription(request: Request) -> Response:
    """Put down what a stream should be of; the answer has the URL of such a stream."""
    service: Service = request.app.state.service
    parameters = _parameters(await read_body(request, _BODY_BYTES))
    subscription = permitted(rights_of(request.scope), parse_subscription(parameters, service.limits.symbols))
    kept, name = service.hub.control.ledger.kept, identify(parameters)
    who = writer(request.scope)
    lacking = kept.lacks_room(parameters, who)
    if lacking == "server":
        raise Full("as many subscriptions are kept as may be")
    if lacking == "user":
        raise TooMany(
            f"{USER_BYTES // 2**20} MB of subscriptions are kept of one user: streams use them, or did a minute ago"
        )
    now = service.clock.monotonic()
    age = service.put_down.age(name, now) if kept.parameters(name) is not None else None
    if age is None:
        entry = control_entry(Keep(name, parameters, who))
        service.writes.take(who, now, len(entry.data))
        await service.publish(entry)
        service.put_down.note(name, now)
    left = float(ceil(UNUSED_SECONDS - (age or 0)))  # unused ones are let go up to a second late
    answer = Put(name, f"/v1/stream?subscription={name}", left, subscription.describe())
    return Response(encode(answer), 201, media_type="application/json")


def _parameters(body: bytes) -> dict[str, str]:
    """The body's keys as parameters of a stream request."""
    given = decode_body(body, dict[str, list[str] | str | int | None], "the subscription")
    for name in given:
        check_name(name, SUBSCRIPTION_PARAMETERS)
    return {name: _text(value) for name, value in given.items() if value is not None}


def _text(value: list[str] | str | int) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
