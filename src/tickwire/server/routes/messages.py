"""Send messages to readers over HTTP."""

from __future__ import annotations

import re

import msgspec
from fastapi import Request
from starlette.responses import Response

from tickwire.core.codec import encode_json
from tickwire.core.event import EVENT_NAME_PATTERN, TargetAddress, named_entry
from tickwire.core.event_kinds import RESERVED_EVENT_NAMES, EventKind
from tickwire.errors import InputError
from tickwire.server.api_router import create_router
from tickwire.server.auth.access import bearer_of
from tickwire.server.middleware.audit import add_audit_details
from tickwire.server.service import Service
from tickwire.server.transport.body import decode_body, read_body

routes = create_router("messages")
# The maximum size of a message. The limit is low, because the server sends the whole message to every reader.
_MAX_BODY_BYTES = 64 * 1024
_EVENT_NAME_SYNTAX = re.compile(EVENT_NAME_PATTERN, re.ASCII)


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message to send to readers (clients with an open stream).

    `event` is the event name of the message on the stream. `target` is a client id or `user:NAME`. If `target` is null,
    all readers that subscribe to messages receive the message.
    """

    event: str
    data: msgspec.Raw
    target: TargetAddress | None = None


class MessageReceipt(msgspec.Struct, frozen=True):
    """The id of a sent message, and the number of connected readers that receive the message."""

    id: str
    readers: int


_MESSAGE_SCHEMA = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "pattern": _EVENT_NAME_SYNTAX.pattern},
        "data": {"description": "any JSON value"},
        "target": {"type": ["string", "null"], "description": "a client id, or user:NAME; null for all readers"},
    },
}
_OPENAPI = {"requestBody": {"required": True, "content": {"application/json": {"schema": _MESSAGE_SCHEMA}}}}


@routes.post("/v1/messages", response_class=Response, openapi_extra=_OPENAPI)
async def send_message(request: Request) -> Response:
    """Send a custom event to one client, one user or all readers that subscribe to `message` events."""
    service: Service = request.app.state.service
    message = _decode_message(await read_body(request, _MAX_BODY_BYTES))
    entry = named_entry(message.event, message.data, kind=EventKind.MESSAGE, target=message.target)
    service.journal_writes.charge_message(bearer_of(request.scope), service.clock.monotonic(), entry)
    sequences = await service.runtime.publish(entry)
    readers = await service.cluster_clients.count_audience(EventKind.MESSAGE, message.target)
    add_audit_details(request.scope, event=message.event, target=message.target, readers=readers.value)
    receipt = MessageReceipt(service.live_hub.journal_range().event_id(sequences.last), readers.value)
    return Response(encode_json(receipt), 201, readers.headers, media_type="application/json")


def _decode_message(body: bytes) -> Message:
    message = decode_body(body, Message, "the message")
    if not _EVENT_NAME_SYNTAX.search(message.event):
        raise InputError(
            f"invalid event {message.event[:40]!r}: expected a letter, then up to 63 letters, digits, _ . or -",
            field="event",
        )
    if message.event in RESERVED_EVENT_NAMES:
        raise InputError(
            f"the event name {message.event!r} is reserved for events of the server: choose another name",
            field="event",
        )
    return message
