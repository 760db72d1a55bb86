"""Request bodies, read only as far as they may be long."""

from __future__ import annotations

from fastapi import Request
from starlette.requests import ClientDisconnect

from tickwire.errors import InputError


class TooLarge(InputError):
    """A body or a batch beyond the limit."""

    status = 413


class NotReadable(InputError):
    """A body in a coding that is not read here."""

    status = 415


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
