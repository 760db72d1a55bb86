"""Store subscriptions over HTTP. Clients store a list of symbols that is too long for the URL of a stream."""

from __future__ import annotations

from collections import OrderedDict
from math import ceil
from typing import Any

import msgspec
from fastapi import Request
from starlette.responses import Response

from tickwire.core.candle import INTERVAL_SECONDS
from tickwire.core.codec import encode_json
from tickwire.screens.ranking import MAX_TOP
from tickwire.server.api_router import create_router
from tickwire.server.auth.access import bearer_of, request_rights, restrict_subscription
from tickwire.server.http_errors import QuotaExceeded, ServerFull
from tickwire.server.service import Service
from tickwire.server.stream_request import MAX_SUBSCRIPTION_BYTES, decode_subscription, parse_subscription
from tickwire.server.transport.body import read_body
from tickwire.sessions.admin_events import SubscriptionStored, admin_event_entry
from tickwire.sessions.stored_subscriptions import MAX_IDLE_S, MAX_STORED_BYTES_PER_USER, compute_subscription_id
from tickwire.sessions.subscription import Heartbeats

routes = create_router("subscriptions")
# If a client stores an equal subscription again within this time, the server appends no second journal entry. The idle
# time of the subscription then does not begin again. The window is a quarter of MAX_IDLE_S, so the subscription still
# exists for three quarters of MAX_IDLE_S after the second request.
DEDUP_WINDOW_S = 15.0

_LIST_SCHEMA = {
    "description": "a list, or a comma-separated text",
    "type": ["array", "string"],
    "items": {"type": "string"},
}
_SUBSCRIPTION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "symbols": _LIST_SCHEMA,
        "filter": {"type": "string", "example": "volume > 1M and change_rate > 5%"},
        "order": {"type": "string", "example": "change_rate desc"},
        "top": {"type": "integer", "minimum": 1, "maximum": MAX_TOP},
        "events": _LIST_SCHEMA,
        "candles": {"type": "string", "enum": [*INTERVAL_SECONDS]},
        "fields": _LIST_SCHEMA,
        "interval": {"type": "string", "example": "250ms"},
        "delivery": {"type": "string", "enum": ["latest", "all"]},
        "heartbeats": {"type": "string", "enum": [*Heartbeats]},
    },
}
SUBSCRIPTION_BODY: dict[str, Any] = {
    "required": True,
    "content": {"application/json": {"schema": _SUBSCRIPTION_SCHEMA}},
}
"""The request body with the parameters of a stream, in the OpenAPI document."""


class StoredSubscriptionResponse(msgspec.Struct, frozen=True):
    """A stored subscription. If no stream opens with it, the server deletes it after `expires_in` seconds."""

    id: str
    url: str
    expires_in: float
    subscription: dict[str, Any]


class UploadDedup:
    """Remembers recent uploads of subscriptions, so that the server appends no journal entry for a repeated upload."""

    def __init__(self) -> None:
        # The monotonic time of the last upload of each subscription id, oldest first.
        self._uploaded_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._uploaded_at)

    def age(self, subscription_id: str, now: float) -> float | None:
        """Return the seconds since the last upload of this subscription.

        Return None if the subscription was not uploaded in the last DEDUP_WINDOW_S seconds. `now` is the monotonic
        time.
        """
        uploaded_at = self._uploaded_at.get(subscription_id)
        return None if uploaded_at is None or now - uploaded_at >= DEDUP_WINDOW_S else now - uploaded_at

    def record(self, subscription_id: str, now: float) -> None:
        """Record an upload at the time `now`. Delete the records of uploads that are older than DEDUP_WINDOW_S."""
        self._uploaded_at[subscription_id] = now
        self._uploaded_at.move_to_end(subscription_id)
        while now - next(iter(self._uploaded_at.values())) >= DEDUP_WINDOW_S:
            self._uploaded_at.popitem(last=False)


@routes.post("/v1/subscriptions", response_class=Response, openapi_extra={"requestBody": SUBSCRIPTION_BODY})
async def put_subscription(request: Request) -> Response:
    """Store the parameters of a stream, and return the URL of the stream.

    The id of the stored subscription is the same for equal parameters.
    """
    service: Service = request.app.state.service
    upload_dedup: UploadDedup = request.app.state.upload_dedup
    parameters = decode_subscription(await read_body(request, MAX_SUBSCRIPTION_BYTES))
    subscription = restrict_subscription(
        request_rights(request.scope), parse_subscription(parameters, service.limits.max_symbols_per_subscription)
    )
    stored = service.live_hub.reader_admin.registry.stored_subscriptions
    subscription_id, owner = compute_subscription_id(parameters), bearer_of(request.scope)
    exceeded = stored.exceeded_limit(parameters, owner)
    if exceeded == "server":
        raise ServerFull(
            "the server's limit of stored subscriptions is reached: try again in a minute, because unused "
            "subscriptions expire"
        )
    if exceeded == "user":
        raise QuotaExceeded(
            f"the limit of {MAX_STORED_BYTES_PER_USER // 2**20} MB of stored subscriptions per user is reached: try "
            "again in a minute, because unused subscriptions expire"
        )
    now = service.clock.monotonic()
    age = upload_dedup.age(subscription_id, now) if stored.find_parameters(subscription_id) is not None else None
    if age is None:
        entry = admin_event_entry(SubscriptionStored(subscription_id, parameters, owner))
        service.journal_writes.charge(owner, now, entry)
        await service.runtime.publish(entry)
        upload_dedup.record(subscription_id, now)
    # Round up. The result may be too large by a part of a second. This does no harm, because the server deletes an
    # unused subscription up to a second late.
    expires_in = float(ceil(MAX_IDLE_S - (age or 0)))
    url = f"/v1/stream?subscription={subscription_id}"
    answer = StoredSubscriptionResponse(subscription_id, url, expires_in, subscription.describe())
    return Response(encode_json(answer), 201, media_type="application/json")
