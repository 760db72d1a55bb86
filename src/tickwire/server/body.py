"""Request bodies, read only as far as they may be long."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec
from fastapi import Request
from starlette.requests import ClientDisconnect

from tickwire.core.codec import decode
from tickwire.errors import InputError, nearest
from tickwire.server.refusal import NotReadable, TooLarge

T = TypeVar("T")

NO_TEXT = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are no JSON text: no JSON, no UTF-8, nested without end."""
_FIELD = re.compile(r" field `(?P<name>\w+)`|`\$\.(?P<place>[^`]+)`")  # where msgspec says that a value is wrong


async def read_body(request: Request, most: int) -> bytes:
    """The whole body; TooLarge as soon as it is longer than `most` bytes."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise NotReadable(f"content-encoding {encoding[:40]!r}: send the body as it is")
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise TooLarge(f"the body is longer than {most} bytes")
            parts.append(part)
    except ClientDisconnect:  # nobody hears the answer; a traceback in the log would tell of no mistake here
        raise InputError("the body broke off") from None
    return b"".join(parts)


def decode_body(data: bytes, kind: type[T], what: str, *, hint: str | None = None) -> T:
    """The object of `kind` that a body spells; InputError, which calls it `what`, names the field that is wrong."""
    try:
        data.decode()  # values that are passed on as they stand are not looked at otherwise
        return decode(data, kind)
    except msgspec.ValidationError as error:
        said = str(error)
        found = _FIELD.search(said)
        field = found and (found["name"] or found["place"])
        if said.startswith("Object contains unknown field") and issubclass(kind, msgspec.Struct):
            hint = "; ".join(filter(None, [nearest(field or "", kind.__struct_fields__), hint]))
        raise InputError(f"{what}: {said[0].lower()}{said[1:]}", field=field, hint=hint) from None
    except NO_TEXT as error:
        raise InputError(f"the body is no JSON: {error}", hint=hint) from None
