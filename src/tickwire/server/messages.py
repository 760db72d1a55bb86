"""Messages to readers, over HTTP in and over their streams out."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from tickwire.core.codec import encode
from tickwire.core.event import named_entry
from tickwire.errors import InputError
from tickwire.hub.applied import MESSAGE
from tickwire.server.audit import note
from tickwire.server.body import decode_body, read_body
from tickwire.server.service import Service

routes = APIRouter(tags=["messages"])
_BODY_BYTES = 64 * 1024  # a message is a note, not a file; each reader gets it whole
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", re.ASCII)
# What the stream itself says: a message under such a name could pass for it.
_RESERVED = {
    "quote",
    "message",
    "welcome",
    "subscription",
    "control",
    "candle",
    "matches",
    "enter",
    "leave",
    "status",
    "gap",
    "bye",
    "expiring",
    "error",
    "open",
}


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to send. `target` is a client id, or `user:NAME`; null is everyone who takes messages.

    `event` is the name on the wire.
    """

    event: str
    data: msgspec.Raw
    target: Annotated[str, msgspec.Meta(min_length=1, max_length=160)] | None = None


class Sent(msgspec.Struct, frozen=True):
    """What became of it: its id, and how many readers are connected that take it."""

    id: str
    readers: int


_SCHEMA = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "pattern": _NAME.pattern},
        "data": {"description": "any JSON"},
        "target": {"type": ["string", "null"], "description": "a client id, or user:NAME; null is everyone"},
    },
}
_OPENAPI = {"requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}}


@routes.post("/v1/messages", response_class=Response, openapi_extra=_OPENAPI)
async def send_message(request: Request) -> Response:
    """Send an event of your own to one reader, one user or all: to those that list `message` among their events."""
    service: Service = request.app.state.service
    message = _decode(await read_body(request, _BODY_BYTES))
    entry = named_entry(message.event, message.data, kind=MESSAGE, target=message.target)
    span = await service.publish(entry)
    readers = await service.readers.audience(MESSAGE, message.target)
    note(request.scope, event=message.event, target=message.target, readers=readers.told)
    sent = Sent(service.hub.history().id(span.last), readers.told)
    return Response(encode(sent), 201, readers.headers, media_type="application/json")


def _decode(body: bytes) -> Message:
    message = decode_body(body, Message, "the message")
    if not _NAME.fullmatch(message.event):
        raise InputError("event: a letter, then up to 63 letters, digits, _ . or -", field="event")
    if message.event in _RESERVED:
        raise InputError(f"event: {message.event!r} is a name that the stream itself uses", field="event")
    return message
