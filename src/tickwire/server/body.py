"""Request bodies, read only as far as they may be long."""

from __future__ import annotations

from fastapi import Request

from tickwire.errors import InputError


class TooLarge(InputError):
    """A body or a batch beyond the limit."""

    status = 413


async def read_body(request: Request, most: int) -> bytes:
    """The whole body; TooLarge as soon as it is longer than `most` bytes."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise TooLarge(f"the body is longer than {most} bytes")
        parts.append(part)
    return b"".join(parts)
