"""Read and decode request bodies of bounded length."""

from __future__ import annotations

import re
from typing import Any, TypeVar, get_args

import msgspec
from fastapi import Request

from tickwire.core.codec import decode_json
from tickwire.errors import InputError, suggest_name
from tickwire.server.http_errors import TooLarge, UnsupportedContentEncoding
from tickwire.server.transport.asgi import Receive, Scope, client_network, first_header_value
from tickwire.server.transport.body_room import BodyRoom
from tickwire.sessions.rights import Rights

T = TypeVar("T")

JSON_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The exceptions that decoding raises for invalid JSON, invalid UTF-8 and excessive nesting."""
# These patterns match the error messages of msgspec, which contain the name of the invalid field, or the path to the
# invalid value.
_ERROR_FIELD_PATTERN = re.compile(r" field `(?P<name>\w+)`|`\$\.(?P<path>[^`]+)`")


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Return the whole request body; see `receive_body`."""
    return await receive_body(request.scope, request.receive, max_bytes, request.app.state.service.body_room)


async def receive_body(scope: Scope, receive: Receive, max_bytes: int, room: BodyRoom) -> bytes:
    """Return the whole body of a request, from its ASGI scope and `receive`.

    While the body is incomplete, `room` counts its bytes. Raise QuotaExceeded or ServerFull if there is no room. Raise
    TooLarge as soon as more than `max_bytes` have arrived. Raise UnsupportedContentEncoding if the body is compressed.
    Raise InputError if the client disconnects.
    """
    check_encoding(scope)
    parts, size, reserved, bearer = list[bytes](), 0, 0, None
    try:
        while True:
            message = await receive()
            # This error does not reach any client. It only prevents the traceback that an unhandled exception would
            # cause.
            if message["type"] == "http.disconnect":
                raise InputError("the client disconnected before the end of the body")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > max_bytes:
                raise TooLarge(f"the body is longer than {max_bytes} bytes")
            if not message.get("more_body", False):
                return b"".join(parts)
            # Reserve room only now: most bodies arrive in one message, and need no room.
            rights: Rights = scope["state"]["rights"]
            bearer = rights.bearer(client_network(scope))
            room.reserve(bearer, size - reserved)
            reserved = size
    finally:
        if reserved:
            room.release(bearer, reserved)


def check_encoding(scope: Scope) -> None:
    """Raise UnsupportedContentEncoding if the body of a request is compressed."""
    encoding = first_header_value(scope, b"content-encoding")
    if encoding is not None and encoding != "identity":
        raise UnsupportedContentEncoding(f"unsupported content-encoding {encoding[:40]!r}: send the body uncompressed")


def decode_body(data: bytes, kind: type[T], label: str, *, hint: str | None = None) -> T:
    """Decode the JSON body `data`, and return an object of the type `kind`.

    Raise InputError if the body is invalid. The error contains the name of the invalid field. `label` is the name of
    the body in the error message.
    """
    try:
        # Check that the whole body is valid UTF-8. The server sends raw JSON values to readers unchanged, and msgspec
        # does not check them.
        data.decode()
        return decode_json(data, kind)
    except msgspec.ValidationError as error:
        message = str(error)
        match = _ERROR_FIELD_PATTERN.search(message)
        field = match and (match["name"] or match["path"])
        # `kind` is a class of objects, or a list type whose elements are such objects.
        element: Any = next(iter(get_args(kind)), kind)
        if message.startswith("Object contains unknown field") and issubclass(element, msgspec.Struct):
            hint = "; ".join(filter(None, [suggest_name(field or "", element.__struct_fields__), hint]))
        raise InputError(f"{label}: {message[0].lower()}{message[1:]}", field=field, hint=hint) from None
    except JSON_DECODE_ERRORS as error:
        raise InputError(f"the body is not valid JSON: {error}", hint=hint) from None
